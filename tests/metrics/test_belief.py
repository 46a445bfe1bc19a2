"""A statement against the truth: nothing but the truth is exact."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.environments.environment import Facts
from spa_bench.metrics.belief import agreement

PLACES = st.frozensets(
    st.tuples(st.tuples(st.integers(0, 3), st.integers(0, 3)), st.sampled_from(["", "1"])),
    max_size=6,
)
FACTS = st.dictionaries(st.sampled_from(["player", "box", "target"]), PLACES, max_size=3)


def at(*positions: tuple[int, int]) -> frozenset[Any]:
    return frozenset((position, "") for position in positions)


TRUTH: Facts = {"player": at((0, 0)), "box": at((1, 1), (2, 2))}


@given(FACTS)
def test_the_truth_agrees_with_itself(facts: dict[str, Any]) -> None:
    found = agreement(facts, facts)
    assert (found.exact, found.cell_accuracy, found.object_f1) == (True, 1.0, 1.0)


@given(FACTS, FACTS)
def test_what_is_not_the_truth_scores_less_in_everything(
    stated: dict[str, Any], truth: dict[str, Any]
) -> None:
    found = agreement(stated, truth)
    if {k: v for k, v in stated.items() if v} != {k: v for k, v in truth.items() if v}:
        assert not found.exact
        assert 0 <= found.cell_accuracy < 1
        assert 0 <= found.object_f1 < 1


@pytest.mark.parametrize(
    ("stated", "cells", "f1"),
    [
        ({"player": at((0, 1)), "box": at((1, 1), (2, 2))}, 2 / 4, 2 * 2 / 6),  # off by one
        ({"player": at((0, 0)), "box": at((1, 1))}, 2 / 3, 2 * 2 / 5),  # one box left out
        ({"player": at((0, 0), (1, 1)), "box": at((1, 1), (2, 2))}, 2 / 3, 2 * 3 / 7),  # too much
        ({}, 0, 0),
    ],
)
def test_what_is_partly_right_counts_in_part(stated: Facts, cells: float, f1: float) -> None:
    found = agreement(stated, TRUTH)
    assert (found.cell_accuracy, found.object_f1) == (pytest.approx(cells), pytest.approx(f1))


def test_the_unreadable_agrees_with_nothing() -> None:
    found = agreement(None, {})
    assert (found.exact, found.cell_accuracy, found.object_f1) == (False, 0.0, 0.0)
