"""Reward and end: what an action brings, and whether the episode is over."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from spa_bench.environments.environment import AnyEnvironment
from spa_bench.probes.board import Board, Transition, shuffled
from spa_bench.probes.choices import ChoiceProbe
from spa_bench.probes.probe import Item, View
from spa_bench.task import format_reward

_ANSWER = re.compile(r"([-+]?\d{1,15}(?:\.\d{1,6})?)\s*[,;]?\s*(yes|no)\.?", re.IGNORECASE)


@dataclass(frozen=True)
class Reward(ChoiceProbe):
    """A state and an action are shown; its reward, and whether it ends the episode, are asked for.

    A board's items have different answers, at least two, and share what could be a short cut: the
    state on about half of the boards (`same-state`), the kinds of objects that the action changes,
    such as player and box, on the others (`same-change`).
    """

    name: ClassVar[str] = "reward"
    version: ClassVar[int] = 2
    placeholders: ClassVar[frozenset[str]] = frozenset({"state", "action"})

    def items(self, view: View, board: Board) -> Iterator[Item]:
        environment, chance = view.environment, board.chance(self.name)
        in_common: dict[str, Callable[[Transition], Hashable]] = {
            "same-state": lambda transition: transition.state,
            "same-change": lambda transition: _changed(environment, transition),
        }
        for name in shuffled(chance, list(in_common)):
            found = board.contrast(chance, _answer, in_common[name])
            if len(found) > 1:
                for right, transition in found.items():
                    yield _item(view, name, right, transition, tuple(found))
                return

    def read(self, view: View, text: str) -> str | None:
        match = _ANSWER.fullmatch(text.strip())
        if match is None:
            return None
        return f"{format_reward(float(match[1]))}, {match[2].lower()}"


def _item(
    view: View, in_common: str, right: str, transition: Transition, answers: tuple[str, ...]
) -> Item:
    state, action, _ = transition
    named = view.environment.format_action(action)
    return Item(
        stratum=f"{right.replace(', ', '-')}-{in_common}",
        fields=(("state", view.show(state)), ("action", named)),
        right=((right, Fraction(1)),),
        wrong=tuple(answer for answer in answers if answer != right),
    )


def _answer(transition: Transition) -> str | None:
    """Returns what an action brings; None where chance decides, or no number can say it."""
    if len(transition.outcomes) != 1:
        return None
    (outcome,) = transition.outcomes
    if not (math.isfinite(outcome.reward) and abs(outcome.reward) < 1e15):
        return None
    return f"{format_reward(float(outcome.reward))}, {'yes' if outcome.terminal else 'no'}"


def _changed(environment: AnyEnvironment, transition: Transition) -> frozenset[str]:
    """Returns the kinds of objects of which some are elsewhere, or others, after a transition."""
    before = environment.facts(transition.state)
    after = environment.facts(transition.outcomes[0].state)
    nothing = frozenset[Any]()
    return frozenset(
        kind
        for kind in before.keys() | after.keys()
        if before.get(kind, nothing) != after.get(kind, nothing)
    )
