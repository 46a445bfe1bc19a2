"""Players of FrozenLake that know little, on the paper's boards: how often they succeed, exactly.

They show what a score tells of a model: what one of them reaches, no model needs to know more for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from statistics import fmean
from typing import TypeAlias

from benchmarks.tables import markdown
from spa_bench.environments.frozenlake import HOLE, MOVES, FrozenLake, FrozenLakeState, Move
from spa_bench.registry import Registry
from spa_bench.results.shown import percent
from spa_bench.task import Task

Player: TypeAlias = Callable[[FrozenLake, FrozenLakeState], Sequence[Move]]
"""Returns the moves among which it chooses at random, all equally likely."""

TASKS = ("frozenlake", "frozenlake_6x6", "frozenlake_slippery")
KS = (1, 8)


def any_move(lake: FrozenLake, state: FrozenLakeState) -> Sequence[Move]:
    """Is uniformly random play, the floor."""
    return MOVES


def off_holes(lake: FrozenLake, state: FrozenLakeState) -> Sequence[Move]:
    """Moves at random, but not off the board, nor in the direction of a hole next to it."""
    return [m for m in MOVES if _ahead(lake, state, m) not in (None, HOLE)] or MOVES


def to_the_goal(lake: FrozenLake, state: FrozenLakeState) -> Sequence[Move]:
    """Moves nearer to the goal as if there were no holes."""
    (row, column), (goal_row, goal_column) = (_place(lake, state, it) for it in ("player", "goal"))
    nearer = (goal_column < column, goal_row > row, goal_column > column, goal_row < row)
    return [move for move, is_nearer in zip(MOVES, nearer, strict=True) if is_nearer]


def to_the_goal_off_holes(lake: FrozenLake, state: FrozenLakeState) -> Sequence[Move]:
    """Moves nearer to the goal, unless into a hole; else anywhere but into one."""
    nearer = to_the_goal(lake, state)
    return [m for m in nearer if _ahead(lake, state, m) != HOLE] or off_holes(lake, state)


PLAYERS: Mapping[str, Player] = {
    "uniformly random (the floor)": any_move,
    "random, but never off the board or towards a hole next to it": off_holes,
    "towards the goal, as if there were no holes": to_the_goal,
    "towards the goal, but never towards a hole next to it": to_the_goal_off_holes,
}


def players() -> str:
    """Returns a table: Pass@1 / Pass@8 of each player on each task, in percent."""
    rows = list[list[str]]()
    tasks = [Registry().load(name) for name in TASKS]
    for says, player in PLAYERS.items():
        values = [success(task, player) for task in tasks]
        rows.append([says, *(" / ".join(percent(v) for v in found) for found in values)])
    return markdown(["player", *TASKS], rows)


def success(task: Task, player: Player) -> list[float]:
    """Returns Pass@k of a player on a task's boards, for each of `KS`; it looks at every action."""
    lake = task.environment
    assert isinstance(lake, FrozenLake)

    @cache
    def value(state: FrozenLakeState, actions: int) -> float:
        if lake.is_success(state):
            return 1.0
        if actions == 0 or lake.loss(state) is not None:
            return 0.0
        return fmean(
            sum(float(o.probability) * value(o.state, actions - 1) for o in lake.outcomes(state, m))
            for m in player(lake, state)
        )

    rates = [value(board.state, task.limits.actions) for board in task.boards[0]]
    return [fmean(1 - (1 - rate) ** k for rate in rates) for k in KS]


def _place(lake: FrozenLake, state: FrozenLakeState, what: str) -> tuple[int, int]:
    ((place, _),) = lake.facts(state)[what]
    return place


def _ahead(lake: FrozenLake, state: FrozenLakeState, move: Move) -> str | None:
    """Returns what is next to the player in a direction; None off the board."""
    row, column = _place(lake, state, "player")
    down, right = ((0, -1), (1, 0), (0, 1), (-1, 0))[MOVES.index(move)]
    rows = state.lake.split("\n")
    inside = 0 <= row + down < lake.size and 0 <= column + right < lake.size
    return rows[row + down][column + right] if inside else None
