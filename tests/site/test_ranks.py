"""Ranks: what cannot be told apart shares one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spa_bench.metrics.paired import paired
from spa_bench.site.ranks import Discipline, Rank, ranks, surely_better
from spa_bench.site.rows import parts_of

_RNG = np.random.default_rng(0)


def test_equal_entrants_share_the_first_rank() -> None:
    values = np.tile(_RNG.random(50), (3, 1))
    assert ranks([Discipline(values)]) == [Rank(1, 3)] * 3


def test_a_board_counts_by_its_items_in_ranks_as_in_the_table() -> None:
    counts = {"a": (4, 4), "b": (20, 5), "b2": (20, 5)}
    parts = parts_of(counts, [["a"], ["b", "b2"]])
    assert np.mean(parts) == pytest.approx(14 / 44)
    assert parts_of({"a": (8, 2), "b": (8, 6)}, [["a"], ["b"]]) == pytest.approx([0.25, 0.75])


def test_a_sure_difference_separates_and_an_unsure_one_does_not() -> None:
    base = _RNG.random(100) / 2
    noise = _RNG.normal(0, 0.1, 100)
    values = np.array([base + 0.4, base, base + noise - noise.mean()])
    assert ranks([Discipline(values)]) == [Rank(1, 1), Rank(2, 3), Rank(2, 3)]


@settings(max_examples=20)
@given(arrays(float, (3, 8), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])))
def test_one_discipline_agrees_with_the_paired_comparison(values: np.ndarray) -> None:
    better = surely_better([Discipline(values)])
    for i in range(3):
        for j in range(3):
            low = paired(values[i].tolist(), values[j].tolist()).difference.low
            if i != j and abs(low) > 1e-9:
                assert better[i, j] == (low > 0)


@given(arrays(float, (5, 8), elements=st.floats(0, 1)))
def test_ranks_are_places_that_exist(values: np.ndarray) -> None:
    found = ranks([Discipline(values), Discipline(values[:, ::-1], 0.5)])
    assert all(1 <= rank.best <= rank.worst <= 5 for rank in found)
    assert min(rank.best for rank in found) == 1
    assert max(rank.worst for rank in found) == 5


def test_disciplines_count_by_their_weight() -> None:
    ahead, behind = np.tile([[1.0], [0.0]], 10), np.tile([[0.0], [1.0]], 10)
    assert ranks([Discipline(ahead, 0.9), Discipline(behind, 0.1)])[0] == Rank(1, 1)
    assert ranks([Discipline(ahead, 0.1), Discipline(behind, 0.9)])[0] == Rank(2, 2)


def test_a_single_board_tells_nothing_apart() -> None:
    assert ranks([Discipline(np.array([[1.0], [0.0]]))]) == [Rank(1, 2)] * 2


def test_nobody_is_ranked_where_nobody_takes_part() -> None:
    assert ranks([Discipline(np.zeros((0, 10)))]) == []
