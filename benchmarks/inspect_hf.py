"""How fast inspect_ai's provider for transformers writes, for `benchmarks.hf_speed`.

Runs under the Python of `benchmarks.peers inspect-models`, so it imports inspect_ai and not
spa-bench:

    PYTHON benchmarks/inspect_hf.py FILE

FILE is JSON: `folder`, `dtype`, `device`, `rows` of a batch, `turns`, `tokens` of a reply, `ends`
(token ids that nobody may write), `conversations` (messages of first turns) and `states` (what the
user says in later turns). All conversations go on at once, through `Model.generate` outside an
`eval`. Prints one JSON object: seconds on the clock, of the processor, and under forward passes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig, get_model
from watch import Pass, Watch, forbid


async def measure(told: dict[str, Any]) -> Pass:
    """Plays all conversations; returns what they took."""
    config = GenerateConfig(
        max_tokens=told["tokens"],
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        max_connections=told["rows"],  # its batch size
    )
    model = get_model(
        "hf/local",
        model_path=told["folder"],
        device=told["device"],
        dtype=told["dtype"],
        config=config,
    )
    api: Any = model.api
    forbid(api.model, told["ends"])
    kinds = {"system": ChatMessageSystem, "user": ChatMessageUser}

    async def converse(begun: list[dict[str, str]], state: str, turns: int) -> None:
        messages: list[Any] = [kinds[said["role"]](content=said["content"]) for said in begun]
        for _ in range(turns):
            output = await model.generate(messages)
            if output.usage is None or output.usage.output_tokens != told["tokens"]:
                raise SystemExit(f"inspect_ai's reply has {output.usage}")
            messages += [output.message, ChatMessageUser(content=state)]

    pairs = list(zip(told["conversations"], told["states"], strict=True))
    await asyncio.gather(*(converse(*pair, 1) for pair in pairs[:2]))  # warm-up
    with Watch(api.model) as watched:
        await asyncio.gather(*(converse(*pair, told["turns"]) for pair in pairs))
    return watched.result()


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(
        json.dumps(
            asdict(asyncio.run(measure(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
        )
    )
