"""Chance is keyed: what is published once must be drawn for ever, in any order."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from worlds import sokoban_task, table_task

from spa_bench.environments.environment import Outcome
from spa_bench.evaluation import evaluate_async
from spa_bench.runner import chance

BOARD = ("0123456789abcdef", "sokoban/6x6-1/ragen/123")

DYNAMICS = {
    ("0", 0, 0): 0.17956276250084624,
    ("0", 0, 1): 0.002950716524449226,
    ("0", 7, 0): 0.13745722789363135,
    ("salt", 0, 0): 0.006046497511100979,
    ("ü→", 2, 9): 0.1777548541657492,
}
"""(salt, repeat, i) -> u. Published: a change here changes every score ever reported."""

SAMPLING = {
    ("0", 0, 0): 2588084574915605919,
    ("0", 7, 0): 5600540659510283684,
    ("0", 0, 4): 3762565990541819731,
    ("ü→", 2, 3): 605293343270787767,
}
"""(salt, repeat, turn) -> seed of task `sokoban` and model `openai/gpt-5`."""


@pytest.mark.parametrize("key", DYNAMICS)
def test_the_dynamics_stream_is_the_published_one(key: tuple[str, int, int]) -> None:
    salt, repeat, i = key
    assert chance.dynamics(salt, *BOARD, repeat, i) == DYNAMICS[key]


@pytest.mark.parametrize("key", SAMPLING)
def test_the_sampling_stream_is_the_published_one(key: tuple[str, int, int]) -> None:
    salt, repeat, turn = key
    seed = chance.sampling_seed(salt, *BOARD, repeat, turn, "sokoban", "openai/gpt-5")
    assert seed == SAMPLING[key]


def test_a_draw_is_what_the_documentation_says_it_is() -> None:
    key = ["spa-bench/1", "dynamics", "0", *BOARD, 3, 5]
    text = json.dumps(key, separators=(",", ":"), ensure_ascii=False)
    bits = int(hashlib.sha256(text.encode()).hexdigest(), 16) >> (256 - 53)
    assert chance.dynamics("0", *BOARD, 3, 5) == bits / 2**53


@given(st.text(), st.integers(0, 2**40), st.integers(0, 10_000))
def test_a_draw_is_one_of_the_2_to_the_53_numbers_from_0_up_to_1(
    salt: str, repeat: int, i: int
) -> None:
    u = chance.dynamics(salt, *BOARD, repeat, i)
    assert 0 <= u < 1
    assert (u * 2**53).is_integer()


def test_draws_are_uniform() -> None:
    draws = [chance.dynamics("0", *BOARD, repeat, i) for repeat in range(200) for i in range(50)]
    assert kstest(draws, "uniform").pvalue > 0.001


def test_draws_use_all_53_bits() -> None:
    numbers = [int(chance.dynamics("0", *BOARD, 0, i) * 2**53) for i in range(200)]
    ones = [sum(number >> bit & 1 for number in numbers) for bit in range(53)]
    assert min(ones) > 50
    assert max(ones) < 150


def test_sampling_seeds_fit_into_a_signed_64_bit_integer() -> None:
    seeds = [chance.sampling_seed("0", *BOARD, r, 0, "t", "m") for r in range(1000)]
    assert 2**62 < max(seeds) < 2**63
    assert min(seeds) >= 0


def test_every_part_of_the_key_changes_the_draw() -> None:
    keys = product(("0", "1"), ("e", "f"), ("b", "c"), (0, 1), (0, 1))
    assert len({chance.dynamics(*key) for key in keys}) == 32


def test_every_part_of_the_key_changes_the_sampling_seed() -> None:
    keys = product(("0", "1"), ("e", "f"), ("b", "c"), (0, 1), (0, 1), ("s", "t"), ("m", "n"))
    assert len({chance.sampling_seed(*key) for key in keys}) == 128


def test_neighbouring_keys_are_not_confused() -> None:
    assert chance.dynamics("0", "e", "x1", 1, 0) != chance.dynamics("0", "e", "x", 11, 0)
    assert chance.dynamics("0", "a,b", "c", 0, 0) != chance.dynamics("0", "a", "b,c", 0, 0)


def test_dynamics_and_sampling_never_share_a_number() -> None:
    drawn = {int(chance.dynamics("0", "e", "b", 0, i) * 2**53) for i in range(100)}
    seeds = {chance.sampling_seed("0", "e", "b", 0, i, "t", "m") >> 10 for i in range(100)}
    assert not drawn & seeds


def test_a_draw_does_not_depend_on_those_before_it() -> None:
    forwards = [chance.dynamics("0", *BOARD, 0, i) for i in range(20)]
    backwards = [chance.dynamics("0", *BOARD, 0, i) for i in reversed(range(20))]
    assert forwards == backwards[::-1]


# -- draw: which outcome a number falls on ------------------------------------------------------


def outcomes(*probabilities: Fraction) -> tuple[Outcome[int], ...]:
    return tuple(Outcome(p, i, 0.0, False) for i, p in enumerate(probabilities))


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=8))
def test_a_boundary_belongs_to_the_outcome_above_it(weights: list[int]) -> None:
    whole = 2 ** (sum(weights) - 1).bit_length() if len(weights) > 1 else sum(weights)
    weights = [*weights, whole - sum(weights)] if whole > sum(weights) else weights
    these = outcomes(*(Fraction(weight, whole) for weight in weights))
    boundary = Fraction(0)
    for index, outcome in enumerate(these):
        assert chance.draw(these, float(boundary)) == index
        boundary += outcome.probability


def test_thirds_are_not_rounded() -> None:
    thirds = outcomes(*[Fraction(1, 3)] * 3)
    below, above = 1 / 3, np.nextafter(1 / 3, 1)
    assert Fraction(below) < Fraction(1, 3) < Fraction(float(above))
    assert [chance.draw(thirds, below), chance.draw(thirds, float(above))] == [0, 1]


def test_the_largest_number_falls_on_the_last_outcome() -> None:
    assert chance.draw(outcomes(*[Fraction(1, 7)] * 7), 1 - 2**-53) == 6


def test_impossible_outcomes_are_never_drawn() -> None:
    assert chance.draw(outcomes(Fraction(0), Fraction(1), Fraction(0)), 0.0) == 1


def test_probabilities_that_leave_a_gap_are_an_error() -> None:
    with pytest.raises(ValueError, match="sum to 1/2"):
        chance.draw(outcomes(Fraction(1, 4), Fraction(1, 4)), 0.75)


# -- no other chance ---------------------------------------------------------------------------


def test_a_whole_run_leaves_the_global_generators_as_they_were(tmp_path: Path) -> None:
    tasks = [sokoban_task(repeats=1, instances={"seeds": "123-126"}), table_task()]
    before = random.getstate(), np.random.get_state()
    asyncio.run(evaluate_async("baseline/random", tasks, output=tmp_path / "run"))
    after = random.getstate(), np.random.get_state()
    assert before[0] == after[0]
    assert all(np.array_equal(was, now) for was, now in zip(before[1], after[1], strict=True))


def test_a_whole_run_does_not_depend_on_the_global_generators(tmp_path: Path) -> None:
    replies: list[list[str]] = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        folder = tmp_path / str(seed)
        asyncio.run(evaluate_async("baseline/random", [table_task()], output=folder))
        lines = (folder / "episodes.jsonl").read_text().splitlines()
        replies.append([turn["reply"] for line in lines for turn in json.loads(line)["turns"]])
    assert replies[0] == replies[1]
