"""Advantages over the tokens a model sampled; environment tokens do not exist here.

All tensors are (B, M) as in `trajectories.Batch`: row by row the sampled tokens, turns joined. So
the token after the last one of a turn is the first one of the next turn, and what the environment
wrote in between neither discounts nor carries a value.
"""

from __future__ import annotations

import torch
from torch import Tensor


def returns_at_end(rewards: Tensor, mask: Tensor) -> Tensor:
    """Moves all rewards of a row onto its last sampled token, as the paper's code does."""
    moved = torch.zeros_like(rewards)
    last = mask.sum(1).clamp(min=1) - 1
    return moved.scatter_(1, last[:, None], (rewards * mask).sum(1, keepdim=True))


def gae(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16), token by token.

        delta_j = r_j + gamma V_{j+1} - V_j
        A_j = delta_j + gamma lam A_{j+1}

    where V is 0 after the last sampled token.

    Args:
        rewards, values: float (B, M). mask: bool (B, M).
        gamma, lam: discount and trace decay, a token.

    Returns:
        advantages and returns (advantages + values), float (B, M), 0 where masked.
    """
    on = mask.to(values.dtype)
    values, rewards = values * on, rewards * on
    advantages = torch.zeros_like(values)
    ahead = torch.zeros_like(values[:, 0])
    following = torch.zeros_like(ahead)
    for j in range(values.shape[1] - 1, -1, -1):
        delta = rewards[:, j] + gamma * following - values[:, j]
        ahead = (delta + gamma * lam * ahead) * on[:, j]
        advantages[:, j] = ahead
        following = values[:, j]
    return advantages, (advantages + values) * on


def turn_gae(
    rewards: Tensor,
    values: Tensor,
    mask: Tensor,
    turn: Tensor,
    *,
    gamma: float,
    lam: float,
    turn_gamma: float,
    turn_lam: float,
) -> tuple[Tensor, Tensor]:
    """Advantages in two levels, as VAGEN's bi-level GAE (Wang et al. 2025, section 3.3).

    Between turns, with V^k the value at the last token of turn k, where the action is known but
    for its end, and r_k the turn's reward:

        delta_k = r_k + turn_gamma V^{k+1} - V^k
        A_k = delta_k + turn_gamma turn_lam A_{k+1}

    Within a turn the last token has A_k, as in the public code, and an earlier one
    A_j = gamma V_{j+1} - V_j + gamma lam A_{j+1}. With all discounts 1 that is `gae` with them.

    Args:
        turn: int64 (B, M), the number of each token's turn, rising by at most 1.
    """
    rows, width = values.shape
    on = mask.to(values.dtype)
    values, rewards = values * on, rewards * on
    goes_on = torch.zeros_like(mask)  # does the turn go on after this token?
    goes_on[:, :-1] = mask[:, 1:] & (turn[:, 1:] == turn[:, :-1])
    last = mask & ~goes_on
    turns = int(turn.max()) + 1
    gained = torch.zeros(rows, turns + 1, dtype=values.dtype, device=values.device)
    gained.scatter_add_(1, turn, rewards)
    worth = torch.zeros_like(gained).scatter_add_(1, turn, values * last)
    level = torch.zeros_like(gained)
    for k in range(turns - 1, -1, -1):
        delta = gained[:, k] + turn_gamma * worth[:, k + 1] - worth[:, k]
        level[:, k] = delta + turn_gamma * turn_lam * level[:, k + 1]
    advantages = level.gather(1, turn) * last
    for j in range(width - 2, -1, -1):
        carried = gamma * values[:, j + 1] - values[:, j] + gamma * lam * advantages[:, j + 1]
        advantages[:, j] = torch.where(goes_on[:, j], carried, advantages[:, j])
    return advantages, (advantages + values) * on


def whiten(values: Tensor, mask: Tensor) -> Tensor:
    """Returns values with mean 0 and standard deviation 1 over all that is not masked."""
    chosen = values[mask]
    if chosen.numel() < 2:
        return values * mask
    return (values - chosen.mean()) / (chosen.std() + 1e-8) * mask
