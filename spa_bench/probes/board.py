"""States and transitions of one board for questions to be about; drawn by keyed chance.

States come from a random walk, which strays, and from a shortest solution, which arrives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import cached_property
from itertools import islice
from operator import eq
from typing import Any, NamedTuple, cast

from spa_bench.environments.environment import AnyEnvironment, Outcome
from spa_bench.environments.keyed import Keyed

_STEPS = 24
"""Steps of the random walk."""

_MOST_TRANSITIONS = 20_000
"""Looked at in search of a success or of a contrast, before the board is taken as it is."""


class Transition(NamedTuple):
    """An action in a state, and all that it can lead to, in states without their past."""

    state: Any
    action: Any
    outcomes: tuple[Outcome[Any], ...]

    @property
    def may_change(self) -> bool:
        """Whether the state after it may be another."""
        return any(outcome.state != self.state for outcome in self.outcomes)

    @property
    def may_end(self) -> bool:
        """Whether the episode may end with it."""
        return any(outcome.terminal for outcome in self.outcomes)


class Outlook(NamedTuple):
    """What can be reached from a state.

    Attributes:
        way: the states of a way to success; empty if none was found.
        states: how many were seen in search of it; from a dead end, all that can be reached.
        exhausted: whether there are no others to be seen.
    """

    way: tuple[Any, ...]
    states: int
    exhausted: bool

    @property
    def success(self) -> bool | None:
        """Whether success can be reached; None if that took too long to tell."""
        return bool(self.way) if self.way or self.exhausted else None


class Board:
    """One board of an environment, with chance of its own for each kind of question."""

    def __init__(self, environment: AnyEnvironment, start: Any, seed: int) -> None:
        self.environment = environment
        self.start = start
        self._seed = seed

    def chance(self, purpose: str) -> Keyed:
        """Returns the stream of chance for one purpose."""
        identity = {"environment": self.environment.environment_id, "purpose": purpose}
        return Keyed("probe", identity, self._seed)

    @cached_property
    def states(self) -> tuple[Any, ...]:
        """Different states in which the episode goes on, the start first."""
        return self.shown_alone([self.start, *self.strolled("walk", _STEPS), *self.solution])

    def shown_alone(self, states: Iterable[Any]) -> tuple[Any, ...]:
        """Returns the different states without their past in which the episode goes on."""
        forget, over = self.environment.without_past, self.environment.is_over
        return tuple(dict.fromkeys(forget(state) for state in states if not over(state)))

    def strolled(self, purpose: str, steps: int) -> tuple[Any, ...]:
        """Returns the states of a random walk among actions that may change something.

        Where the episode ends it begins again; where there is nothing to do, the walk is over.
        """
        chance, environment = self.chance(purpose), self.environment
        state, seen = self.start, list[Any]()
        for _ in range(steps):
            numbers = environment.effective_actions(state)
            if not numbers:
                break
            action = environment.actions(state)[chance.choice(numbers)]
            outcome = _drawn(chance, environment.outcomes(state, action))
            seen.append(outcome.state)
            state = self.start if outcome.terminal else outcome.state
        return tuple(seen)

    @cached_property
    def solution(self) -> tuple[Any, ...]:
        """The states of a shortest way to success (with luck), or of the environment's own plan.

        Empty where none is found.
        """
        return self.outlook(self.start, _MOST_TRANSITIONS).way

    def transitions(self, chance: Keyed) -> Iterator[Transition]:
        """Yields the transitions from `states` by all actions, in random order.

        Those that the environment says to be without effect come last.
        """
        yield from self.effective_transitions(chance)
        for state in shuffled(chance, self.states):
            effective = frozenset(self.environment.effective_actions(state))
            count = len(self.environment.actions(state))
            idle = [number for number in range(count) if number not in effective]
            yield from self._by(chance, state, idle)

    def effective_transitions(self, chance: Keyed) -> Iterator[Transition]:
        """Yields the transitions from `states` by actions that may change something, shuffled."""
        for state in shuffled(chance, self.states):
            yield from self._by(chance, state, self.environment.effective_actions(state))

    def contrast(
        self,
        chance: Keyed,
        answer: Callable[[Transition], str | None],
        shared: Callable[[Transition], Hashable],
    ) -> dict[str, Transition]:
        """Returns transitions with different answers that have something in common, by answer.

        What they share therefore tells nothing about the answer, and no more does the action where
        the same or a similar one can be had.

        Args:
            chance: to choose among what serves equally well.
            answer: of a transition; None if it is not to be asked about.
            shared: what all of them are to have in common. Of its values, one with the most
                different answers is taken.
        """
        groups: dict[Hashable, dict[str, list[Transition]]] = {}
        for transition in islice(self._all_transitions(chance), _MOST_TRANSITIONS):
            given = answer(transition)
            if given is not None:
                groups.setdefault(shared(transition), {}).setdefault(given, []).append(transition)
        if not groups:
            return {}
        found = max(groups.values(), key=len)
        parts = _parts(min(found.values(), key=len)[0].action)  # of the rarest answer's

        def likeness(transition: Transition) -> tuple[bool, ...]:
            """Says which parts an action shares, the first most important."""
            return tuple(map(eq, _parts(transition.action), parts))

        return {given: max(found[given], key=likeness) for given in sorted(found)}

    def _all_transitions(self, chance: Keyed) -> Iterator[Transition]:
        for state in shuffled(chance, self.states):
            yield from self._by(chance, state, range(len(self.environment.actions(state))))

    def _by(self, chance: Keyed, state: Any, numbers: Sequence[int]) -> Iterator[Transition]:
        actions = self.environment.actions(state)
        for number in shuffled(chance, numbers):
            action = actions[number]
            yield Transition(state, action, self.outcomes(state, action))

    def outcomes(self, state: Any, action: Any) -> tuple[Outcome[Any], ...]:
        """Returns what an action can lead to, in states without their past."""
        forget = self.environment.without_past
        outcomes = self.environment.outcomes(state, action)
        return tuple(outcome._replace(state=forget(outcome.state)) for outcome in outcomes)

    def outlook(self, state: Any, most_transitions: int) -> Outlook:
        """Returns what can be reached from a state, by a plan or a search that gives up in time."""
        planned = _planned(self.environment, state)
        if planned:
            return Outlook(planned, len(planned), False)
        return _search(self.environment, state, most_transitions)


def shuffled(chance: Keyed, options: Sequence[Any]) -> Iterator[Any]:
    """Yields the options in random order, drawn as far as they are asked for."""
    items = list(options)
    while items:
        at = chance.below(len(items))
        items[at], items[-1] = items[-1], items[at]
        yield items.pop()


def sampled(chance: Keyed, options: Sequence[Any], most: int) -> Iterator[Any]:
    """Yields so many of the options, in random order, or all if they are fewer."""
    return islice(shuffled(chance, options), most)


def _parts(action: Any) -> tuple[Any, ...]:
    """Returns what an action is made of; `Up` is its only part."""
    if is_dataclass(action) and not isinstance(action, type):
        return tuple(getattr(action, field.name) for field in fields(action))
    return cast(tuple[Any, ...], action) if isinstance(action, tuple) else (action,)


def _drawn(chance: Keyed, outcomes: tuple[Outcome[Any], ...]) -> Outcome[Any]:
    if len(outcomes) == 1:
        return outcomes[0]
    point = chance.below(1 << 53)
    for outcome in outcomes:
        point -= outcome.probability * (1 << 53)
        if point < 0:
            return outcome
    return outcomes[-1]


def _planned(environment: AnyEnvironment, start: Any) -> tuple[Any, ...]:
    states, state = [start], start
    for action in environment.plan(start) or ():
        outcomes = environment.outcomes(state, action)
        if len(outcomes) != 1:
            return ()
        state = outcomes[0].state
        states.append(state)
    return tuple(states) if environment.is_success(state) else ()


def _search(environment: AnyEnvironment, start: Any, most_transitions: int) -> Outlook:
    """Looks for a shortest way to success."""
    came_from: dict[Any, Any] = {start: None}
    queue, looked_at = deque([start]), 0
    if environment.is_success(start):
        return Outlook((start,), 1, False)
    while queue:
        here = queue.popleft()
        actions = environment.actions(here)
        for number in environment.effective_actions(here):
            for outcome in environment.outcomes(here, actions[number]):
                looked_at += 1
                there = outcome.state
                if there in came_from:
                    continue
                came_from[there] = here
                if environment.is_success(there):
                    return Outlook(_way(came_from, there), len(came_from), False)
                if not outcome.terminal:
                    queue.append(there)
        if looked_at > most_transitions:
            return Outlook((), len(came_from), False)
    return Outlook((), len(came_from), True)


def _way(came_from: dict[Any, Any], state: Any) -> tuple[Any, ...]:
    way = [state]
    while (state := came_from[state]) is not None:
        way.append(state)
    return tuple(reversed(way))
