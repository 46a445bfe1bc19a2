"""The settings of PPO, apart from it so that reading a recipe loads no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from spa_trainers.play_settings import PlaySettings
from spa_trainers.sft import Lora


class PpoSettings(PlaySettings):
    """How to train. The defaults are the paper's.

    Attributes:
        keep: the share of groups, those whose rewards spread most, that is learnt from.
        epochs, minibatches: passes over a step's trajectories, and updates in each.
        microbatch: trajectories of one forward pass.
        advantages: `trajectory` puts all reward on the last token; `turn` leaves it at the end of
            each turn; `bilevel` is VAGEN's, in two levels.
        gamma, lam: a token; turn_gamma, turn_lam: a turn, in `bilevel`.
        kl: weight of the divergence from the model that training began with.
        mask_context: loss on sampled tokens only, as the paper says. The public code's default
            trains on what the environment said as well; that is `false`, and not implemented.
        critic_warmup: steps in which only the critic learns.
    """

    keep: float = Field(0.25, gt=0, le=1)
    advantages: Literal["trajectory", "turn", "bilevel"] = "trajectory"
    gamma: float = Field(1.0, gt=0, le=1)
    lam: float = Field(1.0, ge=0, le=1)
    turn_gamma: float = Field(1.0, gt=0, le=1)
    turn_lam: float = Field(1.0, ge=0, le=1)
    actor_lr: float = Field(1e-6, ge=0)
    critic_lr: float = Field(1e-5, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    clip_gradients: float = Field(1.0, gt=0)
    clip_low: float = Field(0.2, gt=0)
    clip_high: float = Field(0.28, gt=0)
    dual_clip: float = Field(3.0, gt=1)
    value_clip: float = Field(0.5, gt=0)
    entropy: float = Field(0.001, ge=0)
    kl: float = Field(0.0, ge=0)
    epochs: int = Field(1, ge=1)
    minibatches: int = Field(1, ge=1)
    microbatch: int = Field(16, ge=1)
    critic_warmup: int = Field(0, ge=0)
    dtype: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False
    lora: Lora | None = None
