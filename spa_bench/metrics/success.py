"""Success over repeated samples of a board: pass@k and pass^k."""

from __future__ import annotations

import math


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
