"""95% intervals for means over boards, whose repeats are not independent of one another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95% interval; NaN where there is nothing to say."""

    value: float
    low: float
    high: float


NOTHING = Estimate(math.nan, math.nan, math.nan)


def clustered(
    board_values: Sequence[float], samples: int, weights: Sequence[float] | None = None
) -> Estimate:
    """Returns the mean over boards of values in [0, 1] with an interval clustered by board.

    Wilson's score interval at the effective sample size n* = p(1-p) / se^2, where se is the
    standard error over boards, with Student's t on boards - 1 degrees of freedom (Korn and
    Graubard 1998, Survey Methodology 24; Wilson 1927). It stays within [0, 1], and at 0 and 1,
    where se is 0, it is Wilson's for the number of boards: never 0 +- 0.

    Args:
        board_values: one number a board, such as its share of successes.
        samples: episodes in all; n* is never taken above it.
        weights: how much each board counts, such as its number of turns; None: all the same.
            The mean is then a ratio, and se that of its linearisation (Cochran 1977, Sampling
            Techniques, section 6.4).
    """
    n = len(board_values)
    shares = [1.0] * n if weights is None else weights
    whole = math.fsum(shares)
    if not whole:
        return NOTHING
    pairs = list(zip(board_values, shares, strict=True))
    p = math.fsum(value * share for value, share in pairs) / whole
    if n == 1:
        return Estimate(p, math.nan, math.nan)
    squares = math.fsum((share * (value - p)) ** 2 for value, share in pairs)
    variance = squares * n / (n - 1) / whole**2
    effective = float(n)
    if 0 < p < 1:
        effective = min(p * (1 - p) / variance, samples) if variance > 0 else float(samples)
    return Estimate(p, *_wilson(p, effective, student_t(n - 1)))


def clustered_by(boards: Iterable[tuple[str, float]]) -> Estimate:
    """Returns the mean of values in [0, 1] with an interval clustered by their boards.

    Args:
        boards: board and value, in any order; a board counts as much as it has values.
    """
    values: dict[str, list[float]] = {}
    for board, value in boards:
        values.setdefault(board, []).append(value)
    counts = [len(some) for some in values.values()]
    means = [math.fsum(some) / len(some) for some in values.values()]
    return clustered(means, sum(counts), counts)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Returns first less second, with an interval made of theirs.

    Newcombe's hybrid score interval (1998, Statistics in Medicine 17, method 10), for intervals of
    any kind (Zou and Donner 2008, Statistics in Medicine 27). It takes the two to be independent;
    over the same boards they rather agree, which makes the interval too wide, not too narrow.
    """
    value = first.value - second.value
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, value - below, value + above)


def student_t(degrees: int, confidence: float = 0.95) -> float:
    """Returns the two-sided quantile of Student's t."""
    from scipy.special import stdtrit  # slow to import, and needed only once results are asked for

    return float(stdtrit(degrees, 0.5 + confidence / 2))


def _wilson(p: float, n: float, z: float) -> tuple[float, float]:
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p))
