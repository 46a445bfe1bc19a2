"""Who plays when data is made: the model itself, or random actions in the model's format."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Literal

from spa_bench.formats.format import SEPARATOR, Content
from spa_bench.models.baselines import Baseline
from spa_bench.models.model import Privileged, Reply, Request


class RandomPlayer(Baseline):
    """Plays random actions and says beforehand which; its beliefs are states of other moments.

    A reply is well formed in every way: it names actions that exist, and where the format asks
    for states it writes states of this world. They are states this player saw earlier, of any
    board, so they tell nothing about the board in hand: a model that imitates this player learns
    the language of a world and none of its facts.

    Args:
        name: for logs and seeds.
        actions_a_turn: the number of actions of a turn is drawn from these, uniformly; never more
            than the task's limits allow.
    """

    _REMEMBERED = 4096

    def __init__(self, name: str, actions_a_turn: Sequence[int] = (1, 2, 3)) -> None:
        super().__init__(name)
        self._lengths = tuple(actions_a_turn)
        self._seen: dict[tuple[str, str], list[str]] = {}

    async def generate(self, request: Request) -> Reply:
        seen = request.privileged
        assert seen is not None, "declared in the capabilities"
        rng = random.Random(request.seed)
        actions = " " + SEPARATOR + " "
        chosen = actions.join(map(seen.environment.format_action, self.choose(seen, request.seed)))
        states = self._remember(seen, rng)
        message = seen.compose(
            Content(
                answer=chosen,
                reasoning=chosen,
                observation=rng.choice(states),
                prediction=rng.choice(states),
            )
        )
        return Reply(text=message.removeprefix(request.prefill), stop_reason="stop", prefilled=True)

    def choose(self, seen: Privileged, seed: int) -> Sequence[Any]:
        rng = random.Random(seed)
        most = min(seen.limits.actions_per_turn, seen.actions_left)
        return rng.choices(
            seen.environment.actions(seen.state), k=min(rng.choice(self._lengths), most)
        )

    def _remember(self, seen: Privileged, rng: random.Random) -> list[str]:
        key = (seen.environment.environment_id, seen.observation)
        states = self._seen.setdefault(key, [])
        now = seen.environment.observe(seen.state, seen.observation)
        if len(states) < self._REMEMBERED:
            states.append(now)
        else:
            states[rng.randrange(len(states))] = now
        return states


Source = Literal["model", "random"]
"""Whose actions fill a dataset: the model's own, as published, or random ones (an ablation)."""
