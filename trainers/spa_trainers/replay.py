"""From a logged episode back to its states: what stood on the board before and after each turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from spa_bench.runner.record import Episode, Turn
from spa_bench.task import Task


@dataclass(frozen=True, slots=True)
class ReplayedTurn:
    """One turn of a log with the states around it.

    Attributes:
        before, after: states of the kernel, before the turn and after all its actions.
        actions_left: at the start of the turn.
    """

    turn: Turn
    before: Any
    after: Any
    actions_left: int


def replay(task: Task, episode: Episode, state: Any) -> Iterator[ReplayedTurn]:
    """Executes what a log says was executed, from the board `state`, turn by turn.

    Raises:
        ValueError: if an action or an outcome of the log cannot be.
    """
    environment = task.environment
    left = task.limits.actions
    for turn in episode.turns:
        before = state
        executed = turn.actions[: turn.executed]
        for name, index in zip(executed, turn.outcomes, strict=True):
            action = environment.parse_action(name)
            if action is None:
                raise ValueError(f"{episode.instance}: {name!r} is no action")
            outcomes = environment.outcomes(state, action)
            if index >= len(outcomes):
                raise ValueError(f"{episode.instance}: {name!r} has no outcome {index}")
            state = outcomes[index].state
        yield ReplayedTurn(turn, before, state, left)
        left -= turn.executed
