"""Our FrozenLake rules are those of gymnasium's FrozenLake-v1, read off its transition table."""

import pytest
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv

from spa_bench.environments.frozenlake import MOVES, FrozenLake, FrozenLakeState


def transitions(environment: FrozenLake, seed: int) -> int:
    """Compares all transitions of one lake; returns how many."""
    size = environment.size
    start = environment.initial_state(seed)
    letters = environment.render(start).translate(str.maketrans("P_OG", "SFHG")).split("\n")
    table = FrozenLakeEnv(desc=letters, is_slippery=environment.ice == "slippery").P
    compared = 0
    for cell in range(size * size):
        row, col = divmod(cell, size)
        state = FrozenLakeState(start.lake, row * (size + 1) + col)
        for number, move in enumerate(MOVES):
            ours = environment.outcomes(state, move)
            assert len(ours) == len(table[cell][number])
            for outcome, (probability, there, reward, terminal) in zip(
                ours, table[cell][number], strict=True
            ):
                row_there, col_there = divmod(outcome.state.player, size + 1)
                assert outcome.state.lake == start.lake
                assert row_there * size + col_there == there
                assert float(outcome.probability) == pytest.approx(probability, rel=1e-12)
                assert outcome.reward == reward
                assert outcome.terminal == terminal
                compared += 1
    return compared


@pytest.mark.parametrize("ice", ["firm", "slippery"])
def test_ten_thousand_transitions_agree_in_probability_state_reward_and_end(ice: str) -> None:
    small = FrozenLake(ice=ice)  # pyright: ignore[reportArgumentType]
    large = FrozenLake(size=6, ice=ice)  # pyright: ignore[reportArgumentType]
    compared = sum(transitions(small, seed) for seed in range(123, 243))
    compared += sum(transitions(large, seed) for seed in range(123, 143))
    assert compared >= 10_000
