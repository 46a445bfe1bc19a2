"""Calibration: confidence that is earned has no error."""

from __future__ import annotations

import math

import pytest

from spa_bench.metrics.calibration import calibration_error


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
