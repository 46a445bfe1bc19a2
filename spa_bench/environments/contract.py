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
    if wrong := unhashable(start):
        return wrong
    seen, waiting = {start}, deque([start])
    again = dataclasses.replace(cast(Any, environment))
    while waiting:
        state = waiting.popleft()
        actions = environment.actions(state)
        listed = actions if environment.enumerable else ()
        done = [(action, environment.outcomes(state, action)) for action in listed]
        for wrong in itertools.chain(
            _mistyped(environment, done),
            _misread(environment, state, actions),
            _misdone(environment, state, done),
            _unsteady(again, state, done),
        ):
            return f"{wrong}, in the state {environment.render(state)!r}"
        for outcome in itertools.chain.from_iterable(outcomes for _, outcomes in done):
            if not outcome.terminal and outcome.state not in seen and len(seen) < most:
                seen.add(outcome.state)
                waiting.append(outcome.state)
    return None


def unhashable(state: Any) -> str | None:
    """Returns what is said of a state that cannot be hashed; None of one that can."""
    if _can_be_hashed(state):
        return None
    fields = dict[str, Any]()
    if dataclasses.is_dataclass(state):
        fields = vars(state)
    elif hasattr(state, "_asdict"):
        fields = state._asdict()
    bad = (
        f"field `{k}` is a {type(v).__name__}" for k, v in fields.items() if not _can_be_hashed(v)
    )
    return f"a state must be hashable; {next(bad, f'it is a {type(state).__name__}')}"


def _can_be_hashed(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


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
    # most are such, and to look closer takes long
    if type(outcomes) is tuple and len(outcomes) == 1:
        (only,) = outcomes
        if type(only) is Outcome and only.probability is CERTAIN:
            return outcomes
    if wrong := _wrong_type(outcomes):
        raise PluginError(f"environment {environment.name!r}: {wrong}")
    if wrong := _wrong_chances(outcomes):
        raise PluginError(
            f"environment {environment.name!r}: after the action"
            f" {environment.format_action(action)!r} {wrong}, in the state"
            f" {environment.render(state)!r}"
        )
    return outcomes


def _wrong_type(outcomes: Any) -> str | None:
    must = "outcomes(state, action) must return a tuple of Outcome"
    if isinstance(outcomes, Outcome) or not isinstance(outcomes, tuple):
        return f"{must}, not {type(cast(Any, outcomes)).__name__}"
    others = (one for one in cast(tuple[Any, ...], outcomes) if not isinstance(one, Outcome))
    return next((f"{must}; in it is a {type(one).__name__}" for one in others), None)


def _mistyped(
    environment: AnyEnvironment, done: Sequence[tuple[Any, tuple[Outcome[Any], ...]]]
) -> Iterator[str]:
    for action, outcomes in done:
        wrong = _wrong_type(outcomes) or next(
            filter(None, (unhashable(outcome.state) for outcome in outcomes)), None
        )
        if wrong:
            yield f"after the action {environment.format_action(action)!r} {wrong}"


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
