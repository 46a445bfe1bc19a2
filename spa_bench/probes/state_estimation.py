"""State estimation: the grid in coordinates, or the coordinates as a grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import ClassVar

from spa_bench.probes.board import Board, shuffled
from spa_bench.probes.probe import Item, View
from spa_bench.probes.states import StateProbe, neighbours


@dataclass(frozen=True)
class StateEstimation(StateProbe):
    """A state is shown in one style and to be written in the other.

    Two items a board: its start, and a state on the way. What the style shown does not tell, such
    as walls in coordinates, is not scored.
    """

    name: ClassVar[str] = "state_estimation"
    placeholders: ClassVar[frozenset[str]] = frozenset({"state"})

    def answer_style(self, view: View) -> str:
        return "grid" if view.observation == "coordinates" else "coordinates"

    def items(self, view: View, board: Board) -> Iterator[Item]:
        if not board.states:  # solved or lost from the beginning
            return
        chance = board.chance(self.name)
        later = chance.choice(board.states[1:] or board.states)
        for stratum, state in (("start", board.start), ("later", later)):
            shown = view.show(state)
            plausible = chain(
                neighbours(view.environment, state, chance), shuffled(chance, board.states)
            )
            yield self.state_item(
                view,
                stratum,
                {"state": shown},
                {state: Fraction(1)},
                plausible,
                copy=shown,
            )
