"""Legality: whether an action changes anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from spa_bench.probes.board import Board, Transition
from spa_bench.probes.choices import YesNoProbe, yes_no_item
from spa_bench.probes.probe import Item, View


@dataclass(frozen=True)
class Legality(YesNoProbe):
    """A state and an action are shown; the answer is whether the action can change the state.

    One item of each answer a board.
    """

    name: ClassVar[str] = "legality"
    placeholders: ClassVar[frozenset[str]] = frozenset({"state", "action"})

    def items(self, view: View, board: Board) -> Iterator[Item]:
        found: dict[str, Transition] = {}
        for transition in board.transitions(board.chance(self.name)):
            found.setdefault("yes" if transition.may_change else "no", transition)
            if len(found) == 2:
                break
        if len(found) == 2:
            for right in ("yes", "no"):
                state, action, _ = found[right]
                named = view.environment.format_action(action)
                yield yes_no_item(right, {"state": view.show(state), "action": named})
