"""What is made of the trajectories of one board: which are learnt from, and measured from what."""

import pytest
import torch

from spa_trainers.groups import (
    groups_kept,
    less_group_mean,
    less_turn_means,
    shuffled_rewards,
)
from spa_trainers.trajectories import Trajectory


def _played(group, *rewards):
    return Trajectory((), (), (), rewards, group, episode=None)


def test_groups_that_teach_nothing_are_left_out():
    wide, narrow, flat = (
        [_played(name, 0.5, reward - 0.5) for reward in rewards]
        for name, rewards in [("a", (0.0, 10.0)), ("b", (0.0, 1.0)), ("c", (3.0, 3.0))]
    )
    assert {t.group for t in groups_kept([*flat, *narrow, *wide], 0.34)} == {"a"}
    assert {t.group for t in groups_kept([*flat, *narrow, *wide], 1.0)} == {"a", "b"}
    assert groups_kept(flat, 1.0) == []


def test_the_mean_of_a_group_is_taken_off_its_last_rewards():
    mixed = [_played("b", -0.1, 1.0), _played("a", 3.0), _played("b", 0.5)]
    assert [(f.group, f.rewards) for f in less_group_mean(mixed)] == [
        ("b", pytest.approx((-0.1, 0.3))),
        ("a", (0.0,)),
        ("b", pytest.approx((-0.2,))),
    ]
    assert [t.rewards for t in mixed] == [(-0.1, 1.0), (3.0,), (0.5,)], "the log keeps what came"


@pytest.mark.parametrize("reward", [-0.1, -0.3, 0.7, 9.7])
def test_a_group_of_equal_rewards_is_not_kept_whatever_they_round_to(reward):
    played = [_played("same", reward) for _ in range(8)]
    assert groups_kept(played, 1.0) == []
    played += [_played("live", reward - 1) for _ in range(7)] + [_played("live", reward)]
    assert {t.group for t in groups_kept(played, 1.0)} == {"live"}


def test_from_each_turn_on_the_mean_of_what_comes_to_the_group_is_taken_off():
    played = [_played("b", 1.0, 2.0, 4.0), _played("a", 3.0), _played("b", 5.0)]
    found = less_turn_means(played)
    # b: 7, 6 and 4 come to the first from each turn on, to the other 5, 0 and 0
    to_come = [[sum(f.rewards[turn:]) for turn in range(len(f.rewards))] for f in found]
    assert to_come == [pytest.approx([7 - 6, 6 - 3, 4 - 2]), [0.0], [5 - 6]]
    assert played[0].rewards == (1.0, 2.0, 4.0), "the log keeps what came"


def test_what_comes_to_the_group_is_discounted_as_what_comes_to_the_member():
    played = [_played("b", 1.0, 2.0, 4.0), _played("b", 5.0)]
    found = less_turn_means(played, gamma=0.5)
    to_come = [
        [sum(r * 0.5**k for k, r in enumerate(f.rewards[turn:])) for turn in range(len(f.rewards))]
        for f in found
    ]
    # from each turn on come 1 + 1 + 1, 2 + 2 and 4 to the first, to the other 5, 0 and 0
    assert to_come == [pytest.approx([3 - 4, 4 - 2, 4 - 2]), [pytest.approx(5 - 4)]]


def test_shuffled_rewards_stay_in_their_group_and_lose_whose_they_are():
    rewards = {"a": [0.0, 0.25, 0.5, 1.0], "b": [2.0, 3.0, 4.0, 6.0]}
    played = [_played(group, 0.0, rewards[group][rank]) for rank in range(4) for group in "ab"]
    whose = torch.zeros(4, 4)
    for seed in range(400):
        found = shuffled_rewards(played, torch.Generator().manual_seed(seed))
        for group, expected in rewards.items():
            got = [f.reward for f in found if f.group == group]
            assert sorted(got) == expected
            if group == "a":
                for place, reward in enumerate(got):
                    whose[place, expected.index(reward)] += 1
    assert (whose / 400 - 0.25).abs().max() < 0.1, "each reward goes to each member equally often"
    assert {f.rewards[0] for f in found} == {0.0}
    assert (played[0].reward, played[-1].reward) == (0.0, 6.0), "the log keeps what came"
