"""The tasks of a run, made again from what its `run.json` says."""

from __future__ import annotations

from spa_bench.errors import InputError
from spa_bench.plugins import make_task
from spa_bench.runner.log import RunTask
from spa_bench.task import Task, TaskConfig


def rebuild(logged: RunTask) -> Task:
    """Returns a task as it was played.

    Raises:
        InputError: if this installation cannot play it: its environment is not installed, or
            means something else by now. The hash of a task covers all that is measured.
    """
    try:
        task = make_task(logged.task, TaskConfig.model_validate(logged.config))
    except (InputError, ValueError) as error:  # pydantic's error is a ValueError
        reason = str(error).splitlines()[0]
        raise InputError(f"task {logged.task!r} cannot be made again here: {reason}") from None
    if task.hash != logged.hash:
        raise InputError(
            f"task {logged.task!r} means something else in this version: its hash is"
            f" {task.hash[:12]}, the run's {logged.hash[:12]}"
        )
    return task
