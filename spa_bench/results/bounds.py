"""Exact floor and ceiling of a task: what chance gets, and what the best possible policy gets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from spa_bench.environments.bounds import Solver
from spa_bench.metrics.success import pass_at_k_of, pass_hat_k_of
from spa_bench.task import Instance, Task


@dataclass(frozen=True)
class BoardBounds:
    """Bounds of one board: success probabilities, and the shortest plan where one fits."""

    floor: float
    ceiling: float
    closed_loop: float
    shortest_plan: int | None


def board_bounds(task: Task, boards: Sequence[Instance]) -> dict[str, BoardBounds]:
    """Returns the bounds of each board by its id; equal boards are searched once."""
    found: dict[object, BoardBounds] = {}
    for board in boards:
        if board.state not in found:
            solver = Solver(task.environment, board.state, task.limits)
            found[board.state] = BoardBounds(
                solver.floor(), solver.ceiling(), solver.closed_loop(), solver.shortest_plan()
            )
    return {board.id: found[board.state] for board in boards}


def metric_of_policy(metric: str, probabilities: Sequence[float]) -> float:
    """Returns pass@k or pass^k of a policy from its success probability on each board."""
    if not probabilities:
        return math.nan
    kind, k = metric[:5], int(metric[5:])
    of = pass_at_k_of if kind == "pass@" else pass_hat_k_of
    return math.fsum(of(p, k) for p in probabilities) / len(probabilities)
