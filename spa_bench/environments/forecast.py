"""Where a world may be after actions that are executed blind: the exact distribution."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from spa_bench.environments.environment import CERTAIN, AnyEnvironment


def forecast(
    environment: AnyEnvironment, state: Hashable, actions: Sequence[Any]
) -> Mapping[Any, Fraction]:
    """Returns each state that may follow, with its probability.

    An end stops the rest of the actions, as it does in an episode. On certain dynamics there is
    one state.
    """
    going: dict[Hashable, Fraction] = {state: CERTAIN}
    ended: dict[Hashable, Fraction] = {}
    for action in actions:
        further: dict[Hashable, Fraction] = {}
        for here, probability in going.items():
            for outcome in environment.outcomes(here, action):
                into = ended if outcome.terminal else further
                share = (
                    probability
                    if outcome.probability is CERTAIN
                    else probability * outcome.probability
                )
                known = into.get(outcome.state)
                into[outcome.state] = share if known is None else known + share
        going = further
    for there, probability in going.items():
        known = ended.get(there)
        ended[there] = probability if known is None else known + probability
    return ended
