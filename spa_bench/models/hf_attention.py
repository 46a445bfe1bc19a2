"""Attention as it is fastest on each device.

On CUDA torch prefers cuDNN's, which makes a plan for each shape that a thread has not had before.
Here hardly any shape comes twice: rows join and leave, and a batch grows by a column a token. Such
plans took two thirds of a pass of SmolLM2 on an H200, so other kernels do it.

One new token a row has attention of our own. transformers repeats keys and values for every head
that they serve, which on a GPU costs more than attention itself; those heads are queries of one
group here, and nothing is repeated. On a CPU torch's fused attention is made for many queries at a
time: two plain matrix products are as fast in float32 and two to three times as fast in bfloat16,
where the fused kernel spends its time on repacking. Several tokens at a time, and whatever a model
adds to attention, stay with transformers' own `sdpa`.

Torch is imported at module level: import this file only where a model is about to run.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, masking_utils
from transformers.integrations import sdpa_attention

NAME = "spa_bench"
"""What transformers calls it."""
_attention: Any = sdpa_attention
_masks: Any = masking_utils
_interfaces: Any = AttentionInterface, AttentionMaskInterface


def use(model: Any) -> None:
    """Sets a model that would use `sdpa` to this.

    cuDNN's can only be turned off for all of a process.
    """
    if model.config._attn_implementation != "sdpa":
        return
    if model.device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)
    if model.device.type in ("cpu", "cuda"):
        attentions, masks = _interfaces
        attentions.register(NAME, attend)
        masks.register(NAME, _masks.sdpa_mask)
        model.set_attn_implementation(NAME)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Does what `sdpa_attention_forward` does.

    Args:
        module: the layer.
        query: (B, heads, T, size).
        key, value: (B, groups, columns, size); each serves heads / groups heads in a row.
        attention_mask: true where to look, (B, 1, T, columns); None for everywhere.
        dropout: only without can this be done here.
        scaling: of the scores; None is 1 / sqrt(size).
        others: what a model adds, such as a bias.

    Returns:
        (B, T, heads, size), and no weights.
    """
    batch, heads, count, size = query.shape
    plain = attention_mask is None or (
        attention_mask.dtype == torch.bool and attention_mask.shape[1] == 1
    )
    added = any(others.get(name) is not None for name in ("softcap", "position_bias", "cache"))
    if count > 1 or dropout or added or not plain:
        return _attention.sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **others
        )
    query = query.reshape(batch, key.shape[1], -1, size)
    if query.device.type == "cuda":
        found = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attention_mask, scale=scaling
        )
        return found.reshape(batch, 1, heads, -1), None
    query = query * (scaling or size**-0.5)
    # Keys first: rows of one matrix each, read in the order in which they lie in memory.
    scores = (key @ query.transpose(-1, -2)).transpose(-1, -2)
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    return (scores.softmax(-1) @ value).reshape(batch, 1, heads, -1), None
