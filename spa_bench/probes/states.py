"""Answers that are states: read as facts, scored to the cell."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

from spa_bench.environments.environment import AnyEnvironment, Facts
from spa_bench.environments.keyed import Keyed
from spa_bench.metrics.belief import agreement
from spa_bench.probes.board import sampled
from spa_bench.probes.probe import Item, Probe, Scored, View

CANDIDATES = 8
"""Plausible answers of an item, at most; more only where more are right."""


class StateProbe(Probe):
    """What all questions share whose answer is a state."""

    def answer_style(self, view: View) -> str:
        """Returns the style in which the answer is written: by default as states are shown."""
        return view.observation

    def read(self, view: View, text: str) -> str | None:
        text = text.strip()
        return None if _facts(view.environment, self.answer_style(view), text) is None else text

    def score(self, view: View, item: Item, answer: str) -> Scored:
        style = self.answer_style(view)
        stated = _facts(view.environment, style, answer)
        right = [
            (agreement(stated, _facts(view.environment, style, text) or {}), probability)
            for text, probability in item.right
        ]
        return Scored(
            probability=sum((p for agrees, p in right if agrees.exact), Fraction(0)),
            agreement=max((a for a, _ in right), key=lambda a: (a.exact, a.cell_accuracy)),
        )

    def state_item(
        self,
        view: View,
        stratum: str,
        fields: Mapping[str, str],
        possible: Mapping[Any, Fraction],
        plausible: Iterable[Any],
        copy: str | None,
    ) -> Item:
        """Makes an item from states.

        Args:
            view: of the world.
            stratum, fields, copy: as `Item` has them.
            possible: the states that are right, with their probabilities.
            plausible: states that may be taken for right ones, the most plausible first.
        """
        style, environment = self.answer_style(view), view.environment
        right: dict[str, Fraction] = {}
        for state, probability in possible.items():
            text = environment.observe(state, style)
            right[text] = right.get(text, Fraction(0)) + probability
        most = max(1, CANDIDATES - len(right))
        wrong: dict[str, None] = {}
        for state in plausible:
            text = environment.observe(state, style)
            if text not in right:
                wrong[text] = None
                if len(wrong) == most:
                    break
        return Item(
            stratum=stratum,
            fields=tuple(fields.items()),
            right=tuple(sorted(right.items(), key=lambda pair: (-pair[1], pair[0]))),
            wrong=tuple(wrong),
            copy=copy,
        )


def neighbours(environment: AnyEnvironment, state: Any, chance: Keyed) -> Iterator[Any]:
    """Yields the state, what one action may make of it, then what two may: off by one.

    Each once, in random order, and over a few actions only where there are many.
    """
    seen, queue = {state: 0}, deque([state])
    yield state
    while queue:
        here = queue.popleft()
        actions = environment.actions(here)
        for number in sampled(chance, environment.effective_actions(here), CANDIDATES):
            for outcome in environment.outcomes(here, actions[number]):
                there = outcome.state
                if there not in seen:
                    seen[there] = seen[here] + 1
                    yield there
                    if seen[there] < 2:
                        queue.append(there)


@lru_cache(maxsize=4096)
def _facts(environment: AnyEnvironment, style: str, text: str) -> Facts | None:
    return environment.read(text, style)
