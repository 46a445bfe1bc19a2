"""Ends the engine's processes if ours dies before it could.

A process that is killed runs none of its own code, and vLLM's engine would stay, and keep its card,
for ever. So a shell waits at the end of a pipe whose other end is only ours.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

_SCRIPT = 'read _ || kill -TERM "$@"'
"""A line is a farewell; the end of the pipe without one is a death."""


class Guard:
    """Watches over processes until it is dismissed.

    Args:
        pids: what to end, politely, when this process dies.
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._shell = subprocess.Popen(
            ["sh", "-c", _SCRIPT, "sh", *map(str, pids)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends a terminal's processes must not end this one
        )

    def dismiss(self) -> None:
        """Lets the processes be."""
        self._shell.communicate(b"\n")
