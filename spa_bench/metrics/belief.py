"""How far a stated state agrees with the true one: facts against facts, pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from spa_bench.environments.environment import Facts, Position


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a statement got right.

    Attributes:
        exact: it says all of the truth and nothing else.
        cell_accuracy: of the cells for which the truth or the statement names something, the
            share for which both name the same. Cells that are empty for both do not count, so
            that an empty board is no help.
        object_f1: harmonic mean of precision and recall of the objects stated: the same kind at
            the same position with the same value (van Rijsbergen 1979).
    """

    exact: bool
    cell_accuracy: float
    object_f1: float


NO_AGREEMENT = Agreement(False, 0.0, 0.0)
"""Of a statement that could not be read, or was never made."""


def agreement(stated: Facts | None, truth: Facts) -> Agreement:
    """Compares a statement with the truth.

    What a way of showing a state leaves out must be left out of `truth` too: the facts that can be
    read off the true state when it is shown that way. None, an unreadable statement, agrees with
    nothing.
    """
    if stated is None:
        return NO_AGREEMENT
    said, true = _objects(stated), _objects(truth)
    right = len(said & true)
    by_cell, true_by_cell = _cells(stated), _cells(truth)
    cells = by_cell.keys() | true_by_cell.keys()
    same = sum(by_cell.get(cell) == true_by_cell.get(cell) for cell in cells)
    return Agreement(
        exact=said == true,
        cell_accuracy=same / len(cells) if cells else 1.0,
        object_f1=2 * right / (len(said) + len(true)) if said or true else 1.0,
    )


def _objects(facts: Facts) -> set[tuple[str, Position, str]]:
    return {(kind, *place) for kind, places in facts.items() for place in places}


def _cells(facts: Facts) -> dict[Position, set[tuple[str, str]]]:
    cells: dict[Position, set[tuple[str, str]]] = {}
    for kind, places in facts.items():
        for position, value in places:
            cells.setdefault(position, set()).add((kind, value))
    return cells
