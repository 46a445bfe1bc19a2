"""Which boards a training plays, which are held out to measure it, and which it never sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, ValidationError

from spa_bench.environments.bounds import NoExactBoundError, Solver
from spa_bench.errors import InputError, complaint
from spa_bench.registry import Registry
from spa_bench.task import Instance, Task, TaskInstances

TRAINING_SEEDS = "10000-4000000000"
"""Where the paper's training boards begin."""

HELD_OUT_SEEDS = "1000-9999"
"""Between the paper's boards for evaluation and those for training."""


def _seeds(text: str) -> str:
    try:
        return TaskInstances(split="train", seeds=text, count=1).seeds
    except ValidationError as error:
        raise ValueError(complaint(error.errors()[0])) from None


Seeds = Annotated[str, AfterValidator(_seeds)]
"""Seeds such as `123-250` or `1,5,10-20`, as a task's."""


def training_task(task: Task, *, seeds: str, boards: int, observation: str | None = None) -> Task:
    """Returns a task on training boards: the same in all else, with a hash of its own."""
    instances = TaskInstances(split="train", seeds=seeds, count=boards)
    changed: dict[str, Any] = {"instances": instances}
    if observation is not None:
        changed["observation"] = observation
    return dataclasses.replace(
        task, name=f"{task.config.task}*", config=task.config.model_copy(update=changed)
    )


def held_out_task(task: Task, boards: int) -> Task:
    """Returns a task on boards of the validation split, which no training plays: twice `boards`,
    for some will be left out."""
    instances = TaskInstances(split="validation", seeds=HELD_OUT_SEEDS, count=2 * boards)
    config = task.config.model_copy(update={"instances": instances})
    return dataclasses.replace(task, name=f"{task.config.task}*", config=config)


def evaluated_boards(
    names: Sequence[str], trained: Sequence[str], registry: Registry
) -> frozenset[str]:
    """Returns the keys of all boards that must not be trained on.

    Args:
        names: tasks whose boards they are.
        trained: tasks that are trained on; what they are evaluated on is left out as well, unless
            that is training boards.
    """
    tasks = registry.resolve(names) if names else []
    own = [t for t in registry.resolve(trained) if t.config.instances.split != "train"]
    return frozenset(board.board_key for task in [*tasks, *own] for board in task.boards[0])


def boards_left(task: Task, left_out: frozenset[str]) -> list[Instance]:
    """Returns a task's boards but those whose keys are left out."""
    return [board for board in task.boards[0] if board.board_key not in left_out]


def chances(task: Task, boards: Sequence[Instance]) -> list[float]:
    """Returns how likely uniformly random actions solve each board within the limits, exactly.

    Raises:
        InputError: for a world whose states cannot be enumerated, or are too many.
    """
    if not task.environment.enumerable:
        raise InputError(
            f"rl.least_chance: the world of {task.config.task} cannot be enumerated; leave it out"
        )
    try:
        return [Solver(task.environment, board.state, task.limits).floor() for board in boards]
    except NoExactBoundError as error:
        raise InputError(f"rl.least_chance: {task.config.task}: {error}") from None
