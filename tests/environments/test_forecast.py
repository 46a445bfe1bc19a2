"""Where blind actions may lead, with exact probabilities."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from worlds import ACTIONS, SLIPPERY

from spa_bench.environments.forecast import forecast
from spa_bench.environments.sokoban import Sokoban


def test_no_actions_lead_nowhere() -> None:
    assert forecast(SLIPPERY, 1, ()) == {1: 1}


def test_ways_to_one_state_add_up_and_an_end_is_an_end() -> None:
    # from 0, `a` goes to 1 (2/4), stays (1/4) or falls into 4 (1/4), where all ends
    sixteenths = {0: 3, 1: 2, 2: 4, 4: 7}
    expected = {there: Fraction(share, 16) for there, share in sixteenths.items()}
    assert forecast(SLIPPERY, 0, ("a", "a")) == expected


@given(st.sampled_from([0, 1, 2]), st.lists(st.sampled_from(ACTIONS), max_size=6))
def test_probabilities_sum_to_one(state: int, actions: list[str]) -> None:
    assert sum(forecast(SLIPPERY, state, actions).values()) == 1


def test_certain_dynamics_lead_to_one_state() -> None:
    world = Sokoban()
    start = world.initial_state(123)
    state = start
    for action in ("Up", "Left", "Down"):
        state = world.outcomes(state, action)[0].state
    assert forecast(world, start, ("Up", "Left", "Down")) == {state: 1}
