"""Tiny models with random weights and a small tokenizer, for tests of the hf backend."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import transformers
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as tokenizer_models

torch.set_num_threads(1)  # other test processes want the other cores

END, BEGIN, PAD = "<|im_end|>", "<|im_start|>", "<|endoftext|>"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = [
    "### System: You are an agent. ### User: Turn 1 of 5 State: Assistant user system",
    "<think>the wall is on the left</think><answer>Up || Down || Left || Right</answer>",
]
VOCABULARY = 330  # no multiple of the sampler's block


def tokenizer(template: str | None = CHATML) -> Any:
    """A byte-level tokenizer: any text goes in and comes out as it was."""
    backend = Tokenizer(tokenizer_models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, BEGIN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(itertools.repeat("\n".join(WORDS), 4), trainer)
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=BEGIN, eos_token=END, pad_token=PAD
    )
    made.chat_template = template
    return made


def model(kind: str = "llama", **settings: Any) -> Any:
    """A two-layer model in float32, always with the same weights."""
    configs = {
        "llama": transformers.LlamaConfig,
        "qwen2": transformers.Qwen2Config,
        "mistral": transformers.MistralConfig,
    }
    defaults = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "initializer_range": 0.4,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = configs[kind](**{**defaults, **settings})
        return transformers.AutoModelForCausalLM.from_config(config).eval()


def save(folder: Path, template: str | None = CHATML, kind: str = "llama", **settings: Any) -> Path:
    """Writes a checkpoint as `save_pretrained` does."""
    model(kind, **settings).save_pretrained(folder)
    tokenizer(template).save_pretrained(folder)
    return folder


def forced_logprobs(net: Any, prompt: Sequence[int], completion: Sequence[int]) -> list[float]:
    """Log-probabilities of a completion by one plain, unpadded, uncached call."""
    with torch.inference_mode():
        logits = net(input_ids=torch.tensor([[*prompt, *completion]]), use_cache=False).logits[0]
    logprobs = logits.double().log_softmax(-1)
    rows = range(len(prompt) - 1, len(prompt) + len(completion) - 1)
    return [logprobs[row, token].item() for row, token in zip(rows, completion, strict=True)]


@contextmanager
def room_for(net: Any, rows: int) -> Iterator[list[int]]:
    """A device with memory for so many rows; yields the rows of each call that fitted."""
    forward, seen = net.forward, list[int]()

    def small(*args: Any, **kwargs: Any) -> Any:
        if len(kwargs["input_ids"]) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        seen.append(len(kwargs["input_ids"]))
        return forward(*args, **kwargs)

    with mock.patch.object(net, "forward", small):
        yield seen
