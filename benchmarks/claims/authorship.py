"""Are replies told apart by the weights that wrote them? With SmolLM2-135M-Instruct."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.claims.claim import Claim, Measured
from benchmarks.llama_server import serving
from benchmarks.smollm2 import fetch
from spa_bench.plugins import make_model, resolve_model
from spa_bench.registry import Registry
from spa_bench.run import Evaluation, Silent, run
from spa_bench.runner.log import RunFolder
from spa_bench.submission.authorship import authored
from spa_bench.submission.pack import pack
from spa_bench.submission.schema import About, Authorship, Badge
from spa_bench.submission.verify import verify
from spa_bench.task import Task, TaskConfig

TASK = "frozenlake"
REPLIES = 64
FULL = '{"top_k": 0, "min_p": 0}'
"""llama.cpp leaves out unlikely tokens unless told not to, and a task samples from all of them."""

ABOUT = About(
    name="small",
    model="SmolLM2-135M-Instruct",
    provider="-",
    method="prompting",
    training="none",
    date=date(2026, 1, 1),
    submitted_by="-",
)


class Small(Registry):
    """The built-in tasks with four boards, one turn, short replies."""

    def load(self, name: str) -> Task:
        task = super().load(name)
        data = task.config.model_dump(mode="json")
        data["instances"]["seeds"] = "123-126"
        data["limits"] |= {"turns": 1, "new_tokens": 48}
        return replace(task, config=TaskConfig.model_validate(data))


def told_apart() -> Measured:
    """Plays through llama.cpp in 4 bits and at random, and scores both under the same weights."""
    gguf, weights = fetch()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(gguf, parallel=8, context=8192) as server:
            options = {
                "base_urls": (server.base_url,),
                "args": {"prefill": "true", "extra_body": FULL},
            }
            own, its = _scored(folder / "own", f"openai/{server.model}", options, weights)
        other, theirs = _scored(folder / "other", "baseline/random", {}, weights)
    return Measured(
        f"SmolLM2 through llama.cpp in 4 bits: {own}, {_says(its)}; baseline/random: {other},"
        f" {_says(theirs)}",
        (own, other) == ("authored", "replayed"),
        f"nats a token, 95%; {its.replies} replies each, under the weights dequantised from Q4_1",
    )


def _scored(
    folder: Path, model: str, options: Mapping[str, Any], weights: Path
) -> tuple[Badge, Authorship]:
    registry = Small()
    provider, chosen = resolve_model(model, **options)
    player = make_model(chosen, provider)
    tasks = [registry.load(TASK)]
    asyncio.run(run(Evaluation(player, tasks, folder / "run", repeats=REPLIES // 4), Silent()))
    submission = pack(RunFolder(folder / "run"), ABOUT, folder / "small", registry)
    report = verify(submission, registry)
    provider, chosen = resolve_model(str(weights), batch_size=8)
    found = asyncio.run(authored(submission, report, make_model(chosen, provider), weights))
    if found.authorship is None:
        raise RuntimeError("no finding")
    return found.badge, found.authorship


def _says(found: Authorship) -> str:
    return f"{found.difference:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


CLAIMS = [
    Claim(
        "authored",
        "leaderboard",
        "the weights tell their own replies, even through another backend in 4 bits, from others'",
        "own authored, others' not",
        told_apart,
    ),
]
