"""The tasks of a run, made again from what its `run.json` says."""

from __future__ import annotations

import pydantic

from spa_bench.errors import InputError
from spa_bench.registry import make_environment, make_format
from spa_bench.runner.log import RunTask
from spa_bench.task import Task, TaskConfig


def rebuilt(logged: RunTask) -> Task | None:
    """Returns the task as it was played; None where this installation cannot play it.

    That is so where its environment is not installed, or means something else by now: the hash
    of a task covers all that is measured.
    """
    try:
        config = TaskConfig.model_validate(logged.config)
        environment = make_environment(config.environment)
        task = Task(logged.task, config, environment, make_format(config.format))
    except (InputError, pydantic.ValidationError):
        return None
    return task if task.hash == logged.hash else None
