"""A folder in memory, where there is one, that goes with the process."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

_IN_MEMORY = Path("/dev/shm")


@cache
def _kept() -> list[tempfile.TemporaryDirectory[str]]:
    return []


def scratch() -> Path:
    """Returns a new, empty folder."""
    folder = tempfile.TemporaryDirectory(
        prefix="spa-fuzz-", dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None
    )
    _kept().append(folder)
    return Path(folder.name)
