"""The policy and its critic as one module, so that one optimizer and one wrapper hold both."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spa_bench.errors import InputError
from spa_trainers.trajectories import Batch


class Evaluated(NamedTuple):
    """What actor and critic say of the sampled tokens of a batch; float32 (B, M), 0 where masked.

    Attributes:
        logprobs: of each sampled token. entropy: of the distribution it was drawn from.
        values: the expected return before it was drawn; None without a critic.
    """

    logprobs: Tensor
    entropy: Tensor
    values: Tensor | None


class ActorCritic(nn.Module):
    """A causal language model, and a critic: a model that began as the same checkpoint, or a head.

    Args:
        actor: a causal language model of transformers, perhaps with LoRA layers in it.
        critic: the same kind of model; its head gives way to a value head. None for none.
        shared: puts the value head on the actor's own last hidden states, without a critic.

    Raises:
        InputError: if the actor's logits are not its output layer of its last hidden states.
    """

    def __init__(self, actor: Any, critic: Any | None, *, shared: bool = False) -> None:
        super().__init__()
        _check_logits(actor)
        self.actor = actor
        self.critic = None if critic is None else critic.base_model
        self.value = None
        if critic is not None or shared:
            hidden = actor.config.get_text_config().hidden_size
            self.value = nn.Linear(hidden, 1, device=actor.device)
            nn.init.zeros_(self.value.weight)
            nn.init.zeros_(self.value.bias)

    def forward(self, batch: Batch) -> Evaluated:
        """Returns log-probabilities, entropies and values of the batch's sampled tokens.

        Logits are computed where tokens were sampled and nowhere else.
        """
        hidden = self._hidden(self.actor.base_model, batch)[batch.mask]
        logits = self.actor.get_output_embeddings()(hidden).float()
        spread = logits.log_softmax(-1)
        chosen = spread.gather(-1, batch.targets[batch.mask][:, None]).squeeze(-1)
        entropy = -(spread.exp() * spread).sum(-1)
        values = None
        if self.value is not None:
            seen = hidden
            if self.critic is not None:
                seen = self._hidden(self.critic, batch)[batch.mask]
            with torch.autocast(seen.device.type, enabled=False):  # returns need more than 8 bits
                values = _spread(batch, self.value(seen.float()).squeeze(-1))
        return Evaluated(_spread(batch, chosen), _spread(batch, entropy), values)

    @staticmethod
    def _hidden(model: Any, batch: Batch) -> Tensor:
        found = model(input_ids=batch.ids, attention_mask=batch.attention, use_cache=False)
        states: Tensor = found.last_hidden_state
        places = batch.places[..., None].expand(-1, -1, states.shape[-1])
        return states.gather(1, places)


@torch.no_grad()
def _check_logits(actor: Any) -> None:
    """Refuses models that cap or scale their logits, which `forward` would not."""
    ids = torch.arange(min(8, actor.config.get_text_config().vocab_size), device=actor.device)[None]
    told = actor(input_ids=ids).logits.float()
    computed = actor.get_output_embeddings()(actor.base_model(input_ids=ids).last_hidden_state)
    if float((told - computed.float()).abs().max()) > 1e-2 * float(told.abs().max()):
        raise InputError(
            f"rl: {type(actor).__name__} changes its logits after its output layer (a cap, a"
            " scale), which reinforcement learning here does not; use another model"
        )


def _spread(batch: Batch, values: Tensor) -> Tensor:
    """Returns values of the sampled tokens in a row back in their rows."""
    shaped = torch.zeros(batch.mask.shape, dtype=values.dtype, device=values.device)
    return shaped.masked_scatter(batch.mask, values)
