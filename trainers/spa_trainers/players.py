"""Who plays when data is made: the model itself, or random actions in the model's format."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from spa_bench.formats.format import SEPARATOR, Content, numbered
from spa_bench.models.baselines import Baseline
from spa_bench.models.model import Privileged, Reply, Request


class RandomPlayer(Baseline):
    """Plays random actions, says beforehand which, and knows nothing of what they do.

    A reply is well formed in every way: it names actions that exist, and where the format asks
    for states, it copies the one it was shown as observation, and as prediction that one again, or
    another that has nothing to do with it. A model that imitates this player learns to read
    and to write, and nothing of what actions do. The plan is numbered, so that a small model finds
    each action again when it answers.

    Args:
        name: for logs and seeds.
        actions_a_turn: the number of actions of a turn is drawn from these, uniformly; never more
            than the task's limits allow.
        expected: environment -> states of which it expects one, drawn uniformly; None expects the
            state shown.
    """

    def __init__(
        self,
        name: str,
        actions_a_turn: Sequence[int] = (1, 2, 3),
        expected: Mapping[Any, Sequence[Any]] | None = None,
    ) -> None:
        super().__init__(name)
        self._lengths = tuple(actions_a_turn)
        self._expected = expected

    async def generate(self, request: Request) -> Reply:
        seen = request.privileged
        assert seen is not None, "declared in the capabilities"
        actions = self.choose(seen, request.seed)
        named = list(map(seen.environment.format_action, actions))
        chosen = f" {SEPARATOR} ".join(named)
        shown = seen.environment.observe(seen.state, seen.observation)
        expected = shown
        if self._expected is not None:
            one = random.Random(~request.seed).choice(self._expected[seen.environment])
            expected = seen.environment.observe(one, seen.observation)
        message = seen.compose(
            Content(
                answer=chosen, reasoning=numbered(named), observation=shown, prediction=expected
            )
        )
        return Reply(text=message.removeprefix(request.prefill), stop_reason="stop", prefilled=True)

    def choose(self, seen: Privileged, seed: int) -> Sequence[Any]:
        rng = random.Random(seed)
        most = min(seen.limits.actions_per_turn, seen.actions_left)
        choices = seen.environment.actions(seen.state)
        return rng.choices(choices, k=min(rng.choice(self._lengths), most))


Expected = Literal["shown", "same", "any"]
"""What a random player writes as its prediction: the state it was shown, always the same state, or
that of any training board."""

Source = Literal["model", "random"]
"""Whose actions fill a dataset: the model's own, as published, or random ones (an ablation)."""
