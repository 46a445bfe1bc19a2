"""Inverse dynamics: which action leads from one state to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from spa_bench.probes.board import Board, Transition, shuffled
from spa_bench.probes.choices import ChoiceProbe
from spa_bench.probes.probe import Item, View
from spa_bench.probes.states import CANDIDATES


@dataclass(frozen=True)
class Inverse(ChoiceProbe):
    """Two states are shown; an action that leads from the first to the second is asked for.

    Where a world has few actions, one item for each, which is its stratum; else one item a board.
    An action is right if it is sure to lead there, so chance must play no part.
    """

    name: ClassVar[str] = "inverse"
    placeholders: ClassVar[frozenset[str]] = frozenset({"state", "after"})

    def items(self, view: View, board: Board) -> Iterator[Item]:
        environment = view.environment
        actions = environment.actions(board.start)
        few = len(actions) <= CANDIDATES
        chance = board.chance(self.name)
        found: dict[str, Transition] = {}
        wanted = len(actions) if few else 1
        for transition in board.effective_transitions(chance):
            if len(transition.outcomes) == 1 and transition.may_change:
                name = environment.format_action(transition.action) if few else "any"
                found.setdefault(name, transition)
                if len(found) == wanted:
                    break
        if len(found) == wanted:  # or else a constant answer would do better than chance
            for stratum in sorted(found):
                others = shuffled(chance, environment.actions(found[stratum].state))
                yield _item(view, board, stratum, found[stratum], others)

    def read(self, view: View, text: str) -> str | None:
        action = view.environment.parse_action(text.strip())
        return None if action is None else view.environment.format_action(action)


def _item(
    view: View, board: Board, stratum: str, transition: Transition, actions: Iterable[Any]
) -> Item:
    environment = view.environment
    state, _, outcomes = transition
    after = outcomes[0].state
    right, wrong = list[str](), list[str]()
    for action in actions:
        leads = board.outcomes(state, action)
        into = right if len(leads) == 1 and leads[0].state == after else wrong
        into.append(environment.format_action(action))
    return Item(
        stratum=stratum.lower(),
        fields=(("state", view.show(state)), ("after", view.show(after))),
        right=tuple((text, Fraction(1)) for text in sorted(right)),
        wrong=tuple(sorted(wrong[: max(1, CANDIDATES - len(right))])),
    )
