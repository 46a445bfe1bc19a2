"""Reachability: whether success can still be reached."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from spa_bench.metrics.belief import agreement
from spa_bench.probes.board import Board, sampled
from spa_bench.probes.choices import YesNoProbe, yes_no_item
from spa_bench.probes.probe import Item, View

_STEPS = 120
"""Of the random walk that strays from the solution."""

_MOST_STATES = 24
"""States of the walk that are looked at."""

_MOST_TRANSITIONS = 2000
"""Looked at to tell one state; one that takes more is not asked about."""


@dataclass(frozen=True)
class Reachability(YesNoProbe):
    """A state is shown; the answer is whether success can be reached from it, by search.

    One item of each answer a board. Both come from a random walk, so that being off the solution
    does not tell the answer. Of the states from which success is out of reach, it is one from which
    the most others can be reached, since being stuck should not tell it either; of those from which
    it is not, the one whose facts agree most with the other's.
    """

    name: ClassVar[str] = "reachability"
    version: ClassVar[int] = 2
    placeholders: ClassVar[frozenset[str]] = frozenset({"state"})

    def items(self, view: View, board: Board) -> Iterator[Item]:
        states = board.shown_alone(board.strolled(f"{self.name}/walk", _STEPS))
        within, dead = list[Any](), dict[Any, int]()
        for state in sampled(board.chance(self.name), states, _MOST_STATES):
            outlook = board.outlook(state, _MOST_TRANSITIONS)
            if outlook.success:
                within.append(state)
            elif outlook.success is False:
                dead[state] = outlook.states
        if not within or not dead:
            return
        liveliest = max(dead, key=dead.__getitem__)
        facts = view.environment.facts

        def likeness(state: Any) -> float:
            return agreement(facts(state), facts(liveliest)).object_f1

        for right, state in (("yes", max(within, key=likeness)), ("no", liveliest)):
            yield yes_no_item(right, {"state": view.show(state)})
