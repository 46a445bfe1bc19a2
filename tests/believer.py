"""A model that plays fairly and believes badly: for pages that show belief beside truth."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import Any, ClassVar

from spa_bench.formats.format import SEPARATOR, Content
from spa_bench.models.baselines import OracleBaseline, RandomBaseline
from spa_bench.models.model import Reply, Request, Usage

MARKUP = "</script><img src=x onerror=alert(1)>&amp;\u2028</pre>"
"""What a reply might hold to break out of a page."""


class Believer(OracleBaseline):
    """Plays a random turn now and then, sees a step ahead at times, or expects no change.

    Args:
        skill: the probability that a turn is the oracle's, and that a statement is right.
    """

    _BOARDS_KEPT = 4096
    _searched: ClassVar[OrderedDict[Any, Any]] = OrderedDict()

    def __init__(self, name: str = "scripted/believer", skill: float = 0.6) -> None:
        super().__init__(name)
        self._solvers = self._searched  # several play the same boards
        self._skill = skill
        self._random = RandomBaseline(name)

    async def generate(self, request: Request) -> Reply:
        seen = request.privileged
        assert seen is not None
        rng = random.Random(request.seed)
        policy = self if rng.random() < self._skill else self._random
        environment, actions = seen.environment, policy.choose(seen, request.seed)
        after = seen.state
        for action in actions:
            after = max(environment.outcomes(after, action), key=lambda o: o.probability).state
        ahead = environment.outcomes(seen.state, rng.choice(environment.actions(seen.state)))
        observed = seen.state if rng.random() < self._skill else ahead[0].state
        predicted = after if rng.random() < self._skill else seen.state
        message = seen.compose(
            Content(
                answer=f" {SEPARATOR} ".join(map(environment.format_action, actions)),
                reasoning=f"I go on. {MARKUP}",
                observation=environment.observe(observed, seen.observation),
                prediction=environment.observe(predicted, seen.observation)
                if rng.random() < 0.9
                else "somewhere else",
            )
        )
        text = message.removeprefix(request.prefill)
        usage = Usage(prompt_tokens=400, completion_tokens=len(text) // 4)
        return Reply(
            text=text,
            stop_reason="stop",
            prefilled=message.startswith(request.prefill),
            usage=usage,
        )
