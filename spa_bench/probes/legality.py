"""Legality: whether an action changes anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from spa_bench.probes.board import Board
from spa_bench.probes.choices import YesNoProbe, yes_no_item
from spa_bench.probes.probe import Item, View


@dataclass(frozen=True)
class Legality(YesNoProbe):
    """A state and an action are shown; the answer is whether the action can change the state.

    One item of each answer a board, both about one state: it alone does not tell the answer.
    """

    name: ClassVar[str] = "legality"
    version: ClassVar[int] = 2
    placeholders: ClassVar[frozenset[str]] = frozenset({"state", "action"})

    def items(self, view: View, board: Board) -> Iterator[Item]:
        found = board.contrast(
            board.chance(self.name),
            answer=lambda transition: "yes" if transition.may_change else "no",
            shared=lambda transition: transition.state,
        )
        if len(found) < 2:
            return
        for right, (state, action, _) in found.items():
            named = view.environment.format_action(action)
            yield yes_no_item(right, {"state": view.show(state), "action": named})
