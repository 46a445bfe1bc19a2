"""Ranks with their uncertainty: what cannot be told apart shares one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spa_bench.metrics.interval import student_t


@dataclass(frozen=True, slots=True)
class Rank:
    """The places that an entrant may have: from `best` to `worst`, both from 1."""

    best: int
    worst: int


@dataclass(frozen=True)
class Discipline:
    """One of the things that are compared.

    Attributes:
        values: (entrants, boards), each board's part in the score, which is their mean.
        weight: of the mean over boards in the score that is ranked.
    """

    values: NDArray[np.float64]
    weight: float = 1.0


def ranks(disciplines: Sequence[Discipline]) -> list[Rank]:
    """Ranks entrants by the weighted sum of their means, compared in pairs, board by board.

    One is surely better than another where the 95% interval of their difference lies above zero:
    Student's on the differences by board, variances added over disciplines, with the degrees of
    freedom of the one that has the fewest boards. The best rank of an entrant is one more than
    how many are surely better, the worst is how many are not surely worse. Intervals are not
    corrected for the number of pairs.

    Args:
        disciplines: over the same entrants in the same order.
    """
    better = surely_better(disciplines)
    n = len(better)
    behind, ahead = better.sum(axis=0), better.sum(axis=1)
    return [Rank(int(behind[i]) + 1, n - int(ahead[i])) for i in range(n)]


def surely_better(disciplines: Sequence[Discipline]) -> NDArray[np.bool_]:
    """Returns for each entrant (row) whether it is surely better than each other (column)."""
    n = len(disciplines[0].values) if disciplines else 0
    better = np.zeros((n, n), dtype=np.bool_)
    least = min((one.values.shape[1] for one in disciplines), default=0)
    if least < 2:
        return better
    t = student_t(least - 1)
    for i in range(n):
        mean, variance = np.zeros(n), np.zeros(n)
        for one in disciplines:
            differences = one.values[i] - one.values
            mean += one.weight * differences.mean(axis=1)
            variance += one.weight**2 * differences.var(axis=1, ddof=1) / differences.shape[1]
        better[i] = mean - t * np.sqrt(variance) > 1e-12
    return better
