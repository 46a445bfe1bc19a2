"""Turns bytes into edits of JSON: what a coverage-guided fuzzer needs to get past a parser.

Random bytes are hardly ever JSON, and JSON is hardly ever a record. Edits of a real record reach
what stands behind the schema.
"""

from __future__ import annotations

import copy
from typing import Any

DEEP: Any = None
for _ in range(200):
    DEEP = [DEEP]

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2**53,
    2**63,
    -(2**70),
    0.5,
    1e308,
    -0.0,
    "",
    "0",
    "\0",
    "\x1b[2J\u202e",
    "\ud83d\ude00</script>",
    "complete",
    "infrastructure",
    "x" * 10_000,
    [],
    {},
    [[]],
    [-1, 2**40],
    {"": None},
    {"player": [[0]]},
    DEEP,
)


class Bytes:
    """Numbers and texts out of bytes; zeros when they have run out."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def below(self, limit: int) -> int:
        """Returns a number in [0, limit)."""
        size = 1 if limit <= 256 else 2
        taken, self._at = self._data[self._at : self._at + size], self._at + size
        return int.from_bytes(taken, "big") % limit

    def text(self) -> str:
        """Returns a text of up to 255 bytes, as far as they are text."""
        length = self.below(256)
        taken, self._at = self._data[self._at : self._at + length], self._at + length
        return taken.decode("utf-8", "replace")


def edited(record: Any, data: Bytes, most: int = 4) -> Any:
    """Returns a copy of a record with up to `most` places changed."""
    record = copy.deepcopy(record)
    for _ in range(most):
        if not data:
            break
        record = _edit(record, record, data)
    return record


def _edit(whole: Any, part: Any, data: Bytes) -> Any:
    """Returns `part` with one place changed, often deep inside."""
    children = list(part) if isinstance(part, dict) else list(range(len(_items(part))))
    if children and data.below(8):
        key = children[data.below(len(children))]
        what = data.below(16)
        if what == 0:
            del part[key]
        elif what == 1 and isinstance(part, list):
            part.append(copy.deepcopy(part[key]))
        else:
            part[key] = _edit(whole, part[key], data)
        return part
    return _value(whole, part, data)


def _value(whole: Any, old: Any, data: Bytes) -> Any:
    kind = data.below(4)
    if kind == 0:
        return data.text()
    if kind == 1 and isinstance(old, int | float):
        return old + data.below(256) - 128
    if kind == 2 and isinstance(whole, dict):  # another part of the same record
        return copy.deepcopy(list(whole.values())[data.below(len(whole))]) if whole else None
    return copy.deepcopy(ODD[data.below(len(ODD))])


def _items(part: Any) -> list[Any]:
    return part if isinstance(part, list) else []
