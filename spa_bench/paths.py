"""Paths as a user writes them."""

from __future__ import annotations

import shlex
from pathlib import Path

from spa_bench.errors import InputError


def typed(path: Path) -> str:
    """Returns a path as it is to be typed in a shell: quoted, and never like an option."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


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
