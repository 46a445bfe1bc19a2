"""Confidence, and whether it is earned: softmax, expected calibration error."""

from __future__ import annotations

import math
from collections.abc import Sequence


def softmax(logprobs: Sequence[float]) -> tuple[float, ...]:
    """Returns the distribution over the only choices there are, given how likely each is.

    Raises:
        ValueError: if there are none.
    """
    highest = max(logprobs)
    weights = [math.exp(logprob - highest) for logprob in logprobs]
    whole = math.fsum(weights)
    return tuple(weight / whole for weight in weights)


def calibration_error(
    confidences: Sequence[float], correct: Sequence[float], bins: int = 10
) -> float:
    """Returns the expected calibration error, in bins of equal width.

    The mean over answers of |accuracy - mean confidence| of the bin an answer falls in (Naeini et
    al. 2015, AAAI 29, Obtaining well calibrated probabilities using Bayesian binning). NaN without
    answers.

    Args:
        confidences: in [0, 1], of each answer.
        correct: whether it was right; or, where chance decides that, with what probability.
        bins: of equal width over [0, 1].
    """
    filled: dict[int, list[float]] = {}
    for confidence, right in zip(confidences, correct, strict=True):
        bin_of = min(int(confidence * bins), bins - 1)
        filled.setdefault(bin_of, []).append(right - confidence)
    gaps = math.fsum(abs(math.fsum(errors)) for errors in filled.values())
    return gaps / len(confidences) if confidences else math.nan
