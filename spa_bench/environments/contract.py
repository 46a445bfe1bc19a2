"""What every world must hold to, tried on the states around a board's start.

For authors of worlds: a kernel that breaks one of these rules can be played, but its bounds, its
questions and its belief scores mean nothing.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, cast

from spa_bench.environments.environment import CERTAIN, AnyEnvironment, Outcome
from spa_bench.errors import PluginError

_NOWHERE = frozenset[Any]()
_STATES = 32
"""So many states are looked at: mistakes of a kernel show early, and every task is checked."""


def breach(environment: AnyEnvironment, start: Any, most: int = _STATES) -> str | None:
    """Returns the first rule that is broken, and where; None if none is.

    Args:
        start: the state of a board.
        most: states to look at, those nearest to the start first. In a world that does not
            enumerate its outcomes only the start is looked at, and it need not name actions nor
            be read; nor need a question be read.
    """
    seen, waiting = {start}, deque([start])
    again = dataclasses.replace(cast(Any, environment))
    while waiting:
        state = waiting.popleft()
        actions = environment.actions(state)
        listed = actions if environment.enumerable else ()
        done = [(action, environment.outcomes(state, action)) for action in listed]
        for wrong in (
            *_misread(environment, state, actions),
            *_misdone(environment, state, done),
            *_unsteady(again, state, done),
        ):
            return f"{wrong}, in the state {environment.render(state)!r}"
        for outcome in itertools.chain.from_iterable(outcomes for _, outcomes in done):
            if not outcome.terminal and outcome.state not in seen and len(seen) < most:
                seen.add(outcome.state)
                waiting.append(outcome.state)
    return None


def unsteady_board(environment: AnyEnvironment, seed: int) -> str | None:
    """Returns what is said if a seed's board differs from call to call; None if it does not."""
    again = dataclasses.replace(cast(Any, environment))
    if environment.initial_state(seed) == again.initial_state(seed):
        return None
    return f"initial_state({seed}) differs from call to call; all its chance must be of the seed"


def checked_outcomes(
    environment: AnyEnvironment, state: Any, action: Any
) -> tuple[Outcome[Any], ...]:
    """Returns all that an action can lead to, with probabilities that exact bounds can trust.

    Raises:
        PluginError: if these are no fractions, or do not add up to 1.
    """
    outcomes = environment.outcomes(state, action)
    # most are this very object, and to add up Fractions takes long
    certain = len(outcomes) == 1 and outcomes[0].probability is CERTAIN
    if not certain and (wrong := _wrong_chances(outcomes)):
        raise PluginError(
            f"environment {environment.name!r}: after the action"
            f" {environment.format_action(action)!r} {wrong}, in the state"
            f" {environment.render(state)!r}"
        )
    return outcomes


def _misread(environment: AnyEnvironment, state: Any, actions: Sequence[Any]) -> Iterator[str]:
    facts = environment.facts(state)
    for writes, reads in (("render", "parse_render"), ("describe", "parse_describe")):
        read = getattr(environment, reads)(getattr(environment, writes)(state))
        if read is None and environment.enumerable and not environment.whole_answer:
            yield f"{reads} does not read what {writes} writes"
        if read is not None and any(facts.get(kind, _NOWHERE) != read[kind] for kind in read):
            yield f"{reads} reads other facts than those of the state that {writes} wrote"
    if not actions and environment.enumerable:
        yield "there is no action, and it is not over"
    for action in actions:
        name = environment.format_action(action)
        if environment.parse_action(name) != action:
            yield f"parse_action does not read {name!r}, an action as format_action writes it"


def _misdone(
    environment: AnyEnvironment, state: Any, done: Sequence[tuple[Any, tuple[Outcome[Any], ...]]]
) -> Iterator[str]:
    changing = set(environment.effective_actions(state))
    for number, (action, outcomes) in enumerate(done):
        name = environment.format_action(action)
        for wrong in _wrong_outcomes(environment, outcomes):
            yield f"after the action {name!r} {wrong}"
        if number not in changing and _does_something(state, outcomes):
            yield f"the action {name!r} does something, and effective_actions leaves it out"


def _unsteady(
    again: AnyEnvironment, state: Any, done: Sequence[tuple[Any, tuple[Outcome[Any], ...]]]
) -> Iterator[str]:
    for action, outcomes in done:
        if again.outcomes(state, action) != outcomes:
            name = again.format_action(action)
            yield f"what the action {name!r} leads to differs from call to call (`outcomes`)"


def _wrong_outcomes(
    environment: AnyEnvironment, outcomes: tuple[Outcome[Any], ...]
) -> Iterator[str]:
    if wrong := _wrong_chances(outcomes):
        yield wrong
    for outcome in outcomes:
        if not math.isfinite(outcome.reward):
            yield f"the reward is {outcome.reward}"
        over = environment.is_over(outcome.state)
        if over and not outcome.terminal:
            yield "the board is solved or lost, and the episode goes on"
        if outcome.terminal and not over:
            yield "the episode ends, and the board is neither solved nor lost"


def _wrong_chances(outcomes: tuple[Outcome[Any], ...]) -> str | None:
    chances: list[Any] = [outcome.probability for outcome in outcomes]
    if not all(isinstance(chance, Fraction) and chance > 0 for chance in chances):
        return "a probability is not a fraction above 0"
    return None if sum(chances) == 1 else f"probabilities add up to {sum(chances)}, not to 1"


def _does_something(state: Any, outcomes: tuple[Outcome[Any], ...]) -> bool:
    return any(o.state != state or o.reward or o.terminal for o in outcomes)
