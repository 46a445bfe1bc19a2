"""The losses of PPO, token by token; the caller masks and averages.

All tensors have one shape, usually (B, M).
"""

from __future__ import annotations

import torch
from torch import Tensor


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    dual_clip: float,
) -> Tensor:
    """PPO's clipped surrogate (Schulman et al. 2017, eq. 7), with two refinements.

    The upper clip may be wider than the lower one ("clip-higher", Yu et al. 2025, DAPO, eq. 10).
    For a negative advantage the loss is at most `dual_clip` times its size, however large the
    ratio (Ye et al. 2020, dual-clip PPO, eq. 5); infinity turns that off.
    """
    ratio = (logprobs - old_logprobs).exp()
    plain = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - clip_low, 1 + clip_high)
    loss = torch.maximum(plain, clipped)
    return torch.where(advantages < 0, torch.minimum(loss, -advantages * dual_clip), loss)


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Half the squared error, the larger of the plain and of the clipped value's (as in PPO2)."""
    clipped = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns) ** 2, (clipped - returns) ** 2)


def kl_to(logprobs: Tensor, reference: Tensor) -> Tensor:
    """An unbiased, nonnegative estimate of KL(policy || reference) (Schulman 2020, k3).

    Its gradient, with the samples as they are, is that of KL(reference || policy).
    """
    difference = reference - logprobs
    return difference.exp() - 1 - difference
