"""What every algorithm of reinforcement learning is told; reading it loads no torch."""

from __future__ import annotations

import json
from typing import Any, Literal, cast

from pydantic import Field, ValidationInfo, field_validator

from spa_bench.errors import InputError
from spa_bench.models import vllm_settings
from spa_bench.models.model import ModelOptions
from spa_trainers.boards import TRAINING_SEEDS, Seeds
from spa_trainers.rewards import RewardSettings
from spa_trainers.settings import Settings
from spa_trainers.sft import Betas, Lora, Seed

_OF_ANOTHER_MODEL = frozenset(
    {
        "pretrained",
        "revision",
        "quantization",
        "lora_local_path",
        "trust_remote_code",
        "add_bos_token",
        "chat_template",
        "load_format",
        "hf_overrides",
        "hf_config_path",
    }
)
"""Arguments of vLLM's that would play another model than the one that is trained."""


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
        leave_out: tasks whose boards are not trained on, although their split may be `train`; nor
            are those of `tasks` themselves, unless they are all of split `train`.
        decay: share of the steps, the last ones, over which all learning rates fall in a line to
            none: the end is then less of a draw.
        muon_lr: if given, matrices between layers learn by Muon at this rate, a critic's too; the
            other learning rates are for all else.
        betas: of Adam. clip_gradients: the largest norm.
        clip_low, clip_high: how far the ratio of new to old probability may fall or rise.
        entropy: weight of the policy's entropy, a bonus.
        kl: weight of the divergence from the model that training began with, over all that the
            model samples.
        epochs, minibatches: passes over a step's trajectories, and updates in each.
        microbatch: trajectories of one forward pass.
        dtype: of the forward pass; weights and optimizer stay float32.
        engine: what writes the replies of the policy: `transformers`, in this process, or `vllm`,
            which must be installed, in processes of its own. Training computes log-probabilities
            anew, whatever the engine says.
        engine_args: of `vllm`, what `--model-args` are to an evaluation. As with a tracker, a run
            can go on with another engine.
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
    engine: Literal["transformers", "vllm"] = Field("transformers", exclude=True)
    engine_args: dict[str, str] = Field(default_factory=dict, exclude=True)
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

    @field_validator("engine_args", mode="before")
    @classmethod
    def _as_on_the_command_line(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        named = cast("dict[Any, Any]", given)
        return {key: v if isinstance(v, str) else json.dumps(v) for key, v in named.items()}

    @field_validator("engine_args")
    @classmethod
    def _that_the_engine_takes(cls, args: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if args and info.data.get("engine") == "transformers":
            raise ValueError("these are for engine: vllm")
        try:
            more = vllm_settings.Settings.of(ModelOptions("policy", "policy", args)).engine_args
        except InputError as error:
            raise ValueError(str(error)) from None
        if others := sorted(_OF_ANOTHER_MODEL & {*args, *more}):
            raise ValueError(f"{others[0]}: the model is the one that is trained")
        return args

    @property
    def how(self) -> frozenset[str]:
        return super().how | {"batch_size", "gradient_checkpointing"}

    @property
    def decay_steps(self) -> int:
        """How many steps `decay` is."""
        return round(self.decay * self.steps)

    def rate(self, step: int) -> float:
        """Returns what share of their learning rates a step takes, counted from 0."""
        return min(1.0, (self.steps - step) / self.decay_steps) if self.decay_steps else 1.0
