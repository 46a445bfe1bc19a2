"""Calibration: confidence that is earned has no error."""

from __future__ import annotations

import math

import pytest

from spa_bench.metrics.calibration import calibration_error, softmax


def test_confidence_that_is_always_earned_has_no_error() -> None:
    assert calibration_error([1.0, 1.0, 0.0], [True, True, False]) == 0


def test_the_error_is_the_gap_weighted_by_bin() -> None:
    # bin 0.9: two answers, accuracy 1/2; bin 0.2: one answer, right
    found = calibration_error([0.95, 0.95, 0.25], [True, False, True])
    assert found == pytest.approx((2 * 0.45 + 1 * 0.75) / 3)


def test_errors_within_a_bin_balance() -> None:
    assert calibration_error([0.5, 0.5], [True, False]) == pytest.approx(0)


def test_no_answers_have_no_error() -> None:
    assert math.isnan(calibration_error([], []))


def test_a_bin_reaches_up_to_the_next_and_the_last_to_1() -> None:
    # 0.1 too little and 1 too much are 0.9 together in one bin, and would be 1.1 in two
    assert calibration_error([0.9, 1.0], [True, False]) == pytest.approx(0.9 / 2)
    assert calibration_error([0.9, 0.95], [False, True]) == pytest.approx(0.85 / 2)
    assert calibration_error([0.85, 0.95], [False, True]) == pytest.approx(0.9 / 2)


def test_there_are_ten_bins_unless_said_otherwise() -> None:
    doubtful = ([0.05, 0.095], [False, True])
    assert calibration_error(*doubtful) == pytest.approx((0.905 - 0.05) / 2)
    assert calibration_error(*doubtful) == calibration_error(*doubtful, bins=10)
    assert calibration_error(*doubtful) != calibration_error(*doubtful, bins=11)


def test_softmax_is_a_distribution_whatever_the_scale() -> None:
    assert softmax([math.log(3), 0.0]) == (pytest.approx(0.75), pytest.approx(0.25))
    assert softmax([-1e6 + math.log(3), -1e6]) == (pytest.approx(0.75), pytest.approx(0.25))
    assert softmax([-1e9, 0.0]) == (0.0, 1.0)
