"""Keeps what others wrote from giving orders to the terminal it is shown on.

Models, servers, task files and logs can hold anything: escape sequences that move the cursor, set
the title or hide text, marks that turn the reading order. They are never obeyed, but shown as JSON
writes them (`\\u001b`), so that JSON that passes through here stays what it was.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager, redirect_stderr
from typing import IO, Any, cast

_ORDERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, but for tab and line feed
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # order and width
    "\ud800-\udfff\U000e0000-\U000e0fff]"  # halves of characters; invisible tags
)
_REDRAWS = re.compile("(\r|\x1b\\[A)")  # to the beginning of the line, to the line above


def printable(text: str) -> str:
    """Returns the text with everything that a terminal would obey written out as in JSON."""
    return _ORDERS.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    return "\\u007f" if match[0] == "\x7f" else json.dumps(match[0])[1:-1]


class Plain:
    """A text stream that shows orders and gives none; all else it leaves to the stream behind it.

    Attributes:
        behind: for whoever has orders of its own to give, such as colours.
    """

    def __init__(self, behind: IO[str]) -> None:
        self.behind = behind

    def write(self, text: str) -> int:
        self.behind.write(printable(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.behind, name)


class _Redrawn(Plain):
    """A `Plain` stream on which lines may be drawn anew, as a bar of progress is."""

    def write(self, text: str) -> int:
        parts = _REDRAWS.split(text)  # the odd ones are the orders
        self.behind.write("".join(p if i % 2 else printable(p) for i, p in enumerate(parts)))
        return len(text)


@contextmanager
def redrawing() -> Generator[None]:
    """Lets libraries draw their progress on standard error meanwhile, and do nothing else there."""
    stream: Any = sys.stderr
    if not isinstance(stream, Plain):
        yield
        return
    with redirect_stderr(cast(Any, _Redrawn(stream.behind))):
        yield


def unfiltered(stream: IO[str]) -> IO[str]:
    """Returns the stream behind a `Plain` one, or the stream itself."""
    return getattr(stream, "behind", stream)
