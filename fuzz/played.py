"""A small run that was really played, for targets that edit one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache
from typing import Any

from spa_bench.models.baselines import load
from spa_bench.models.model import ModelOptions
from spa_bench.registry import Registry
from spa_bench.runner.episode import play
from spa_bench.runner.plan import Done, Plan
from spa_bench.runner.record import Episode
from spa_bench.task import Task

TASKS = ("frozenlake_slippery_wm", "sokoban_transition")


class FewBoards(Registry):
    """The built-in tasks with a board each, read once."""

    def load(self, name: str) -> Task:
        return _task(name)


@cache
def few_boards() -> FewBoards:
    """Returns the one registry of all targets."""
    return FewBoards()


@cache
def _task(name: str) -> Task:
    task = Registry.load(few_boards(), name)
    seed = task.boards[0][0].seed  # not every seed gives a board of the task's split
    instances = task.config.instances.model_copy(update={"seeds": str(seed)})
    return replace(task, config=task.config.model_copy(update={"instances": instances}))


@cache
def plan() -> Plan:
    """Returns two tasks, one board of each, played twice."""
    return Plan([_task(name) for name in TASKS], [2] * len(TASKS), salt="0")


@cache
def episodes() -> tuple[Episode, ...]:
    """Returns the episodes of a random player, in the order of the plan."""
    model: Any = load(ModelOptions(model="random", label="baseline/random"))

    async def all_of_them() -> list[Episode]:
        return [await play(spec, model) for spec in plan().owed(Done())]

    return tuple(asyncio.run(all_of_them()))
