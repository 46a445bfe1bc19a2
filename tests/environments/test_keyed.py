"""The stream that draws boards: what it promises to be, bit for bit."""

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.canonical import canonical_json
from spa_bench.environments.keyed import Keyed


@given(st.text(max_size=5), st.integers(0, 2**40), st.integers(1, 2**60), st.integers(0, 5))
def test_number_i_is_the_hash_of_what_it_is_for(name: str, seed: int, n: int, i: int) -> None:
    parameters = {"b": None, "a": [1, 0.5, "√"]}
    stream = Keyed(name, parameters, seed)
    drawn = [stream.below(n) for _ in range(i + 1)]
    key = canonical_json(["spa-bench/1", "instance", name, parameters, seed, i])
    first_64_bits = int(hashlib.sha256(key.encode()).hexdigest()[:16], 16)
    assert drawn[i] == first_64_bits * n // 2**64


def test_the_first_numbers_are_these_for_ever() -> None:
    stream = Keyed("sokoban", {"rows": 6}, 123)
    items = list(range(8))
    stream.shuffle(items)
    drawn = [stream.below(1000) for _ in range(4)], items, stream.choice("abcdef")
    assert drawn == ([917, 426, 102, 850], [7, 2, 6, 1, 4, 3, 5, 0], "c")


@pytest.mark.parametrize("other", [("b", {"x": 1}, 0), ("a", {"x": 2}, 0), ("a", {"x": 1}, 1)])
def test_streams_for_other_things_are_other_streams(other) -> None:
    assert Keyed("a", {"x": 1}, 0).below(2**64) != Keyed(*other).below(2**64)


@given(st.lists(st.integers(), max_size=20), st.integers(0, 1000))
def test_a_shuffle_keeps_every_item(items: list[int], seed: int) -> None:
    shuffled = list(items)
    Keyed("", {}, seed).shuffle(shuffled)
    assert Counter(shuffled) == Counter(items)


def test_every_order_is_as_likely_as_any_other() -> None:
    orders = Counter[str]()
    for seed in range(2400):
        items = list("abc")
        Keyed("", {}, seed).shuffle(items)
        orders["".join(items)] += 1
    assert len(orders) == 6
    assert all(400 - 4 * 19 < count < 400 + 4 * 19 for count in orders.values())


def test_chance_comes_as_often_as_it_says() -> None:
    stream = Keyed("", {}, 0)
    assert 0.8 - 0.04 < sum(stream.chance(0.8) for _ in range(2000)) / 2000 < 0.8 + 0.04
    assert all(stream.chance(1.0) for _ in range(100))


def test_there_is_nothing_below_zero() -> None:
    with pytest.raises(ValueError, match="below 0"):
        Keyed("", {}, 0).below(0)
