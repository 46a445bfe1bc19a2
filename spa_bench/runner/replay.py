"""What truly happened in an episode: its states, from the log and the kernel alone.

The log keeps actions and which of the kernel's outcomes each of them had, not states.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from spa_bench.errors import SpaBenchError
from spa_bench.runner.record import Episode, Turn
from spa_bench.task import Task


class ReplayError(SpaBenchError):
    """The log says what cannot have happened."""


@dataclass(frozen=True, slots=True)
class ReplayedTurn:
    """A turn of the log with its true states.

    Attributes:
        before, after: the states between which the turn lies.
        chosen: the actions that would have been executed, had nothing ended the episode first.
    """

    turn: Turn
    before: Any
    after: Any
    chosen: tuple[Any, ...]


def replay(task: Task, start: Any, episode: Episode) -> Iterator[ReplayedTurn]:
    """Yields the turns of an episode with the states before and after them.

    Only for environments that can enumerate their outcomes.

    Args:
        task: of the episode.
        start: the state of its board.
        episode: as the log has it.

    Raises:
        ReplayError: at the first turn that cannot have happened.
    """
    environment = task.environment
    state, left = start, task.limits.actions
    for number, turn in enumerate(episode.turns, start=1):
        actions = [environment.parse_action(text) for text in turn.actions]
        if turn.executed != len(turn.outcomes) or turn.executed > min(len(actions), left):
            raise ReplayError(f"turn {number} executes what it did not choose")
        before = state
        for action, index in zip(actions, turn.outcomes, strict=False):
            outcomes = () if action is None else environment.outcomes(state, action)
            if not 0 <= index < len(outcomes):
                raise ReplayError(f"turn {number} has an action or an outcome that there is not")
            state = outcomes[index].state
        chosen = tuple(action for action in actions[:left] if action is not None)
        yield ReplayedTurn(turn, before, state, chosen)
        left -= turn.executed
