"""The order of a submission's episodes: task by task, board by board, repeat by repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spa_bench.runner.plan import Plan
from spa_bench.runner.record import Episode
from spa_bench.runner.rollout import EpisodeSpec
from spa_bench.task import Instance, Task


@dataclass(frozen=True)
class _Planned:
    """A task of the plan: `first` is the place of its first episode, `numbers` the boards'."""

    task: Task
    repeats: int
    first: int
    boards: Sequence[Instance]
    numbers: dict[str, int]


class Order:
    """Where each episode of a plan stands, from 0."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._planned: dict[str, _Planned] = {}
        first = 0
        for task, repeats in zip(plan.tasks, plan.repeats, strict=True):
            boards = plan.boards(task)
            numbers = {board.id: number for number, board in enumerate(boards)}
            self._planned[task.hash] = _Planned(task, repeats, first, boards, numbers)
            first += len(boards) * repeats

    def place(self, episode: Episode) -> tuple[int, EpisodeSpec] | None:
        """Returns an episode's place and what the plan says of it; None if it is foreign."""
        planned = self._planned.get(episode.task_hash)
        if planned is None or episode.repeat >= planned.repeats:
            return None
        number = planned.numbers.get(episode.instance)
        if number is None:
            return None
        board = planned.boards[number]
        spec = EpisodeSpec(planned.task, board, episode.repeat, self.plan.salt)
        return planned.first + number * planned.repeats + episode.repeat, spec
