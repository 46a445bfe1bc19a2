"""95% intervals for means over boards, whose repeats are not independent of one another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95% interval; NaN where there is nothing to say."""

    value: float
    low: float
    high: float


NOTHING = Estimate(math.nan, math.nan, math.nan)


def clustered(board_values: Sequence[float], samples: int) -> Estimate:
    """Returns the mean over boards of values in [0, 1] with an interval clustered by board.

    Wilson's score interval at the effective sample size n* = p(1-p) / se^2, where se is the
    standard error over boards, with Student's t on boards - 1 degrees of freedom (Korn and
    Graubard 1998, Survey Methodology 24; Wilson 1927). It stays within [0, 1], and at 0 and 1,
    where se is 0, it is Wilson's for the number of boards: never 0 +- 0.

    Args:
        board_values: one number a board, such as its share of successes.
        samples: episodes in all; n* is never taken above it.
    """
    n = len(board_values)
    if n == 0:
        return NOTHING
    p = min(max(math.fsum(board_values) / n, 0.0), 1.0)
    if n == 1:
        return Estimate(p, math.nan, math.nan)
    variance = math.fsum((value - p) ** 2 for value in board_values) / (n - 1) / n
    effective = float(n)
    if 0 < p < 1:
        effective = min(p * (1 - p) / variance, samples) if variance > 0 else float(samples)
    return Estimate(p, *_wilson(p, effective, student_t(n - 1)))


def student_t(degrees: int, confidence: float = 0.95) -> float:
    """Returns the two-sided quantile of Student's t."""
    from scipy.special import stdtrit  # slow to import, and needed only once results are asked for

    return float(stdtrit(degrees, 0.5 + confidence / 2))


def _wilson(p: float, n: float, z: float) -> tuple[float, float]:
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p))
