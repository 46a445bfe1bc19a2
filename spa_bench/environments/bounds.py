"""What a kernel makes possible: exact floor, ceiling, closed loop and shortest plan.

All are dynamic programming over `outcomes`; no rule of any environment is repeated here.

* *Floor*: every action uniform over `actions(state)`, until the action budget is spent.
* *Closed loop*: the best policy that sees the state before every action.
* *Ceiling*: the best policy under all of a task's limits. It sees the state at the start of a
  turn and commits to up to `actions_per_turn` actions, which run blind.

With deterministic dynamics looking adds nothing, so ceiling and closed loop are one search.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spa_bench.environments.contract import checked_outcomes
from spa_bench.environments.environment import CERTAIN, AnyEnvironment
from spa_bench.environments.limits import Limits

STATE_LIMIT = 1_000_000
"""Above so many reachable states, bounds are not computed exactly."""

TRANSITION_LIMIT = 1_000_000
"""And above so many transitions by actions that may change something: a few seconds a board."""

_DENSE_LIMIT = 4_000_000
"""Numbers the blind search may hold for one turn (open-loop sequences x states)."""


class NoExactBoundError(RuntimeError):
    """There is no exact answer: too many states are reachable within the budget, or sequences of
    actions cannot be told apart by their places in a state's list."""


@lru_cache(maxsize=10_000)  # the repeats of a board often end alike
def can_succeed(
    environment: AnyEnvironment, state: Hashable, most_transitions: int = 20_000
) -> bool | None:
    """Returns whether success can be reached from `state` at all, in any number of actions.

    None if that is still open after looking at `most_transitions` transitions.
    """
    if not environment.enumerable:
        return None
    seen, queue = {state}, deque([state])
    looked_at = 0
    while queue:
        if looked_at >= most_transitions:
            return None
        here = queue.popleft()
        if environment.is_success(here):
            return True
        actions, effective = environment.actions(here), environment.effective_actions(here)
        looked_at += len(actions) - len(effective)
        for number in effective:
            for outcome in environment.outcomes(here, actions[number]):
                looked_at += 1
                if environment.is_success(outcome.state):
                    return True
                if not outcome.terminal and outcome.state not in seen:
                    seen.add(outcome.state)
                    queue.append(outcome.state)
    return False


def least_actions(environment: AnyEnvironment, state: Hashable) -> int | None:
    """Returns the least number of actions that can lead from `state` to a success.

    On stochastic dynamics: with luck. None if none ever can. It may look at every reachable state:
    for small worlds only.
    """
    if environment.is_success(state):
        return 0
    seen, frontier, count = {state}, [state], 0
    while frontier:
        count += 1
        further: list[Hashable] = []
        for here in frontier:
            for action in environment.actions(here):
                for outcome in environment.outcomes(here, action):
                    if environment.is_success(outcome.state):
                        return count
                    if not outcome.terminal and outcome.state not in seen:
                        seen.add(outcome.state)
                        further.append(outcome.state)
        frontier = further
    return None


class Graph:
    """The states reachable from one board within `depth` actions, as arrays.

    Attributes:
        states: in breadth-first order; `states[0]` is the start.
        source, action, target, probability: one entry a possible transition, in the order of
            states, actions and outcomes. Successful and lost states have no transitions, and
            actions that the environment says to be without effect are left out.
        action_counts: for each state, how many actions it has, those without effect included.
        success: for each state, whether it is a success.
        depth: for each state, the least number of actions that can lead to it.
    """

    def __init__(
        self, environment: AnyEnvironment, start: Hashable, depth: int, limit: int = STATE_LIMIT
    ) -> None:
        if environment.least_states(start, depth) > limit:
            raise NoExactBoundError(f"more than {limit} states are reachable in {depth} actions")
        index: dict[Hashable, int] = {start: 0}
        states: list[Any] = [start]
        ended = [environment.is_over(start)]
        depths = [0]
        source: list[int] = []
        action_index: list[int] = []
        target: list[int] = []
        probability: list[float] = []
        action_counts: list[int] = []
        idle_counts: list[int] = []
        self.deterministic = True
        for here, state in enumerate(states):  # grows while it is walked: breadth first
            if ended[here] or depths[here] >= depth:
                action_counts.append(0)
                idle_counts.append(0)
                continue
            if len(source) > TRANSITION_LIMIT:
                raise NoExactBoundError(f"more than {TRANSITION_LIMIT} transitions to look at")
            actions = environment.actions(state)
            effective = environment.effective_actions(state)
            action_counts.append(len(actions))
            idle_counts.append(len(actions) - len(effective))
            for number in effective:
                outcomes = checked_outcomes(environment, state, actions[number])
                self.deterministic &= len(outcomes) == 1
                for outcome in outcomes:
                    there = index.setdefault(outcome.state, len(states))
                    if there == len(states):
                        if there >= limit:
                            raise NoExactBoundError(
                                f"more than {limit} states are reachable in {depth} actions"
                            )
                        states.append(outcome.state)
                        ended.append(outcome.terminal)
                        depths.append(depths[here] + 1)
                    source.append(here)
                    action_index.append(number)
                    target.append(there)
                    # most are this very object, and to convert a Fraction takes long
                    certain = outcome.probability is CERTAIN
                    probability.append(1.0 if certain else float(outcome.probability))
        self.environment = environment
        self.states = states
        self.index = index
        self.source = np.asarray(source, dtype=np.int64)
        self.action = np.asarray(action_index, dtype=np.int64)
        self.target = np.asarray(target, dtype=np.int64)
        self.probability = np.asarray(probability, dtype=np.float64)
        self.action_counts = np.asarray(action_counts, dtype=np.int64)
        self._idle_counts = np.asarray(idle_counts, dtype=np.int64)
        self.depth = np.asarray(depths, dtype=np.int64)
        self.success = np.fromiter(
            (environment.is_success(state) for state in states), dtype=bool, count=len(states)
        )

    @cached_property
    def same_actions(self) -> bool:
        """Whether all states that have actions have the same ones, in the same order."""
        acting = (state for state, n in zip(self.states, self.action_counts, strict=True) if n)
        lists = (self.environment.actions(state) for state in acting)
        first = next(lists, ())
        return all(other is first or list(other) == list(first) for other in lists)

    @cached_property
    def _kernel(self) -> Any:
        """The sparse matrix (actions * S, S) of the transitions of every action, one below another.

        Ended states, and states where an action is without effect or missing, keep their value.
        """
        from scipy.sparse import csr_matrix  # slow to import, and needed by blind search only

        size = len(self.states)
        rows = int(self.action_counts.max(initial=0)) * size
        moving = self.action * size + self.source
        stays = np.setdiff1d(np.arange(rows), moving)
        at = (np.concatenate([moving, stays]), np.concatenate([self.target, stays % size]))
        data = np.concatenate([self.probability, np.ones(len(stays))])
        return csr_matrix((data, at), shape=(rows, size))

    def before_each_action(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns what `values` (N, S) of states are worth one action earlier, (actions * N, S)."""
        expected = (self._kernel @ values.T).reshape(-1, len(self.states), len(values))
        return np.swapaxes(expected, 1, 2).reshape(-1, len(self.states))

    def random_value(self, budget: int) -> float:
        """Returns the probability of success of uniformly random actions, `budget` of them."""
        value = self.success.astype(np.float64)
        counts = np.maximum(self.action_counts, 1)
        weight = self.probability / counts[self.source]
        idle = np.where(self.action_counts > 0, self._idle_counts / counts, 1.0)
        for _ in range(budget):
            moved = np.bincount(self.source, weight * value[self.target], len(self.states))
            value = moved + idle * value
        return float(value[0])

    def distances(self) -> NDArray[np.float64]:
        """Returns for each state the least number of actions to a success (S,), or infinity.

        On stochastic dynamics: with luck.
        """
        distance = np.where(self.success, 0.0, np.inf)
        for _ in range(len(self.states)):
            closer = distance.copy()
            np.minimum.at(closer, self.source, distance[self.target] + 1)
            if np.array_equal(closer, distance):
                break
            distance = closer
        return distance

    def action_values(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the expected `value` after each action, (actions, S); -1 where there is none."""
        shape = (int(self.action_counts.max(initial=0)), len(self.states))
        entry = self.action * shape[1] + self.source
        length = shape[0] * shape[1]
        weight = self.probability * value[self.target]
        expected = np.bincount(entry, weight, length).reshape(shape)
        idle = np.bincount(entry, minlength=length).reshape(shape) == 0
        missing = np.arange(shape[0])[:, None] >= self.action_counts[None, :]
        return np.where(missing, -1.0, np.where(idle, value[None, :], expected))


class Solver:
    """The ceiling policy of one board under one set of limits, with its exact value."""

    def __init__(
        self,
        environment: AnyEnvironment,
        start: Hashable,
        limits: Limits,
        state_limit: int = STATE_LIMIT,
    ) -> None:
        """Explores the board.

        Raises:
            NoExactBoundError: if more than `state_limit` states are reachable. What it is asked
                later raises it, too, if dynamics are stochastic and actions depend on the state.
        """
        self.limits = limits
        self.graph = Graph(environment, start, limits.budget, state_limit)
        self._turn_values: dict[tuple[int, int], NDArray[np.float64]] = {}
        self._closed: list[NDArray[np.float64]] = [self.graph.success.astype(np.float64)]

    def floor(self) -> float:
        """Returns the success probability of uniformly random play."""
        return self.graph.random_value(self.limits.budget)

    def closed_loop(self) -> float:
        """Returns the success probability of the best policy that looks before every action."""
        if self.graph.deterministic:
            return self.ceiling()
        return float(self._closed_values(self.limits.budget)[0])

    def ceiling(self) -> float:
        """Returns the success probability of the best policy under all limits."""
        if self.graph.deterministic:
            return float(self._distances[0] <= self.limits.budget)
        return float(self._values(self.limits.turns, self.limits.actions)[0])

    def shortest_plan(self) -> int | None:
        """Returns the least number of actions to a success, or None if none fits the budget."""
        distance = self._distances[0]
        return int(distance) if distance <= self.limits.budget else None

    def best_turn(self, state: Hashable, turns: int, actions: int) -> Sequence[Any]:
        """Returns the actions the ceiling policy commits to, with so much left of the limits."""
        here = self.graph.index[state]
        length = min(self.limits.actions_per_turn, actions)
        if self.graph.deterministic:
            return self._along_shortest_path(here, length)
        return self._best_blind_sequence(here, turns, actions)

    # -- deterministic dynamics: one breadth-first search -----------------------------------------

    @cached_property
    def _distances(self) -> NDArray[np.float64]:
        return self.graph.distances()

    def _along_shortest_path(self, here: int, length: int) -> list[Any]:
        graph, plan = self.graph, list[Any]()
        environment = graph.environment
        while len(plan) < length and not graph.success[here]:
            state = graph.states[here]
            choices = [
                (self._distances[graph.index.get(outcome.state, here)], number, action, outcome)
                for number, action in enumerate(environment.actions(state))
                for outcome in environment.outcomes(state, action)
            ]
            if not choices:
                break
            distance, _, action, outcome = min(choices, key=lambda choice: choice[:2])
            plan.append(action)
            if not np.isfinite(distance):
                break  # nothing helps any more; one action keeps the turn well-formed
            here = graph.index[outcome.state]
        return plan

    # -- stochastic dynamics -------------------------------------------------------------------

    def _closed_values(self, budget: int) -> NDArray[np.float64]:
        graph = self.graph
        while len(self._closed) <= budget:
            value = self._closed[-1]
            best = graph.action_values(value).max(axis=0, initial=-1.0)
            self._closed.append(np.where(graph.action_counts > 0, best, value))
        return self._closed[budget]

    def _values(self, turns: int, actions: int) -> NDArray[np.float64]:
        """Returns for each state (S,) the ceiling with so many turns and actions left."""
        solved = self.graph.success.astype(np.float64)
        if turns == 0 or actions == 0:
            return solved
        if (turns, actions) not in self._turn_values:
            most = self.limits.actions_per_turn
            # the last turn first, with every number of actions that can be left by then
            for left in range(1, turns + 1):
                before = turns - left
                for budget in range(max(1, actions - before * most), actions - before + 1):
                    if (left, budget) in self._turn_values:
                        continue
                    best = solved
                    for length in range(1, min(most, budget) + 1):
                        values = self._sequence_values(left, budget, length)
                        best = np.maximum(best, values.max(axis=0))
                    self._turn_values[left, budget] = best
        return self._turn_values[turns, actions]

    def _sequence_values(self, turns: int, actions: int, length: int) -> NDArray[np.float64]:
        """Returns the value of every blind sequence of `length` actions, (actions ** length, S).

        Row number in base `actions` spells the sequence, first action most significant.
        """
        if length > 1 and not self.graph.same_actions:
            raise NoExactBoundError("which actions there are depends on the state")
        actions_each = int(self.graph.action_counts.max(initial=0))
        if actions_each**length * len(self.graph.states) > _DENSE_LIMIT:
            raise NoExactBoundError("too many blind sequences for an exact ceiling")
        rows = self._values(turns - 1, actions - length)[None, :]
        for _ in range(length):
            rows = self.graph.before_each_action(rows)
        return rows

    def _best_blind_sequence(self, here: int, turns: int, actions: int) -> list[Any]:
        choices = self.graph.environment.actions(self.graph.states[here])
        best_value, best = -1.0, list[Any]()
        for length in range(1, min(self.limits.actions_per_turn, actions) + 1):
            values = self._sequence_values(turns, actions, length)[:, here]
            row = int(values.argmax())
            if values[row] > best_value + 1e-12:
                best_value = float(values[row])
                base = len(choices)
                best = [choices[row // base**power % base] for power in reversed(range(length))]
        return best
