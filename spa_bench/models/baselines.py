"""Two policies: `baseline/random` plays the floor, `baseline/oracle` the ceiling.

They answer in the task's own format and are read by the same parser as everybody else. They
alone are handed the true state.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from spa_bench.environments.bounds import NoExactBoundError, Solver
from spa_bench.environments.forecast import forecast
from spa_bench.environments.limits import Limits
from spa_bench.errors import InputError, ModelError, ModelGoneError, nearest, plugin_code
from spa_bench.formats.format import SEPARATOR, Content
from spa_bench.models.model import Capabilities, ModelOptions, Privileged, Reply, Request


class Baseline:
    """What both baselines share: they choose actions from what only they can see."""

    capabilities = Capabilities(prefill=True, seed=True, privileged=True, deterministic=True)
    concurrency = 1

    def __init__(self, name: str) -> None:
        self.name = name

    def identity(self) -> Mapping[str, Any]:
        return {}

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def generate(self, request: Request) -> Reply:
        seen = request.privileged
        if seen is None:
            raise ModelError(f"{self.name} needs to see the state")
        environment = seen.environment
        with plugin_code(f"environment {environment.name!r} or its format"):
            actions = self.choose(seen, request.seed)
            after = seen.state
            if environment.enumerable:
                possible = forecast(environment, seen.state, actions)
                after = max(possible, key=lambda state: possible[state])
            message = seen.compose(
                Content(
                    answer=f" {SEPARATOR} ".join(map(environment.format_action, actions)),
                    observation=environment.observe(seen.state, seen.observation),
                    prediction=environment.observe(after, seen.observation),
                )
            )
        continues = message.startswith(request.prefill)
        text = message.removeprefix(request.prefill)
        return Reply(text=text, stop_reason="stop", prefilled=continues)

    def choose(self, seen: Privileged, seed: int) -> Sequence[Any]:
        """Returns the actions of one turn."""
        raise TypeError("a baseline defines `choose`")


class RandomBaseline(Baseline):
    """Every action uniform over all syntactically valid ones, until the budget is spent."""

    def choose(self, seen: Privileged, seed: int) -> Sequence[Any]:
        rng = random.Random(seed)
        choices = seen.environment.actions(seen.state)
        if not choices:
            raise InputError(
                f"{self.name}: the environment {seen.environment.name!r} offers nothing to choose"
                " from: `actions` must name some wherever the episode goes on"
            )
        return rng.choices(choices, k=min(seen.limits.actions_per_turn, seen.actions_left))


class OracleBaseline(Baseline):
    """The best policy under the task's limits, by exact search.

    Where a board has too many states to search, it follows the environment's own plan.
    """

    _BOARDS_KEPT = 64

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._solvers: OrderedDict[tuple[str, Any, Limits], Solver] = OrderedDict()
        self._too_large: set[tuple[str, Limits]] = set()

    def choose(self, seen: Privileged, seed: int) -> Sequence[Any]:
        solver = self._solver(seen)
        if solver is not None:
            with suppress(NoExactBoundError):
                return solver.best_turn(seen.state, seen.turns_left, seen.actions_left)
        plan = seen.environment.plan(seen.state) if seen.environment.enumerable else None
        if plan is None:
            raise ModelGoneError(
                f"{self.name} cannot play {seen.environment.name}:"
                " its states are too many, or cannot be searched"
            )
        return plan[: min(seen.limits.actions_per_turn, seen.actions_left)]

    def _solver(self, seen: Privileged) -> Solver | None:
        kind = (seen.environment.environment_id, seen.limits)
        key = (seen.environment.environment_id, seen.start, seen.limits)
        if kind in self._too_large or not seen.environment.enumerable:
            return None
        if key not in self._solvers:
            try:
                self._solvers[key] = Solver(seen.environment, seen.start, seen.limits)
            except NoExactBoundError:
                self._too_large.add(kind)
                return None
            if len(self._solvers) > self._BOARDS_KEPT:
                self._solvers.popitem(last=False)
        return self._solvers[key]


_BASELINES = {"random": RandomBaseline, "oracle": OracleBaseline}


def load(options: ModelOptions) -> Baseline:
    """Builds a baseline.

    Raises:
        InputError: for any other name, and for settings a baseline does not have.
    """
    if options.model not in _BASELINES:
        raise InputError(
            f"unknown baseline {options.model!r}{nearest(options.model, _BASELINES)};"
            f" there are {' and '.join(f'baseline/{name}' for name in _BASELINES)}"
        )
    for name in ("base_urls", "batch_size", "device", "dtype", "adapter"):
        if getattr(options, name):
            flag = name.removesuffix("s").replace("_", "-")
            raise InputError(f"a baseline has no --{flag}")
    if options.args:
        raise InputError(f"a baseline has no model argument {next(iter(options.args))!r}")
    return _BASELINES[options.model](options.label)
