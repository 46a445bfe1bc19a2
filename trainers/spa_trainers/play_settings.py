"""What reinforcement learning plays, by whatever algorithm; reading it loads no torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from spa_trainers.rewards import RewardSettings


class PlaySettings(BaseModel):
    """Which boards are played, how often, and what for. The defaults are the paper's.

    Attributes:
        tasks: names; their worlds, formats and limits, on training boards.
        steps: rollouts, each learnt from and then thrown away.
        boards: of a step; repeats: episodes a board, which are a group.
        seeds: which boards; of these only boards of the split `train` are played.
        pool: boards of each task that steps are taken from, again and again in one order.
        leave_out: tasks whose boards are not trained on, although their split may be `train`.
        batch_size: replies written at a time.
        evaluate_every: steps between evaluations on held-out boards (split `validation`).
        evaluate_boards: of each task; evaluate_repeats: episodes a board.
        save_every: steps between states to resume from.
        seed: keys boards' luck, sampled tokens and whatever else is drawn.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: list[str] = Field(min_length=1)
    steps: int = Field(1000, ge=0)
    boards: int = Field(32, ge=1)
    repeats: int = Field(8, ge=2)
    seeds: str = "10000-4000000000"
    pool: int = Field(4096, ge=1)
    leave_out: list[str] = ["paper"]
    reward: RewardSettings = RewardSettings()  # pyright: ignore[reportCallIssue]
    batch_size: int = Field(256, ge=1)
    evaluate_every: int = Field(10, ge=1)
    evaluate_boards: int = Field(64, ge=1)
    evaluate_repeats: int = Field(8, ge=1)
    save_every: int = Field(10, ge=1)
    seed: int = 0
