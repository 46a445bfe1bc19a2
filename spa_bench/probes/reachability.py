"""Reachability: whether success can still be reached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from spa_bench.probes.board import Board, sampled
from spa_bench.probes.choices import YesNoProbe, yes_no_item
from spa_bench.probes.probe import Item, View

_STEPS = 120
"""Of the random walk that strays from the solution."""

_MOST_STATES = 24
"""States that are looked at for one from which success is out of reach."""

_MOST_TRANSITIONS = 2000
"""Looked at to tell one state; one that takes more is not asked about."""


@dataclass(frozen=True)
class Reachability(YesNoProbe):
    """A state is shown; the answer is whether success can be reached from it, by search.

    One item of each answer a board. Both come from a random walk, so that being off the solution
    does not tell the answer.
    """

    name: ClassVar[str] = "reachability"
    placeholders: ClassVar[frozenset[str]] = frozenset({"state"})

    def items(self, view: View, board: Board) -> Iterator[Item]:
        chance = board.chance(self.name)
        found = dict[str, Any]()
        states = board.shown_alone(board.strolled(f"{self.name}/walk", _STEPS))
        for state in sampled(chance, states, _MOST_STATES):
            reached = board.can_succeed(state, _MOST_TRANSITIONS)
            if reached is not None:
                found.setdefault("yes" if reached else "no", state)
            if len(found) == 2:
                break
        if len(found) == 2:
            for right in ("yes", "no"):
                yield yes_no_item(right, {"state": view.show(found[right])})
