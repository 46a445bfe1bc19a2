"""The kernels as Gymnasium environments."""

from __future__ import annotations

import warnings

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

from spa_bench.environments.environment import NoBoardError
from spa_bench.environments.frozenlake import FrozenLake
from spa_bench.environments.gym import KINDS


@pytest.mark.parametrize("name", sorted(KINDS))
def test_gymnasium_finds_the_environment_and_its_checker_passes(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(f"spa_bench/{name}", render_mode="ansi").unwrapped
        check_env(env, skip_render_check=True)


def test_a_board_can_be_chosen_and_is_the_harness_board() -> None:
    env = gymnasium.make("spa_bench/Sokoban-v0", observation="grid+coordinates")
    shown, info = env.reset(options={"board": 123})
    kernel = env.unwrapped.kernel
    assert shown == kernel.observe(kernel.initial_state(123), "grid+coordinates")
    assert info == {"board": 123}


def test_the_same_seed_gives_the_same_episode() -> None:
    def episode() -> list[object]:
        env = gymnasium.make("spa_bench/FrozenLake-v0", ice="slippery")
        seen: list[object] = [env.reset(seed=7)]
        for action in (0, 1, 2, 3, 2, 1):
            seen.append(env.step(action))
            if seen[-1][2]:
                break
        return seen

    assert episode() == episode()


def test_all_outcomes_of_slippery_ice_happen() -> None:
    env = gymnasium.make("spa_bench/FrozenLake-v0", ice="slippery", board=5)
    env.reset(seed=1)
    drawn = set()
    for _ in range(60):
        env.reset()
        drawn.add(env.step(1)[4]["outcome"])
    assert drawn == set(
        range(len(FrozenLake(ice="slippery").outcomes(env.unwrapped._first_board(5)[1], "Down")))
    )


def test_reaching_the_goal_ends_the_episode_with_success() -> None:
    env = gymnasium.make("spa_bench/Sokoban-v0", board=123)
    env.reset()
    *_, (_, reward, terminated, truncated, info) = [env.step(action) for action in (1, 2, 0)]
    assert (round(reward, 6), terminated, truncated, info["success"]) == (10.9, True, False, True)


def test_a_seed_without_a_board_is_not_named_as_the_board_that_is_shown() -> None:
    env = gymnasium.make("spa_bench/Sokoban-v0")
    kernel = env.unwrapped.kernel
    with pytest.raises(NoBoardError):
        kernel.initial_state(3248)
    shown, info = env.reset(options={"board": 3248})
    assert info["board"] > 3248
    assert shown == kernel.observe(kernel.initial_state(info["board"]), "grid")
