"""Draws tokens with keyed numbers: a request's tokens do not depend on what else is in its batch.

Torch is imported at module level: import this file only where a model is about to run.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_BLOCK = 128
"""Tokens that are summed in one go before the cumulative sum; divides most vocabularies."""
_NUCLEUS = 64
"""How many of the likeliest tokens are looked at first for top_p."""


def uniforms(seed: int, count: int) -> npt.NDArray[np.float64]:
    """Returns the numbers in [0, 1) that draw the tokens of one request.

    Philox (Salmon et al. 2011) is counter-based: number i is a function of `seed` and i alone,
    and NumPy promises that a bit generator's raw stream never changes.

    Args:
        seed: nonnegative, below 2**128.
        count: how many.

    Returns:
        Shape (count,).
    """
    raw = np.random.Philox(key=seed).random_raw(count)
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def draw(logits: Tensor, u: Tensor, temperature: float, top_p: float) -> tuple[Tensor, Tensor]:
    """Draws one token a row by inverting the cumulative distribution at `u`.

    Args:
        logits: of the next token, any floating type, (B, V).
        u: float64 in [0, 1), (B,).
        temperature: 0 takes the likeliest token.
        top_p: draws from the smallest set of likeliest tokens that holds this probability
            (Holtzman et al. 2020, arXiv:1904.09751, section 3.1); 1 is off.

    Returns:
        Token ids, int64 (B,), and their log-probabilities at temperature 1 before top_p,
        float32 (B,).
    """
    logprobs = logits.log_softmax(-1, dtype=torch.float32)
    if temperature == 0:
        ids = logprobs.argmax(-1)
    else:
        if temperature == 1:
            weights = logprobs.exp()
        else:
            weights = ((logprobs - logprobs.amax(-1, keepdim=True)) / temperature).exp_()
        ids = _invert(weights, u) if top_p >= 1 else _invert_nucleus(weights, u, top_p)
    return ids, logprobs.gather(-1, ids[:, None])[:, 0]


def _invert(weights: Tensor, u: Tensor) -> Tensor:
    """Draws from unnormalised weights (B, V): first a block of the vocabulary, then in it.

    A sum over blocks and a cumulative sum over few numbers in float64 is several times faster
    than a cumulative sum over the vocabulary, and more exact.
    """
    vocabulary = weights.shape[-1]
    if vocabulary % _BLOCK:
        weights = torch.nn.functional.pad(weights, (0, _BLOCK - vocabulary % _BLOCK))
    blocks = weights.view(len(weights), -1, _BLOCK)
    upto = blocks.sum(-1).double().cumsum(-1)
    target = u[:, None] * upto[:, -1:]
    block = _first_above(upto, target)
    before = torch.where(block > 0, upto.gather(-1, (block - 1).clamp_min(0)), 0.0)
    inside = blocks.gather(1, block[:, :, None].expand(-1, 1, _BLOCK))[:, 0].double().cumsum(-1)
    return (block * _BLOCK + _first_above(inside, target - before))[:, 0]


def _invert_nucleus(weights: Tensor, u: Tensor, top_p: float) -> Tensor:
    """Draws from the nucleus. Looks at ever more tokens until it holds `top_p` in every row,
    because sorting a whole vocabulary costs more than a small model's forward pass."""
    total = weights.sum(-1, dtype=torch.float64, keepdim=True)
    count = _NUCLEUS
    while True:
        count = min(count, weights.shape[-1])
        likeliest, ids = weights.topk(count, dim=-1)
        upto = likeliest.double().cumsum(-1)
        if count == weights.shape[-1] or bool((upto[:, -1:] >= top_p * total).all()):
            break
        count *= 8
    inside = (upto - likeliest) < top_p * total
    upto = upto.masked_fill(~inside, 0.0).cummax(-1).values
    return ids.gather(-1, _first_above(upto, u[:, None] * upto[:, -1:]))[:, 0]


def _first_above(upto: Tensor, target: Tensor) -> Tensor:
    """Returns where the cumulative sum `upto` (B, N) first exceeds `target` (B, 1), as (B, 1).

    Rounding can put the target at or above the last sum: then the last entry with any weight.
    """
    last = (upto < upto[:, -1:]).sum(-1, keepdim=True)
    return torch.minimum((upto <= target).sum(-1, keepdim=True), last)
