"""Which tokens of a trajectory the policy learns from: `loss_on` of `PpoSettings`.

Each function returns, turn by turn, the [start, end) of some tokens in `Trajectory.ids`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from spa_bench.runner.record import Turn
from spa_bench.task import Task
from spa_trainers.trajectories import Spans, Trajectory


def everything(t: Trajectory) -> Spans:
    """Returns all from the first reply on, as if the model had sampled it."""
    ends = [end for _, end in t.turns]
    return list(zip([start for start, _ in t.turns[:1]] + ends[:-1], ends, strict=True))


@dataclass(frozen=True)
class Answers:
    """Returns each answer, with the tag and the token that end it; what stands before it is free.

    A reply in which no answer can be read is learnt from whole: else it could not be unlearnt.

    Args:
        tasks: by their hash; their format says where an answer is.
        text: what a prompt's completion says, such as `Template.text`.
    """

    tasks: Mapping[str, Task]
    text: Callable[[Sequence[int], Sequence[int]], str]

    def __call__(self, t: Trajectory) -> Spans:
        task = self.tasks[t.episode.task_hash]
        return [
            (start + self._before(task, turn), end) if end > start else (start, end)
            for (start, end), turn in zip(t.turns, t.episode.turns, strict=True)
        ]

    def _before(self, task: Task, turn: Turn) -> int:
        """Returns how many tokens of a reply stand before its answer."""
        answer, tokens = task.format.parse(turn.reply, task.config.parse).answer, turn.tokens
        if answer is None or tokens is None:
            return 0
        characters = answer.start - len(task.format.prefill)  # which was sent, not sampled
        prompt, ids = tokens.prompt_ids, tokens.completion_ids
        return bisect_right(
            range(len(ids)), characters, key=lambda i: len(self.text(prompt, ids[: i + 1]))
        )
