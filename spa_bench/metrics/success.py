"""Success over repeated samples of a board: pass@k and pass^k."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from spa_bench.errors import InputError

_NAME = re.compile(r"pass([@^])([1-9]\d{0,4})", re.ASCII)


@dataclass(frozen=True, slots=True)
class SuccessMetric:
    """pass@k or pass^k.

    Attributes:
        all_of_them: whether all k samples must succeed (pass^k), or one (pass@k).
    """

    k: int
    all_of_them: bool

    def of_samples(self, n: int, c: int) -> float:
        """Returns its unbiased estimate from c successes in n samples; NaN where n < k."""
        return (pass_hat_k if self.all_of_them else pass_at_k)(n, c, self.k)

    def of_policy(self, p: float) -> float:
        """Returns what a policy gets whose every sample succeeds with probability `p`."""
        return (pass_hat_k_of if self.all_of_them else pass_at_k_of)(p, self.k)


def metric_of(name: str) -> SuccessMetric:
    """Returns the metric that a task calls `pass@K` or `pass^K`.

    Raises:
        InputError: for any other name.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError(f"no such metric: {name!r}; there are pass@K and pass^K, such as pass@8")
    return SuccessMetric(int(match[2]), all_of_them=match[1] == "^")


def pass_at_k(n: int, c: int, k: int) -> float:
    """Returns the probability that at least one of k samples succeeds, unbiased.

    `1 - C(n - c, k) / C(n, k)` for c successes in n samples (Chen et al. 2021, arXiv 2107.03374,
    equation 1). NaN where n < k: there is no unbiased estimate then.
    """
    _check(n, c, k)
    # one division of exact integers: pass@1 is c / n to the last bit
    subsets = math.comb(n, k)
    return math.nan if n < k else (subsets - math.comb(n - c, k)) / subsets


def pass_hat_k(n: int, c: int, k: int) -> float:
    """Returns the probability that all of k samples succeed, unbiased: `C(c, k) / C(n, k)`.

    Written pass^k (Yao et al. 2024, arXiv 2406.12045). NaN where n < k.
    """
    _check(n, c, k)
    return math.nan if n < k else math.comb(c, k) / math.comb(n, k)


def pass_at_k_of(p: float, k: int) -> float:
    """Returns pass@k of a policy whose every sample succeeds with probability `p`."""
    return 1 - (1 - p) ** k


def pass_hat_k_of(p: float, k: int) -> float:
    """Returns pass^k of a policy whose every sample succeeds with probability `p`."""
    return p**k


def normalised(score: float, floor: float, ceiling: float) -> float:
    """Returns where a score stands between floor (0) and ceiling (1); NaN where they are equal.

    Bounds are sums of floating-point numbers: what differs by less than 1e-9 is equal.
    """
    return math.nan if ceiling - floor < 1e-9 else (score - floor) / (ceiling - floor)


def _check(n: int, c: int, k: int) -> None:
    if not (0 <= c <= n and k >= 1):
        raise ValueError(f"no such count: n={n}, c={c}, k={k}")
