"""pass@k and pass^k are what counting subsets says they are."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.errors import InputError
from spa_bench.metrics.success import (
    metric_of,
    normalised,
    pass_at_k,
    pass_at_k_of,
    pass_hat_k,
    pass_hat_k_of,
)

counts = st.integers(1, 9).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))
)
many = st.integers(1, 400).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))
)
probabilities = st.floats(0, 1)


def human_eval(n: int, c: int, k: int) -> float:
    """The numerically stable product of OpenAI's human-eval (Chen et al. 2021, figure 3)."""
    if n - c < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


@given(counts)
def test_pass_at_k_is_the_share_of_subsets_with_a_success(nck: tuple[int, int, int]) -> None:
    n, c, k = nck
    samples = [i < c for i in range(n)]
    subsets = [any(chosen) for chosen in combinations(samples, k)]
    assert pass_at_k(n, c, k) == pytest.approx(sum(subsets) / len(subsets))


@given(counts)
def test_pass_hat_k_is_the_share_of_subsets_of_successes(nck: tuple[int, int, int]) -> None:
    n, c, k = nck
    samples = [i < c for i in range(n)]
    subsets = [all(chosen) for chosen in combinations(samples, k)]
    assert pass_hat_k(n, c, k) == pytest.approx(sum(subsets) / len(subsets))


@given(many)
def test_pass_at_k_is_human_evals_stable_product(nck: tuple[int, int, int]) -> None:
    assert pass_at_k(*nck) == pytest.approx(human_eval(*nck), abs=1e-12)


@given(many)
def test_pass_hat_k_counts_the_failures_of_pass_at_k(nck: tuple[int, int, int]) -> None:
    n, c, k = nck
    assert pass_hat_k(n, c, k) == pytest.approx(1 - pass_at_k(n, n - c, k))


@given(many)
def test_both_lie_within_0_and_1(nck: tuple[int, int, int]) -> None:
    assert 0 <= pass_hat_k(*nck) <= pass_at_k(*nck) <= 1


@given(many)
def test_of_one_sample_both_are_the_share_of_successes(nck: tuple[int, int, int]) -> None:
    n, c, _ = nck
    assert pass_at_k(n, c, 1) == pass_hat_k(n, c, 1) == c / n


@given(many)
def test_more_tries_never_lower_pass_at_k(nck: tuple[int, int, int]) -> None:
    n, c, k = nck
    assert k == n or pass_at_k(n, c, k) <= pass_at_k(n, c, k + 1)


def test_a_hundred_thousand_samples_do_not_overflow() -> None:
    assert pass_at_k(100_000, 1, 50_000) == pytest.approx(0.5)
    assert pass_hat_k(100_000, 99_999, 50_000) == pytest.approx(0.5)


def test_no_success_is_exactly_0_and_no_failure_exactly_1() -> None:
    assert pass_at_k(8, 0, 8) == pass_hat_k(8, 7, 8) == 0
    assert pass_at_k(8, 1, 8) == pass_hat_k(8, 8, 8) == 1


@pytest.mark.parametrize("metric", [pass_at_k, pass_hat_k])
def test_fewer_samples_than_k_have_no_estimate(metric: type[pass_at_k]) -> None:
    assert math.isnan(metric(7, 7, 8))


@pytest.mark.parametrize("metric", [pass_at_k, pass_hat_k])
@pytest.mark.parametrize("nck", [(1, 2, 1), (1, -1, 1), (-1, 0, 1), (1, 0, 0), (1, 0, -1)])
def test_impossible_counts_are_an_error(metric: type[pass_at_k], nck: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no such count"):
        metric(*nck)


@given(st.integers(0, 10), st.integers(1, 5))
def test_the_estimators_are_unbiased(tenths: int, k: int) -> None:
    """Their expectation over all outcomes of n samples is the policy's own pass@k and pass^k."""
    p, n = tenths / 10, 6
    weights = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    at = math.fsum(w * pass_at_k(n, c, k) for c, w in enumerate(weights))
    hat = math.fsum(w * pass_hat_k(n, c, k) for c, w in enumerate(weights))
    assert at == pytest.approx(pass_at_k_of(p, k), abs=1e-12)
    assert hat == pytest.approx(pass_hat_k_of(p, k), abs=1e-12)


# -- between floor and ceiling ---------------------------------------------------------------------


@given(probabilities, probabilities)
def test_the_floor_is_0_and_the_ceiling_1(a: float, b: float) -> None:
    floor, ceiling = sorted((a, b))
    if ceiling - floor > 1e-9:
        assert normalised(floor, floor, ceiling) == 0
        assert normalised(ceiling, floor, ceiling) == 1


def test_a_score_below_chance_is_negative() -> None:
    assert normalised(0.1, 0.2, 0.7) == pytest.approx(-0.2)


def test_where_floor_and_ceiling_are_equal_there_is_nothing_to_say() -> None:
    assert math.isnan(normalised(0.5, 0.5, 0.5))


def test_floor_and_ceiling_that_differ_by_rounding_only_are_equal() -> None:
    assert math.isnan(normalised(0.3, 1 / 3, math.nextafter(1 / 3, 1)))


def test_the_least_difference_that_counts_is_1e_9() -> None:
    assert normalised(1e-9, 0.0, 1e-9) == 1
    assert math.isnan(normalised(9e-10, 0.0, 9e-10))


@pytest.mark.parametrize("position", range(3))
def test_an_unknown_number_makes_an_unknown_score(position: int) -> None:
    numbers = [0.5, 0.0, 1.0]
    numbers[position] = math.nan
    assert math.isnan(normalised(*numbers))


def test_a_metric_is_read_from_its_name() -> None:
    any_of, all_of = metric_of("pass@3"), metric_of("pass^2")
    assert (any_of.k, any_of.of_samples(5, 2), any_of.of_policy(0.5)) == (
        3,
        pass_at_k(5, 2, 3),
        pass_at_k_of(0.5, 3),
    )
    assert (all_of.k, all_of.of_samples(5, 3), all_of.of_policy(0.5)) == (
        2,
        pass_hat_k(5, 3, 2),
        pass_hat_k_of(0.5, 2),
    )


@pytest.mark.parametrize("name", ["pass@x", "pass@", "pass@0", "pass@-1", "pass", "passes@1", ""])
def test_what_is_no_metric_is_said(name: str) -> None:
    with pytest.raises(InputError, match="no such metric"):
        metric_of(name)
