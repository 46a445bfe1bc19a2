"""How fast lm-eval's `hf` writes, for `benchmarks.hf_speed`: single turns only.

Runs under the Python of `benchmarks.peers lm-eval`, so it imports lm-eval and not spa-bench:

    PYTHON benchmarks/lm_eval_hf.py FILE

FILE as for `inspect_hf.py`, with `turns` 1. `generate_until` is handed all prompts at once, chat
template applied. Prints one JSON object: seconds on the clock, of the processor, and under forward
passes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from watch import Pass, Watch, forbid


def measure(told: dict[str, Any]) -> Pass:
    """Writes all replies; returns what they took."""
    model = HFLM(
        pretrained=told["folder"],
        device=told["device"],
        dtype=told["dtype"],
        batch_size=told["rows"],
    )
    forbid(model.model, told["ends"])
    how = {
        "until": [],
        "max_gen_toks": told["tokens"],
        "do_sample": True,
        "temperature": 1.0,
        "top_k": 0,
    }
    asked = [
        Instance("generate_until", {}, (model.apply_chat_template(begun), dict(how)), number)
        for number, begun in enumerate(told["conversations"])
    ]
    model.generate_until(asked[:2], disable_tqdm=True)  # warm-up
    with Watch(model.model) as watched:
        replies = model.generate_until(asked, disable_tqdm=True)
    passes = -(-len(asked) // told["rows"]) * told["tokens"]
    if len(replies) != len(asked) or watched.passes != passes:
        raise SystemExit(f"lm-eval made {watched.passes} forward passes, not {passes}")
    return watched.result()


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(asdict(measure(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))))
