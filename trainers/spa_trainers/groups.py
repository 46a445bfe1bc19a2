"""What is made of the trajectories of a group, those that began on the same board: which groups are
learnt from, and what their rewards are measured from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import groupby
from statistics import fmean

import torch

from spa_trainers.trajectories import Trajectory


def groups_kept(trajectories: Sequence[Trajectory], share: float) -> list[Trajectory]:
    """Returns the trajectories of the groups whose rewards spread most.

    A group whose rewards are all equal, but for rounding, teaches nothing relative to itself and is
    never kept.
    """
    groups = _groups(trajectories)
    spread = [float(torch.tensor([t.reward for t in g]).std(correction=0)) for g in groups]
    order = sorted(range(len(groups)), key=lambda i: (-spread[i], groups[i][0].group))
    most = max(1, round(share * len(groups)))
    return [t for i in order[:most] if differ(groups[i]) for t in groups[i]]


def differ(group: Sequence[Trajectory]) -> bool:
    """Returns whether the rewards of a group differ, by more than rounding."""
    rewards = [t.reward for t in group]
    return max(rewards, default=0) - min(rewards, default=0) > 1e-6


def less_group_mean(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """Returns the trajectories with the mean reward of their group off each one's last reward.

    That mean is the baseline of GRPO (Shao et al. 2024, eq. 3, not divided by the deviation). What
    it takes off a trajectory depends on that trajectory by one part in the size of the group.
    """
    means = {group[0].group: fmean(t.reward for t in group) for group in _groups(trajectories)}
    return [
        dataclasses.replace(t, rewards=(*t.rewards[:-1], t.rewards[-1] - means[t.group]))
        for t in trajectories
    ]


def less_turn_means(trajectories: Sequence[Trajectory], gamma: float = 1.0) -> list[Trajectory]:
    """Returns the trajectories such that what is to come from a turn on is less what comes, in the
    mean, to its group from that turn on; to a member that has ended comes nothing.

    With rewards in every turn, the mean of whole trajectories off the last reward would make late
    turns look bad for being late. Written as rewards that sum up to that.

    Args:
        gamma: what a reward loses with each turn that it is further off.
    """
    groups = _groups(trajectories)
    means = {group[0].group: _mean_to_come([t.rewards for t in group], gamma) for group in groups}
    found = list[Trajectory]()
    for t in trajectories:
        mean = [*means[t.group][: len(t.rewards)], 0.0]
        rewards = (r - mean[k] + gamma * mean[k + 1] for k, r in enumerate(t.rewards))
        found.append(dataclasses.replace(t, rewards=tuple(rewards)))
    return found


def _mean_to_come(members: Sequence[tuple[float, ...]], gamma: float) -> list[float]:
    """Returns, for each turn, the mean of what its members' rewards sum up to from it on."""
    means = [0.0]
    for turn in reversed(range(max(map(len, members)))):
        now = sum(rewards[turn] for rewards in members if turn < len(rewards)) / len(members)
        means.append(now + gamma * means[-1])
    return means[:0:-1]


def shuffled_rewards(
    trajectories: Sequence[Trajectory], generator: torch.Generator
) -> list[Trajectory]:
    """Returns the trajectories with the rewards of each group dealt out anew among its members.

    A control: groups, and how much their rewards spread, stay as they are, and which member did
    well is lost. A reward goes to the last turn, as members differ in their number of turns.
    """
    found = list[Trajectory]()
    for group in _groups(trajectories):
        order = torch.randperm(len(group), generator=generator).tolist()
        for t, other in zip(group, (group[i] for i in order), strict=True):
            rewards = (*(0.0 for _ in t.rewards[:-1]), other.reward)
            found.append(dataclasses.replace(t, rewards=rewards))
    return found


def _groups(trajectories: Sequence[Trajectory]) -> list[list[Trajectory]]:
    return [list(g) for _, g in groupby(sorted(trajectories, key=_group), key=_group)]


def _group(t: Trajectory) -> str:
    return t.group
