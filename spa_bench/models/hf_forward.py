"""One forward pass over rows of unlike lengths.

Torch is imported at module level: import this file only where a model is about to run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import cache_utils

from spa_bench.models import hf_attention
from spa_bench.models.hf_load import window


class Forward:
    """Calls a causal language model of transformers.

    Attributes:
        device: the model's.
        vocabulary: logits of a token.
        one_mask: whether one mask, true where to look, does for a single token a row: in every
            layer it sees all of its row, and attention takes such a mask as it is.
    """

    def __init__(self, model: Any) -> None:
        self.device: torch.device = model.device
        self.vocabulary: int = model.config.get_text_config().vocab_size
        self._model = model
        config = model.config.get_text_config()
        kinds = set(getattr(config, "layer_types", None) or ())
        slides = getattr(config, "sliding_window", None) is not None
        sees_all = kinds == {"full_attention"} or (not kinds and not slides)
        # Others would add it to scores, or refuse it, or make of a plain one what they add.
        takes = config._attn_implementation in ("sdpa", hf_attention.NAME)
        self.one_mask: bool = sees_all and takes and not getattr(config, "alibi", False)
        self._last_position = (window(config) or 2**31) - 1

    def __call__(self, ids: Tensor, starts: Tensor, window: Any, past: int, keep: int) -> Tensor:
        """Returns the logits of the last `keep` positions, (B, keep, V); ids are (B, T).

        Args:
            ids: tokens.
            starts: the column of the window that each row begins at, (B,).
            window: the cache, as transformers takes it; None for none.
            past: columns in the window.
            keep: positions.
        """
        columns = torch.arange(past + ids.shape[1], device=self.device)
        mask = columns >= starts[:, None]
        # The model need not work the mask out, which waits for the device.
        whole = self.one_mask and ids.shape[1] == 1
        logits: Tensor = self._model(
            input_ids=ids,
            attention_mask=mask[:, None, None] if whole else mask.long(),
            # Padding may stand beyond what a model has positions for.
            position_ids=(columns[past:] - starts[:, None]).clamp(0, self._last_position),
            past_key_values=window,
            use_cache=window is not None,
            logits_to_keep=keep,
        ).logits
        return logits

    def padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Returns token ids padded on the left, (B, T), and the column each row starts at, (B,)."""
        width = max(map(len, rows))
        # Any token will do as padding: it is masked.
        ids = [[0] * (width - len(row)) + list(row) for row in rows]
        return self.on_device(ids), self.on_device([width - len(row) for row in rows])

    def on_device(self, numbers: list[Any]) -> Tensor:
        """Returns numbers as a tensor."""
        return torch.as_tensor(np.asarray(numbers, dtype=np.int64), device=self.device)


def growing_cache() -> Any:
    """Returns an empty cache that keeps all of every layer, those with a sliding window too."""
    return cache_utils.Cache(layer_class_to_replicate=cache_utils.DynamicLayer)
