"""Paired comparison of two samples of boards: difference, interval, permutation test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spa_bench.metrics.interval import NOTHING, Estimate, clustered, difference, student_t

_RESAMPLES = 9999
_MOST_AT_A_TIME = 1_000_000
"""Flipped signs held in memory; how many changes nothing else."""
_NONE = 1e-12
"""A spread so small is rounding."""


@dataclass(frozen=True, slots=True)
class Paired:
    """Difference of two means over the same boards.

    Attributes:
        difference: mean of first less second, with its 95% interval over boards.
        p_value: of a two-sided sign-flip permutation test; NaN where there is nothing to test.
        boards: that both have.
    """

    difference: Estimate
    p_value: float
    boards: int


def paired(
    first: Sequence[float],
    second: Sequence[float],
    weights: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Paired:
    """Compares two equally long sequences, one value a board, in the same order of boards.

    The difference is `paired_difference`. The test flips the sign of each board's difference (exact
    up to 13 boards, else 9,999 draws from a fixed seed, so that the same logs give the same
    answer).

    Args:
        weights: as in `paired_difference`.

    Raises:
        ValueError: if the sequences differ in length.
    """
    found = paired_difference(first, second, weights)
    if math.isnan(found.value):
        return Paired(found, math.nan, len(first))
    differences = _differences(first, second, weights)
    p_value = _sign_flip_test(differences) if any(differences) else 1.0
    return Paired(found, p_value, len(first))


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    weights: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Estimate:
    """Returns by how much the mean of the first differs from that of the second, over boards.

    The interval is Student's on the differences. Where all boards differ by the same, which would
    make it nothing wide, it is that of two independent means: never 1 +- 0; where no board differs
    at all, there is none. With a value that is not known, such as Pass@8 of four episodes, nothing
    is: all is NaN.

    Args:
        weights: how much each board counts in the first mean and in the second, above 0, such as
            its number of turns; None: all the same. The means are then ratios, and interval and
            test are of what each board adds to their difference in its linearisation (Cochran
            1977, Sampling Techniques, section 6.4).

    Raises:
        ValueError: if the sequences differ in length.
    """
    if len(first) != len(second):
        raise ValueError("paired values need the same boards")
    n = len(first)
    if n < 2 or any(map(math.isnan, (*first, *second))):
        return NOTHING
    differences = _differences(first, second, weights)
    mean = math.fsum(differences) / n
    variance = math.fsum((d - mean) ** 2 for d in differences) / (n - 1) / n
    if not any(differences):
        return Estimate(0.0, math.nan, math.nan)
    half = student_t(n - 1) * math.sqrt(variance)
    found = Estimate(mean, mean - half, mean + half)
    if half < _NONE:
        one, other = weights or (None, None)
        found = difference(clustered(first, n, one), clustered(second, n, other))
    return Estimate(mean, max(-1.0, found.low), min(1.0, found.high))


def _differences(
    first: Sequence[float],
    second: Sequence[float],
    weights: tuple[Sequence[float], Sequence[float]] | None,
) -> list[float]:
    one, other = weights or (None, None)
    parts = zip(linearised(first, one), linearised(second, other), strict=True)
    return [a - b for a, b in parts]


def linearised(values: Sequence[float], weights: Sequence[float] | None) -> Sequence[float]:
    """Returns, for each board, what has the weighted mean of all as its mean."""
    if weights is None:
        return values
    n, total = len(values), math.fsum(weights)
    mean = math.fsum(v * w for v, w in zip(values, weights, strict=True)) / total
    return [n * w * (v - mean) / total + mean for v, w in zip(values, weights, strict=True)]


def _sign_flip_test(differences: Sequence[float]) -> float:
    from scipy.stats import permutation_test  # takes a second to import

    def mean_difference(a: NDArray[np.float64], b: NDArray[np.float64], axis: int) -> Any:
        return (a - b).mean(axis=axis)

    zeros = [0.0] * len(differences)
    test: Any = permutation_test
    result = test(
        (differences, zeros),
        mean_difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=_RESAMPLES,
        batch=max(1, _MOST_AT_A_TIME // len(differences)),
        rng=0,
    )
    return float(result.pvalue)
