"""Whether a training fits into memory, and what to do if not."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch

from spa_bench.errors import InputError
from spa_trainers import sft
from spa_trainers.ppo_settings import PpoSettings
from spa_trainers.rl_settings import RlSettings

_WEIGHT = 4
"""Bytes of a float32 number."""
_TRAINED = 3 * _WEIGHT
"""Bytes that training a weight takes beside it: its gradient and Adam's two means."""


def needed(weights: int, trained: int, settings: PpoSettings, processes: int = 1) -> int:
    """Returns the bytes that PPO needs once the actor is loaded, activations not counted.

    Args:
        weights: of the actor; a critic of its own has about as many, all trained.
        trained: of the actor.
        processes: over which weights are spread; each then has a whole copy of the actor too.
    """
    critic = 0 if settings.critic == "shared" else weights
    spread = critic * (_WEIGHT + _TRAINED) + trained * _TRAINED
    if processes > 1:
        spread = spread / processes + weights * _WEIGHT
    reference = weights * _WEIGHT if settings.kl > 0 else 0
    return round(spread) + reference


def state_bytes(saved: Iterable[torch.nn.Parameter]) -> int:
    """Returns the bytes of a state to resume from: weights, and Adam's two means of the trained."""
    return sum(p.numel() * p.element_size() * (3 if p.requires_grad else 1) for p in saved)


def check_critic(actor: Any, settings: PpoSettings, free: int, processes: int = 1) -> None:
    """Sees to it that a critic has room beside the actor.

    Args:
        actor: in memory, its LoRA layers in it.
        free: bytes on its device.
        processes: over which weights are spread.

    Raises:
        InputError: if it has not.
    """
    weights = sum(p.numel() for p in actor.parameters())
    trained = sum(p.numel() for p in actor.parameters() if p.requires_grad)
    if (need := needed(weights, trained, settings, processes)) > free:
        raise InputError(
            f"rl: beside the actor, the critic and the optimizer of both need {_gb(need)}, and"
            f" {_gb(free)} are free on {actor.device.type}. Several GPUs (docs/training-rl.md) need"
            " less, or, in another --output, a smaller model, `lora`, `critic: shared`, or"
            " `algorithm: grpo`, which has no critic"
        )


def free_bytes(device: torch.device) -> int:
    """Returns the memory that nobody holds: of a GPU, or of the machine."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return psutil.virtual_memory().available


def explained(settings: RlSettings) -> AbstractContextManager[None]:
    """Turns running out of memory in an update into one line that says what to do.

    Raises:
        TrainingError: in its place.
    """
    had = {name: says for name, says in _LESS.items() if name in type(settings).model_fields}
    same = [says for name, says in had.items() if name in settings.how]
    other = [says for name, says in had.items() if name not in settings.how]
    if settings.engine == "vllm":
        same.append("less for the engine (`engine_args.gpu_memory_utilization`)")
    return sft.explained(
        f"rl: out of memory in an update of {settings.microbatch} trajectories at a time; the same"
        f" training goes on with {', '.join(same)}, or several GPUs (docs/training-rl.md);"
        f" {' or '.join(other)} make another one, in another --output"
    )


_LESS = {
    "microbatch": "a smaller `microbatch`",
    "microbatch_tokens": "fewer `microbatch_tokens`",
    "gradient_checkpointing": "`gradient_checkpointing: true`",
    "dtype": "`dtype: bfloat16`",
    "lora": "`lora`",
}
"""Settings with which an update takes less memory."""


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
