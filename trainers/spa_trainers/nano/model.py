"""nano's architecture: a small Llama, freshly initialised."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from spa_trainers.settings import Settings


class NanoConfig(Settings):
    """Sizes of a nano model, and the tasks whose words it has.

    Attributes:
        tasks: names of tasks; both formats and both observation styles should be among them.
        boards: how many training boards of each are read for words.
        rows: whether a row of a grid is a token, and not each of its cells.
        hidden, layers, heads, feed_forward: sizes of a Llama.
        rope_theta: small, because texts are short; 10,000 learns nothing in minutes.
        initial_std: of all weights.
        seed: of the initial weights.
    """

    tasks: list[str]
    boards: int = Field(4000, ge=1)
    rows: bool = False
    hidden: int = Field(128, ge=2)
    layers: int = Field(6, ge=1)
    heads: int = Field(4, ge=1)
    feed_forward: int = Field(384, ge=1)
    context: int = Field(2048, ge=8)
    rope_theta: float = Field(100.0, gt=0)
    initial_std: float = Field(0.06, ge=0)
    seed: int = 0

    @model_validator(mode="after")
    def _heads_of_even_size(self) -> Self:
        if self.hidden % (2 * self.heads):
            raise ValueError(f"hidden {self.hidden} must be an even multiple of heads {self.heads}")
        return self


def make_model(config: NanoConfig, tokenizer: Any) -> Any:
    """Returns a transformers model with fresh weights, float32."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(config.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            intermediate_size=config.feed_forward,
            max_position_embeddings=config.context,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            initializer_range=config.initial_std,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            dtype="float32",
        )
    )
