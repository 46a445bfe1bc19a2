"""Any file is a task or a group, or is refused in one line that names it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fuzz.scratch import scratch
from spa_bench import yaml_file
from spa_bench.errors import InputError
from spa_bench.registry import builtin_tasks_folder
from spa_bench.task_file import load_group, load_task

_BESIDE = ("_episode.yaml", "sokoban/_sokoban.yaml", "frozenlake/_frozenlake.yaml")


@cache
def folder() -> Path:
    """Returns a folder in memory with files that a task may include."""
    path = scratch()
    for name in _BESIDE:
        text = (builtin_tasks_folder() / name).read_text(encoding="utf-8")
        (path / Path(name).name).write_text(text.replace("../", ""), encoding="utf-8")
    return path


def one(data: bytes) -> None:
    """Reads bytes as YAML, and then as a group or a task."""
    path = folder() / "task.yaml"
    path.write_bytes(data)
    try:
        document = yaml_file.read_alone(path)
        read = load_group if "group" in document.data else load_task
        read(path)
    except InputError as error:
        message = str(error)
        assert str(path.parent) in message, message
        assert len(message) < 2_000, message
