"""Reward and end: what an action brings, and whether the episode is over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from spa_bench.probes.board import Board, Transition
from spa_bench.probes.choices import ChoiceProbe
from spa_bench.probes.probe import Item, View
from spa_bench.task import format_reward

_ANSWER = re.compile(r"([-+]?\d{1,6}(?:\.\d{1,6})?)\s*[,;]?\s*(yes|no)\.?", re.IGNORECASE)


@dataclass(frozen=True)
class Reward(ChoiceProbe):
    """A state and an action are shown; its reward, and whether it ends the episode, are asked for.

    One item a board for each pair of both that is found there, which is its stratum; at least two.
    """

    name: ClassVar[str] = "reward"
    placeholders: ClassVar[frozenset[str]] = frozenset({"state", "action"})

    def items(self, view: View, board: Board) -> Iterator[Item]:
        found: dict[str, Transition] = {}
        for transition in board.effective_transitions(board.chance(self.name)):
            if len(transition.outcomes) == 1:
                found.setdefault(_answer(transition), transition)
        if len(found) < 2:
            return
        for right in sorted(found):
            state, action, _ = found[right]
            named = view.environment.format_action(action)
            yield Item(
                stratum=right.replace(", ", "-"),
                fields=(("state", view.show(state)), ("action", named)),
                right=((right, Fraction(1)),),
                wrong=tuple(sorted(answer for answer in found if answer != right)),
            )

    def read(self, view: View, text: str) -> str | None:
        match = _ANSWER.fullmatch(text.strip())
        if match is None:
            return None
        return f"{format_reward(float(match[1]))}, {match[2].lower()}"


def _answer(transition: Transition) -> str:
    (outcome,) = transition.outcomes
    return f"{format_reward(outcome.reward)}, {'yes' if outcome.terminal else 'no'}"
