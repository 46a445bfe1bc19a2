"""Paired comparison: differences, intervals, sign flips."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from spa_bench.metrics.interval import student_t
from spa_bench.metrics.paired import paired

VALUES = st.lists(
    st.tuples(st.sampled_from([0, 0.25, 0.5, 1.0]), st.sampled_from([0, 0.5, 0.75, 1.0])),
    min_size=2,
    max_size=10,
)


def _exact_p(differences: list[float]) -> float:
    """Counts over all sign flips, in whole quarters to be free of rounding."""
    quarters = [round(4 * d) for d in differences]
    seen = abs(sum(quarters))
    flips = list(itertools.product((1, -1), repeat=len(quarters)))
    return sum(
        abs(sum(f * q for f, q in zip(flip, quarters, strict=True))) >= seen for flip in flips
    ) / len(flips)


@given(VALUES)
def test_few_boards_are_tested_over_all_sign_flips(pairs: list[tuple[float, float]]) -> None:
    result = paired([a for a, _ in pairs], [b for _, b in pairs])
    expected = _exact_p([a - b for a, b in pairs])
    # two-sided as scipy defines it: twice the smaller tail, at most 1
    assert result.p_value >= expected - 1e-9
    assert (result.p_value == 1.0) or result.p_value <= 2 * expected + 1e-9


@given(VALUES)
def test_swapping_the_two_turns_the_sign(pairs: list[tuple[float, float]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    there, back = paired(first, second), paired(second, first)
    assert there.difference.value == -back.difference.value
    assert there.p_value == pytest.approx(back.p_value)


def test_the_interval_is_students() -> None:
    first, second = [0.1, 0.5, 0.9, 0.4, 0.6], [0.0, 0.4, 0.5, 0.5, 0.2]
    interval = ttest_rel(first, second).confidence_interval()
    found = paired(first, second).difference
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_weights_that_are_all_the_same_are_none() -> None:
    first, second = [0.1, 0.5, 0.9, 0.4, 0.6], [0.0, 0.4, 0.5, 0.5, 0.2]
    plain, weighted = paired(first, second), paired(first, second, ([3] * 5, [7] * 5))
    for name in ("value", "low", "high"):
        expected = getattr(plain.difference, name)
        assert getattr(weighted.difference, name) == pytest.approx(expected)
    assert weighted.p_value == pytest.approx(plain.p_value)


def test_with_weights_the_difference_is_that_of_two_ratios() -> None:
    rng = random.Random(5)
    rows = [(rng.random(), rng.random(), rng.randint(1, 9), rng.randint(1, 9)) for _ in range(400)]

    def ratio(some: list[tuple[float, float, int, int]], side: int) -> float:
        return sum(r[side] * r[side + 2] for r in some) / sum(r[side + 2] for r in some)

    def told(some: list[tuple[float, float, int, int]]) -> float:
        return ratio(some, 0) - ratio(some, 1)

    one, other, *weights = zip(*rows, strict=True)
    found = paired(one, other, (weights[0], weights[1])).difference
    assert found.value == pytest.approx(told(rows))
    # its standard error is the jackknife's, which leaves out a board at a time
    left_out = [told([*rows[:i], *rows[i + 1 :]]) for i in range(len(rows))]
    mean = sum(left_out) / len(rows)
    error = math.sqrt(sum((v - mean) ** 2 for v in left_out) * (len(rows) - 1) / len(rows))
    assert (found.high - found.low) / 2 == pytest.approx(student_t(399) * error, rel=0.02)


def test_equal_values_differ_by_nothing() -> None:
    result = paired([0.5] * 20, [0.5] * 20)
    assert (result.difference.value, result.p_value) == (0.0, 1.0)


def test_boards_that_all_differ_by_the_same_leave_some_doubt() -> None:
    found = paired([1.0] * 128, [0.0] * 128).difference
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.95 < found.low < 0.97  # Newcombe's (1998, method 10) of two Wilson intervals
    few = paired([0.75, 0.5, 1.0], [0.25, 0.0, 0.5]).difference
    assert few.low < 0 < few.value == 0.5 < few.high


def test_a_clear_difference_over_many_boards_is_significant_and_repeatable() -> None:
    first = [0.5 + 0.01 * (i % 7) for i in range(60)]
    second = [0.3 + 0.01 * (i % 5) for i in range(60)]
    assert paired(first, second).p_value < 0.001
    assert paired(first, second) == paired(first, second)


def test_a_single_board_says_nothing() -> None:
    result = paired([1.0], [0.0])
    assert math.isnan(result.p_value)
    assert math.isnan(result.difference.value)


def test_a_value_that_is_not_known_says_nothing() -> None:
    found = paired([0.5, math.nan, 1.0], [0.0, 0.5, 0.5])
    assert math.isnan(found.p_value)
    assert math.isnan(found.difference.low)


def test_other_boards_are_an_error() -> None:
    with pytest.raises(ValueError, match="same boards"):
        paired([1.0], [1.0, 0.0])


def test_an_interval_keeps_to_what_a_difference_can_be() -> None:
    # Student's on two boards is thirteen standard errors wide on each side
    found = paired([1.0, 0.0], [0.0, 0.5]).difference
    assert (found.low, found.value, found.high) == (-1.0, 0.25, 1.0)


def test_many_boards_are_tested_by_9999_draws() -> None:
    # of a difference that no draw reaches, 1 of 9,999 + 1 is counted on each side
    assert paired([1.0] * 59 + [0.5], [0.0] * 60).p_value == pytest.approx(2 / 10_000)
    assert paired([0.9, 0.8] * 30, [0.1] * 60).boards == 60


def test_the_draws_are_published_ones() -> None:
    # the same logs give the same p-value in every release; another seed gives another one
    first, second = [1.0, 0.5, 0.0, 0.75] * 10, [0.5, 0.5, 0.25, 0.5] * 10
    assert paired(first, second).p_value == 0.0114


def test_two_boards_can_be_compared() -> None:
    result = paired([1.0, 0.75], [0.0, 0.5])
    assert (result.boards, result.difference.value, result.p_value) == (2, 0.625, 0.5)
