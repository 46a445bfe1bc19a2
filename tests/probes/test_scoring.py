"""Scoring: 1 for the truth, less for anything else, and nothing that is written breaks it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.environments.environment import AnyEnvironment
from spa_bench.environments.frozenlake import FrozenLake
from spa_bench.environments.sokoban import Sokoban
from spa_bench.environments.sudoku import Sudoku
from spa_bench.probes.board import Board
from spa_bench.probes.inverse import Inverse
from spa_bench.probes.legality import Legality
from spa_bench.probes.probe import Item, Probe, View
from spa_bench.probes.reward import Reward
from spa_bench.probes.transition import TransitionProbe

WORLDS: list[AnyEnvironment] = [Sokoban(), FrozenLake(), Sudoku()]
VIEWS = [View(w, s) for w in WORLDS for s in ("grid", "grid+coordinates", "coordinates")]
PROBE = TransitionProbe()


def first(view: View, probe: Probe = PROBE) -> Item:
    board = Board(view.environment, view.environment.initial_state(123), 123)
    return next(iter(probe.items(view, board)))


ITEMS = [(view, first(view)) for view in VIEWS]


@given(st.sampled_from(ITEMS), st.data())
def test_a_mutation_of_the_truth_is_worth_less(
    asked: tuple[View, Item], data: st.DataObject
) -> None:
    view, item = asked
    truth = item.right[0][0]
    at = data.draw(st.integers(0, len(truth) - 1))
    instead = data.draw(st.sampled_from([*set(truth), "", "7", "(", "?"]))
    mutated = truth[:at] + instead + truth[at + 1 :]
    facts = view.environment.read(mutated, view.observation)
    answer = PROBE.read(view, mutated)
    if answer is None:
        assert facts is None
    elif facts == view.environment.read(truth, view.observation):
        assert PROBE.score(view, item, answer).probability == 1
    else:
        scored = PROBE.score(view, item, answer)
        assert scored.probability == 0
        assert scored.agreement is not None
        assert scored.agreement.cell_accuracy < 1
        assert scored.agreement.object_f1 < 1


@pytest.mark.parametrize("view", VIEWS, ids=lambda v: f"{v.environment.name}-{v.observation}")
def test_white_space_around_and_between_does_not_matter(view: View) -> None:
    item = first(view)
    truth = item.right[0][0]
    for written in (f"\n  {truth}\n\n", truth.replace("\n", " \n ")):
        answer = PROBE.read(view, written)
        assert answer is not None
        assert PROBE.score(view, item, answer).probability == 1


@given(st.text(max_size=200))
def test_no_text_breaks_a_reader(text: str) -> None:
    for view in VIEWS:
        for probe in (PROBE, Inverse(), Legality(), Reward()):
            answer = probe.read(view, text)
            assert answer is None or probe.read(view, answer) == answer


def test_torn_and_shuffled_answers_never_raise() -> None:
    rng = random.Random(0)
    for view, item in ITEMS:
        for text in item.candidates:
            for _ in range(100):
                pieces = list(text)
                rng.shuffle(pieces)
                answer = PROBE.read(view, "".join(pieces[: rng.randrange(len(pieces))]))
                if answer is not None:
                    assert 0 <= PROBE.score(view, item, answer).probability <= 1


@pytest.mark.parametrize(
    ("probe", "written", "read"),
    [
        (Legality(), " Yes.\n", "yes"),
        (Legality(), "maybe", None),
        (Legality(), "yes or no", None),
        (Reward(), "-0.10 , NO", "-0.1, no"),
        (Reward(), "10.9 yes", "10.9, yes"),
        (Reward(), "1e999, yes", None),
        (Reward(), "-0, no", "0, no"),
        (Inverse(), " left ", "Left"),
        (Inverse(), "Left || Right", None),
    ],
)
def test_answers_are_read_leniently(probe: Probe, written: str, read: str | None) -> None:
    assert probe.read(View(Sokoban(), "grid"), written) == read
