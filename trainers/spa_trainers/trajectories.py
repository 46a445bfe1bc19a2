"""From played episodes to tensors: which tokens the model wrote, and what it was rewarded for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from spa_bench.runner.record import Episode
from spa_bench.task import Task
from spa_trainers.rewards import RewardSettings, turn_rewards

Spans: TypeAlias = Sequence[tuple[int, int]]
"""Of each turn a [start, end) in the tokens of a trajectory."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One episode as tokens.

    Attributes:
        ids: everything that was sent and sampled, first prompt to last reply.
        turns: for each turn, the [start, end) of its sampled tokens in `ids`.
        logprobs: of the sampled tokens when they were sampled, in order.
        rewards: of each turn.
        group: trajectories of one group began on the same board of one task.
    """

    ids: tuple[int, ...]
    turns: tuple[tuple[int, int], ...]
    logprobs: tuple[float, ...]
    rewards: tuple[float, ...]
    group: str
    episode: Episode

    @property
    def reward(self) -> float:
        """Of the whole trajectory."""
        return sum(self.rewards)


def trajectory(task: Task, start: Any, episode: Episode, settings: RewardSettings) -> Trajectory:
    """Reads a trajectory out of an episode that began in `start`, played with its tokens logged.

    Raises:
        ValueError: if a later prompt does not extend the tokens before it: the trained tokens
            would not be the sampled tokens.
    """
    ids: tuple[int, ...] = ()
    turns: list[tuple[int, int]] = []
    logprobs: list[float] = []
    for turn in episode.turns:
        tokens = turn.tokens
        if tokens is None or tokens.logprobs is None:
            raise ValueError(f"{episode.instance}: played without tokens")
        if tokens.prompt_ids[: len(ids)] != ids:
            raise ValueError(
                f"{episode.instance}: a later prompt does not extend the earlier turns"
            )
        if not tokens.completion_ids:  # the model's window is full, and its prompt beyond it
            turns.append((len(ids), len(ids)))
            continue
        begin = len(tokens.prompt_ids)
        ids = tokens.prompt_ids + tokens.completion_ids
        turns.append((begin, len(ids)))
        logprobs += [float("-inf") if p is None else p for p in tokens.logprobs]
    return Trajectory(
        ids=ids,
        turns=tuple(turns),
        logprobs=tuple(logprobs),
        rewards=turn_rewards(task, start, episode, settings),
        group=f"{episode.task}:{episode.instance}",
        episode=episode,
    )


@dataclass(frozen=True)
class Batch:
    """Trajectories as padded tensors of one device; B rows, T tokens, M sampled tokens at most.

    Sampled tokens are numbered 0, 1, .. within a row, turns joined, environment tokens left out;
    or kept, where the environment's carry loss as well (`loss_spans.everything`).

    Attributes:
        ids, attention: int64 (B, T), right-padded.
        places: int64 (B, M), for each such token the place in `ids` that predicts it.
        targets: int64 (B, M), the token itself.
        mask: bool (B, M), whether there is such a token.
        turn: int64 (B, M), the number of its turn.
        rewards: float32 (B, M), on the last token of each turn.
        sampled: bool (B, M), whether the model sampled it.
        learnt: bool (B, M), whether the policy learns from it.
        sampled_logprobs: float32 (B, M), from when it was sampled.
    """

    ids: Tensor
    attention: Tensor
    places: Tensor
    targets: Tensor
    mask: Tensor
    turn: Tensor
    rewards: Tensor
    sampled: Tensor
    learnt: Tensor
    sampled_logprobs: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, index: Tensor) -> Batch:
        """Returns some rows, without columns that are padding in all of them."""
        tokens = int(self.attention[index].sum(1).max())
        sampled = max(1, int(self.mask[index].sum(1).max()))
        wide = {"ids": tokens, "attention": tokens}
        return Batch(
            **{
                name: getattr(self, name)[index][:, : wide.get(name, sampled)]
                for name in self.__dataclass_fields__
            }
        )


def replies(t: Trajectory) -> Spans:
    """Returns all that the model sampled."""
    return t.turns


def collate(
    trajectories: Sequence[Trajectory],
    device: Any = "cpu",
    spans: Callable[[Trajectory], Spans] = replies,
    learnt: Callable[[Trajectory], Spans] | None = None,
) -> Batch:
    """Returns trajectories as tensors.

    Args:
        spans: which tokens to keep, all that the model sampled.
        learnt: which of them the policy learns from; None for all.
    """
    rows = len(trajectories)
    tokens = max(len(t.ids) for t in trajectories)
    kept = [spans(t) for t in trajectories]
    most = max(1, *(sum(end - start for start, end in found) for found in kept))
    whole = {name: torch.zeros(rows, tokens, dtype=torch.int64) for name in ("ids", "attention")}
    part = {
        "places": torch.zeros(rows, most, dtype=torch.int64),
        "targets": torch.zeros(rows, most, dtype=torch.int64),
        "mask": torch.zeros(rows, most, dtype=torch.bool),
        "turn": torch.zeros(rows, most, dtype=torch.int64),
        "rewards": torch.zeros(rows, most),
        "sampled": torch.zeros(rows, most, dtype=torch.bool),
        "learnt": torch.zeros(rows, most, dtype=torch.bool),
        "sampled_logprobs": torch.zeros(rows, most),
    }
    for row, (t, found) in enumerate(zip(trajectories, kept, strict=True)):
        whole["ids"][row, : len(t.ids)] = torch.tensor(t.ids)
        whole["attention"][row, : len(t.ids)] = 1
        places = [i for start, end in found for i in range(start, end)]
        n = len(places)
        part["places"][row, :n] = torch.tensor(places) - 1
        part["targets"][row, :n] = torch.tensor([t.ids[i] for i in places])
        part["mask"][row, :n] = True
        of_policy = {i for s in (found if learnt is None else learnt(t)) for i in range(*s)}
        part["learnt"][row, :n] = torch.tensor([i in of_policy for i in places])
        sampled = dict(zip((i for s in t.turns for i in range(*s)), t.logprobs, strict=True))
        part["sampled"][row, :n] = torch.tensor([i in sampled for i in places])
        part["sampled_logprobs"][row, :n] = torch.tensor([sampled.get(i, 0.0) for i in places])
        at = 0
        for number, (start, end) in enumerate(found):
            part["turn"][row, at : at + end - start] = number
            at += end - start
            # a turn without a token, where the window was full, gives its reward to the one before
            part["rewards"][row, max(0, at - 1)] += t.rewards[number]
    return Batch(**{name: tensor.to(device) for name, tensor in {**whole, **part}.items()})
