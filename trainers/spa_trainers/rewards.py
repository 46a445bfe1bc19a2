"""What a turn is rewarded with in training: the world's reward, the format, and, in the VAGEN-style
method, how right the model's beliefs are."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from spa_bench.runner.record import Episode
from spa_bench.task import Task

RewardKind = Literal["environment", "vagen"]


class RewardSettings(BaseModel):
    """Rewards of a turn. The defaults are the paper's.

    Attributes:
        format_penalty: for a turn without an answer, or with an action that does not exist.
        vagen: adds `vagen_weight` for a turn in the format, and for each of its observation and
            prediction `vagen_weight` times how right it is. VAGEN asks a language model how right;
            here the kernel says so exactly.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_penalty: float = Field(-0.1, le=0)
    vagen: bool = False
    vagen_weight: float = Field(0.5, ge=0)


def turn_rewards(task: Task, episode: Episode, settings: RewardSettings) -> tuple[float, ...]:
    """Returns the training reward of each turn of an episode."""
    return tuple(
        turn.reward + (settings.format_penalty if turn.parse != "ok" else 0.0)
        for turn in episode.turns
    )
