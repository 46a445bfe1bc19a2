"""The tasks of a run, made again where that can be."""

from __future__ import annotations

from spa_bench.errors import InputError
from spa_bench.runner.log import RunTask
from spa_bench.runner.rebuild import rebuild
from spa_bench.task import Task


def rebuilt(logged: RunTask) -> Task | None:
    """Returns the task as it was played; None where this installation cannot play it."""
    try:
        return rebuild(logged)
    except InputError:
        return None
