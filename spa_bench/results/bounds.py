"""Floor and ceiling of a task: what chance gets, and what the best possible policy gets.

Exact wherever a board's states can be searched. Where they are too many, the floor is estimated by
playing at random, and the ceiling is that of the environment's own plan, tried on the kernel.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from spa_bench.canonical import sha256_hex
from spa_bench.environments.bounds import NoExactBoundError, Solver
from spa_bench.environments.contract import checked_outcomes
from spa_bench.environments.environment import AnyEnvironment
from spa_bench.environments.limits import Limits
from spa_bench.errors import plugin_code
from spa_bench.metrics.interval import Estimate, clustered
from spa_bench.metrics.success import metric_of
from spa_bench.task import Instance, Task

RANDOM_EPISODES = 50
"""Episodes of random play a board, where the floor is estimated."""


@dataclass(frozen=True, slots=True)
class BoardBounds:
    """Bounds of one board.

    Attributes:
        floor, ceiling, closed_loop: success probabilities; NaN where unknown.
        shortest_plan: the least number of actions, where one fits the limits and is known.
        random_successes: None where the floor is exact; else successes of `RANDOM_EPISODES`.
    """

    floor: float
    ceiling: float
    closed_loop: float
    shortest_plan: int | None
    random_successes: int | None = None

    @property
    def exact(self) -> bool:
        """Whether all of it is exact."""
        return self.random_successes is None


def board_bounds(task: Task, boards: Sequence[Instance]) -> dict[str, BoardBounds]:
    """Returns the bounds of each board by its id; equal boards are searched once.

    Once a board has too many states to search, the rest of the task's boards are not tried.
    """
    found: dict[str, BoardBounds] = {}
    search = True
    for board in boards:
        with plugin_code(f"bounds of {board.id}: the environment"):
            bounds = _bounds(task.environment, board.state, task.limits, search)
        search = search and bounds.exact
        found[board.id] = bounds
    return found


@lru_cache(maxsize=10_000)
def _bounds(environment: AnyEnvironment, start: Any, limits: Limits, search: bool) -> BoardBounds:
    if not environment.enumerable:
        return BoardBounds(math.nan, math.nan, math.nan, None)
    if search:
        with suppress(NoExactBoundError):
            solver = Solver(environment, start, limits)
            return BoardBounds(
                solver.floor(), _ceiling(solver), solver.closed_loop(), solver.shortest_plan()
            )
    return _estimated(environment, start, limits)


def _ceiling(solver: Solver) -> float:
    try:
        return solver.ceiling()
    except NoExactBoundError:
        return math.nan


def _estimated(environment: AnyEnvironment, start: Any, limits: Limits) -> BoardBounds:
    rng = random.Random(sha256_hex([environment.environment_id, environment.board_key(start)]))
    successes = 0
    for _ in range(RANDOM_EPISODES):
        state, over = start, False
        for _ in range(limits.budget):
            action = rng.choice(environment.actions(state))
            outcomes = checked_outcomes(environment, state, action)
            weights = [float(outcome.probability) for outcome in outcomes]
            outcome = rng.choices(outcomes, weights)[0]
            state, over = outcome.state, outcome.terminal
            if over:
                break
        successes += environment.is_success(state)
    length = _length_of_plan(environment, start, limits)
    # a plan that is certain to work is as good as a policy can be
    ceiling = math.nan if length is None else 1.0
    return BoardBounds(successes / RANDOM_EPISODES, ceiling, ceiling, None, successes)


def _length_of_plan(environment: AnyEnvironment, start: Any, limits: Limits) -> int | None:
    """Returns the length of the environment's own plan if it works, surely and within limits."""
    plan = environment.plan(start)
    if plan is None or len(plan) > limits.budget:
        return None
    state = start
    for action in plan:
        outcomes = checked_outcomes(environment, state, action)
        if len(outcomes) != 1:
            return None
        (outcome,) = outcomes
        state = outcome.state
    return len(plan) if environment.is_success(state) else None


def floor_of(metric: str, bounds: Sequence[BoardBounds]) -> Estimate:
    """Returns the floor of pass@k or pass^k; with an interval where it is estimated."""
    if not bounds or any(math.isnan(bound.floor) for bound in bounds):
        return Estimate(math.nan, math.nan, math.nan)
    if all(bound.exact for bound in bounds):
        return Estimate(_mean(metric, [b.floor for b in bounds]), math.nan, math.nan)
    of = metric_of(metric)
    estimated = replace(of, k=min(of.k, RANDOM_EPISODES))
    values = [
        of.of_policy(bound.floor)
        if bound.random_successes is None
        else estimated.of_samples(RANDOM_EPISODES, bound.random_successes)
        for bound in bounds
    ]
    return clustered(values, RANDOM_EPISODES * len(bounds))


def ceiling_of(metric: str, bounds: Sequence[BoardBounds]) -> float:
    """Returns the ceiling of pass@k or pass^k."""
    return _mean(metric, [bound.ceiling for bound in bounds])


def closed_loop_of(metric: str, bounds: Sequence[BoardBounds]) -> float:
    """Returns what the best policy would get that looks before every action."""
    return _mean(metric, [bound.closed_loop for bound in bounds])


def _mean(metric: str, probabilities: Sequence[float]) -> float:
    of = metric_of(metric).of_policy
    return math.fsum(map(of, probabilities)) / len(probabilities) if probabilities else math.nan
