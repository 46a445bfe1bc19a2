"""transformers' own `generate`, as `hf/` and a training's rollouts are set beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def generate(model: Any, prompts: Sequence[Sequence[int]], config: Any) -> Any:
    """Returns what is written after prompts in one batch, int64 (B, T), shorter rows padded."""
    import torch

    width = max(map(len, prompts))
    padded = [[0] * (width - len(ids)) + list(ids) for ids in prompts]
    mask = [[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts]
    said = model.generate(
        torch.tensor(padded, device=model.device),
        attention_mask=torch.tensor(mask, device=model.device),
        generation_config=config,
    )
    return said[:, width:]
