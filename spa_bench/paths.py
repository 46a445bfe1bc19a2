"""Paths as a user writes them."""

from __future__ import annotations

from pathlib import Path

from spa_bench.errors import InputError


def expanded(name: str) -> Path:
    """Returns a path with `~` replaced by the home folder that it stands for.

    Raises:
        InputError: if it is nobody's, or holds a zero byte.
    """
    if "\0" in name:
        raise InputError(f"{name!r}: no path has a zero byte in it")
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise InputError(f"{name!r}: {error}") from None
