"""Keeps what vLLM's processes print out of our output, and finds in it why one of them failed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO

_TAIL = 2**20
"""Bytes of output in which a reason is looked for."""

_PREFIX = re.compile(r"^\([^()]*pid=\d+\) (?:ERROR \S+ \S+ \[[^\]]*\] )?")
_ERROR = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception): ?(?P<message>.+)")
_ECHOES = ("root cause", "initialization failed")


@contextmanager
def output_to(file: IO[bytes] | None) -> Generator[None]:
    """Sends to a file what this process prints, and for good what those print that it starts.

    By descriptor, because libraries print that know nothing of Python. Without a file, all goes
    to stderr.
    """
    target = 2 if file is None else file.fileno()
    kept = os.dup(1), os.dup(2)
    _flush()
    try:
        os.dup2(target, 1)
        os.dup2(target, 2)
        yield
    finally:
        _flush()
        for to, descriptor in zip((1, 2), kept, strict=True):
            os.dup2(descriptor, to)
            os.close(descriptor)


def cause_of(printed: IO[bytes] | None) -> str | None:
    """Returns the message of the first error in some output that is no echo of another."""
    if printed is None:
        return None
    size = os.fstat(printed.fileno()).st_size
    # Reading at a position leaves alone the one at which other processes write.
    tail = os.pread(printed.fileno(), _TAIL, max(0, size - _TAIL)).decode(errors="replace")
    for line in tail.splitlines():
        found = _ERROR.match(_PREFIX.sub("", line))
        if found and not any(echo in line for echo in _ECHOES):
            return found["message"].strip().rstrip(".")
    return None


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
