"""What every algorithm of reinforcement learning is told; reading it loads no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from spa_trainers.boards import TRAINING_SEEDS, Seeds
from spa_trainers.rewards import RewardSettings
from spa_trainers.settings import Settings
from spa_trainers.sft import Betas, Lora, Seed


class RlSettings(Settings):
    """Which boards are played, how often, for what, and how an update goes.

    The defaults are the paper's.

    Attributes:
        tasks: names; their worlds, formats and limits, on training boards.
        steps: rollouts, each learnt from and then thrown away.
        boards: of a step; repeats: episodes a board, which are a group.
        seeds: which boards; of these only boards of the split `train` are played.
        pool: boards of each task that steps are taken from, again and again in one order.
        least_chance: only boards are trained on that uniformly random actions solve with at least
            this probability, exactly; 0 takes all. On others a whole group may never succeed.
        new_tokens: of a reply while training plays, in place of the task's limit: one that rambles
            is then cut off soon. What the prompt says stays the task's.
        leave_out: tasks whose boards are not trained on, although their split may be `train`.
        decay: share of the steps, the last ones, over which all learning rates fall in a line to
            none: the end is then less of a draw.
        muon_lr: if given, matrices between layers learn by Muon at this rate, a critic's too; the
            other learning rates are for all else.
        betas: of Adam. clip_gradients: the largest norm.
        clip_low, clip_high: how far the ratio of new to old probability may fall or rise.
        entropy: weight of the policy's entropy, a bonus.
        kl: weight of the divergence from the model that training began with.
        epochs, minibatches: passes over a step's trajectories, and updates in each.
        microbatch: trajectories of one forward pass.
        dtype: of the forward pass; weights and optimizer stay float32.
        batch_size: replies written at a time.
        evaluate_every: steps between evaluations on held-out boards (split `validation`).
        evaluate_boards: of each task; evaluate_repeats: episodes a board.
        save_every: steps between states to resume from.
        seed: keys boards' luck, sampled tokens and whatever else is drawn.
        tracker: is told each step, beside the log. It is no part of what a training is: a run can
            go on with another one.
    """

    tasks: list[str] = Field(min_length=1)
    steps: int = Field(1000, ge=0)
    decay: float = Field(0.0, ge=0, le=1)
    boards: int = Field(32, ge=1)
    repeats: int = Field(8, ge=2)
    seeds: Seeds = TRAINING_SEEDS
    pool: int = Field(4096, ge=1)
    least_chance: float = Field(0.0, ge=0, le=1)
    new_tokens: int | None = Field(None, ge=1)
    leave_out: list[str] = Field(["paper"])
    reward: RewardSettings = RewardSettings()  # pyright: ignore[reportCallIssue]
    muon_lr: float | None = Field(None, ge=0)
    betas: Betas = (0.9, 0.999)
    clip_gradients: float = Field(1.0, gt=0)
    clip_low: float = Field(0.2, gt=0)
    clip_high: float = Field(0.28, gt=0)
    entropy: float = Field(0.001, ge=0)
    kl: float = Field(0.0, ge=0)
    epochs: int = Field(1, ge=1)
    minibatches: int = Field(1, ge=1)
    microbatch: int = Field(16, ge=1)
    dtype: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False
    lora: Lora | None = None
    batch_size: int = Field(256, ge=1)
    evaluate_every: int = Field(10, ge=1)
    evaluate_boards: int = Field(64, ge=1)
    evaluate_repeats: int = Field(8, ge=1)
    save_every: int = Field(10, ge=1)
    seed: Seed = 0
    tracker: Literal["tensorboard", "wandb"] | None = Field(None, exclude=True)

    @field_validator("lora")
    @classmethod
    def _no_dropout(cls, lora: Lora | None) -> Lora | None:
        if lora is not None and lora.dropout > 0:
            raise ValueError(
                "dropout must be 0: with it no probability is what it was when the token was drawn"
            )
        return lora

    @property
    def decay_steps(self) -> int:
        """How many steps `decay` is."""
        return round(self.decay * self.steps)

    def rate(self, step: int) -> float:
        """Returns what share of their learning rates a step takes, counted from 0."""
        return min(1.0, (self.steps - step) / self.decay_steps) if self.decay_steps else 1.0
