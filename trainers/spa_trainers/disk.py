"""What a training writes: whole or not at all, on a disk that has room for it."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from spa_bench.errors import InputError
from spa_trainers.errors import TrainingError

LEAST_FREE_BYTES = 500_000_000
"""Of any training."""


def check_room(folder: Path, needed: int = LEAST_FREE_BYTES, what: str = "training") -> None:
    """Makes the folder.

    Raises:
        InputError: if the disk has too little room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder}: {_mb(free)} free, {what} needs {_mb(needed)} at least; make room there, or"
            " choose another --output"
        )


def check_room_for_states(folder: Path, state: int, last: Path | None) -> None:
    """Sees to it that states to resume from have room, the next one beside the last.

    Args:
        state: bytes of one.
        last: a file or folder that is there already; None if there is none.

    Raises:
        InputError: if they have not.
    """
    there = 0 if last is None else _size(last)
    check_room(folder, 2 * state - there, "a state to resume from, and the next one beside it,")


@contextmanager
def whole(path: Path) -> Generator[Path]:
    """Yields where to write a file or a folder, which then takes its place; else nothing is left.

    Raises:
        TrainingError: if it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    _remove(partial)  # of a process that was killed
    try:
        with writing(path):
            yield partial
            if path.is_dir():
                shutil.rmtree(path)
            partial.replace(path)
    finally:
        _remove(partial)


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Turns what torch and safetensors raise where a file cannot be written into one line.

    Raises:
        TrainingError: in its place.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        if isinstance(error, RuntimeError) and "inline_container" not in str(error):
            raise  # that is where torch writes files
        reason = " ".join(str(error).split())
        free = shutil.disk_usage(path.parent).free
        raise TrainingError(
            f"{path}: cannot be written ({reason}; {_mb(free)} free). Mend that, and the same"
            " command goes on from what was last saved"
        ) from None


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _mb(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"
