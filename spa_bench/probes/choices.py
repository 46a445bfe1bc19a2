"""Answers that are one of a few: an action, yes or no, a reward."""

from __future__ import annotations

from fractions import Fraction

from spa_bench.probes.probe import Item, Probe, Scored, View


class ChoiceProbe(Probe):
    """What all questions share whose answer is a short text: right as a whole, or wrong."""

    def score(self, view: View, item: Item, answer: str) -> Scored:
        return Scored(dict(item.right).get(answer, Fraction(0)))


class YesNoProbe(ChoiceProbe):
    """Questions to be answered by yes or no, one item of each a board."""

    def read(self, view: View, text: str) -> str | None:
        word = text.strip().strip(".!").lower()
        return word if word in ("yes", "no") else None


def yes_no_item(right: str, fields: dict[str, str]) -> Item:
    """Returns a question whose right answer is `yes` or `no`."""
    wrong = "no" if right == "yes" else "yes"
    return Item(right, tuple(fields.items()), ((right, Fraction(1)),), (wrong,))
