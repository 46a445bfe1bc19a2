"""95% intervals: honest for clustered data, Wilson's at the edges, never 0 +- 0."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from scipy.stats import t as scipy_t

from spa_bench.metrics.interval import Estimate, clustered, clustered_by, difference, student_t

shares = st.lists(st.integers(0, 8).map(lambda c: c / 8), min_size=2, max_size=200)


def wilson(successes: int, n: int) -> tuple[float, float]:
    interval = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


@pytest.mark.parametrize("successes", [1, 17, 1000, 1999])
def test_single_samples_of_many_boards_have_wilsons_interval(successes: int) -> None:
    n = 2000
    values = [1.0] * successes + [0.0] * (n - successes)
    low, high = wilson(successes, n)
    estimate = clustered(values, n)
    # Student's t at 1999 degrees is wider than the normal by 0.07%, and n* is n - 1
    assert (estimate.low, estimate.high) == (
        pytest.approx(low, rel=2e-3, abs=1e-5),
        pytest.approx(high, rel=2e-3, abs=1e-5),
    )


@pytest.mark.parametrize("n", [2, 8, 128])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_at_0_and_1_the_interval_is_wilsons_for_the_number_of_boards(n: int, value: float) -> None:
    t = student_t(n - 1)
    far = t**2 / (n + t**2)
    estimate = clustered([value] * n, n * 8)
    expected = (0.0, far) if value == 0 else (1 - far, 1.0)
    assert (estimate.low, estimate.high) == (pytest.approx(expected[0]), pytest.approx(expected[1]))


@given(shares)
def test_no_interval_has_zero_width(values: list[float]) -> None:
    estimate = clustered(values, 8 * len(values))
    assert estimate.high - estimate.low > 1e-4


@given(shares)
def test_an_interval_lies_within_0_and_1_and_holds_its_mean(values: list[float]) -> None:
    estimate = clustered(values, 8 * len(values))
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


@given(shares)
def test_no_interval_is_narrower_than_if_all_samples_were_independent(values: list[float]) -> None:
    samples = 8 * len(values)
    low, high = wilson(round(8 * math.fsum(values)), samples)
    estimate = clustered(values, samples)
    assert estimate.low <= low + 1e-9
    assert high - 1e-9 <= estimate.high


@given(shares)
def test_the_value_is_the_mean_over_boards(values: list[float]) -> None:
    assert clustered(values, 8 * len(values)).value == pytest.approx(float(np.mean(values)))


@given(shares, st.randoms())
def test_the_order_of_boards_does_not_matter(values: list[float], rng: object) -> None:
    shuffled = list(values)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert clustered(values, 8 * len(values)) == clustered(shuffled, 8 * len(values))


@given(shares)
def test_failures_have_the_mirrored_interval_of_successes(values: list[float]) -> None:
    samples = 8 * len(values)
    one, other = clustered(values, samples), clustered([1 - v for v in values], samples)
    assert (one.low, one.high) == (pytest.approx(1 - other.high), pytest.approx(1 - other.low))


def test_repeats_of_a_board_that_always_agree_count_as_one() -> None:
    apart = clustered([0.0, 1.0] * 32, 64)
    together = clustered([0.0, 1.0] * 32, 64 * 8)
    assert together == apart


def test_repeats_that_are_independent_make_the_interval_narrower() -> None:
    rng = np.random.default_rng(0)
    once = clustered(list(rng.binomial(1, 0.5, 64).astype(float)), 64)
    eight = clustered(list(rng.binomial(8, 0.5, 64) / 8), 64 * 8)
    assert eight.high - eight.low < 0.6 * (once.high - once.low)


def test_boards_that_agree_by_chance_are_not_more_certain_than_their_samples() -> None:
    # every board solved 4 times of 8: the spread between boards is zero, and that is luck
    estimate = clustered([0.5] * 16, 128)
    low, high = wilson(64, 128)
    assert estimate.low <= low < high <= estimate.high


def test_one_board_has_a_value_and_no_interval() -> None:
    estimate = clustered([0.25], 8)
    assert estimate.value == 0.25
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)


@pytest.mark.parametrize("n", [16, 52])  # where rounding would lead above 1, or end below it
def test_an_interval_at_the_edge_ends_exactly_there(n: int) -> None:
    assert clustered([1.0] * n, n).high == 1.0
    assert clustered([0.0] * n, n).low == 0.0


def test_no_boards_have_nothing() -> None:
    assert all(math.isnan(x) for x in (clustered([], 0).value, clustered([], 0).low))


@pytest.mark.parametrize("degrees", [1, 2, 7, 127, 10_000])
def test_students_t_is_scipys(degrees: int) -> None:
    assert student_t(degrees) == pytest.approx(scipy_t.ppf(0.975, degrees))


def covered(boards: int, repeats: int, a: float, b: float, rng: np.random.Generator) -> float:
    """Returns how often the interval holds the true mean of boards drawn from Beta(a, b)."""
    truth, rounds = a / (a + b), 1500
    skill = rng.beta(a, b, (rounds, boards))
    shares_of_boards = rng.binomial(repeats, skill) / repeats
    inside = 0
    for values in shares_of_boards:
        estimate = clustered(values.tolist(), boards * repeats)
        inside += estimate.low <= truth <= estimate.high
    return inside / rounds


@pytest.mark.parametrize(
    ("boards", "repeats", "a", "b"),
    [(128, 8, 0.5, 0.5), (128, 8, 0.3, 2.0), (32, 8, 0.5, 0.5), (32, 1, 1.0, 3.0), (12, 8, 2, 2)],
)
def test_95_intervals_of_100_hold_the_truth_where_repeats_are_clustered(
    boards: int, repeats: int, a: float, b: float
) -> None:
    assert 0.935 <= covered(boards, repeats, a, b, np.random.default_rng(1)) <= 0.985


@given(shares)
def test_equal_weights_are_no_weights(values: list[float]) -> None:
    weighted = clustered(values, 8 * len(values), [3] * len(values))
    plain = clustered(values, 8 * len(values))
    assert (weighted.value, weighted.low, weighted.high) == pytest.approx(
        (plain.value, plain.low, plain.high)
    )


def test_a_board_with_more_samples_counts_for_more() -> None:
    assert clustered([1.0, 0.0], 4, [3, 1]).value == pytest.approx(3 / 4)


def test_nothing_to_weigh_is_no_estimate() -> None:
    assert math.isnan(clustered([], 0, []).value)


def test_a_difference_has_newcombes_interval() -> None:
    # the example of Newcombe (1998), table II: 56/70 against 48/80, method 10
    low, high = wilson(56, 70), wilson(48, 80)
    found = difference(Estimate(56 / 70, *low), Estimate(48 / 80, *high))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_values_of_one_board_are_taken_together() -> None:
    values = [("a", 1.0), ("b", 0.0), ("a", 0.0), ("c", 1.0), ("a", 1.0)]
    assert clustered_by(values) == clustered([2 / 3, 0.0, 1.0], 5, [3, 1, 1])
    assert clustered_by(values).value == pytest.approx(3 / 5)
    assert math.isnan(clustered_by([]).value)
