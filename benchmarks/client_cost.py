"""What spa-bench's openai client costs a call, beside the library it stands on and beside others.

    python -m benchmarks.client_cost [--calls 1280] [--in-flight 64] [--rounds 5] [--without peers]

A fake server in a process of its own answers at once; 64 calls are in flight, each with a prompt
of 1.5 kB. Others are inspect_ai's `Model.generate`, outside an `eval`, over its provider for
OpenAI-compatible servers, and lm-eval's `local-chat-completions`; each in an environment of its
own (`benchmarks.peers`). In every round all are measured, one after the other; figures are medians
of the rounds. CPU time of the client's process is the figure to compare: wall time includes waiting
for the server, and for whatever else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.calls import PROMPT, Cost, measured
from benchmarks.fake_server import serving
from spa_bench.models.model import Message, ModelOptions, Request, Sampling
from spa_bench.models.openai import load

_PEERS = {
    "inspect_ai, Model.generate": ("inspect-models", "inspect_client.py"),
    "lm-eval, local-chat-completions": ("lm-eval", "lm_eval_client.py"),
}


async def _ours(url: str, calls: int, in_flight: int) -> dict[str, Cost]:
    """Measures what runs in this process."""
    import aiohttp
    from openai import AsyncOpenAI

    body: dict[str, Any] = {
        "model": "fake",
        "messages": [{"role": "user", "content": PROMPT}],
        "temperature": 1.0,
        "top_p": 1.0,
        "seed": 1,
        "max_tokens": 400,
    }
    found: dict[str, Cost] = {}

    async with aiohttp.ClientSession() as session:

        async def bare() -> None:
            async with session.post(f"{url}/chat/completions", json=body) as response:
                await response.json()

        found["aiohttp alone"] = await measured(bare, calls, in_flight)

    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=600.0) as client:
        found["openai, as documented"] = await measured(
            lambda: client.chat.completions.create(**body), calls, in_flight
        )

    model = load(
        ModelOptions(model="fake", label="openai/fake", base_urls=(url,), concurrency=in_flight)
    )
    await model.start()
    request = Request(
        messages=(Message("user", PROMPT),),
        prefill="",
        sampling=Sampling(1.0, 1.0, 400),
        seed=2**62,
    )
    found["spa-bench openai/"] = await measured(lambda: model.generate(request), calls, in_flight)
    await model.close()
    return found


def _theirs(url: str, calls: int, in_flight: int) -> dict[str, Cost]:
    """Measures what runs in environments of their own."""
    found: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (peer, script) in _PEERS.items():
            how = (url, str(calls), str(in_flight))
            found[name] = json.loads(peers.run(peer, script, *how, folder=Path(folder)))
    return found


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--calls", type=int, default=1280)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without", default="", help="peers: leaves them out")
    chosen = parser.parse_args()
    rounds: dict[str, list[Cost]] = {}
    for _ in range(chosen.rounds):
        with serving() as url:
            how = (url, chosen.calls, chosen.in_flight)
            found = asyncio.run(_ours(*how))
            if "peers" not in chosen.without:
                found |= _theirs(*how)
        for name, cost in found.items():
            rounds.setdefault(name, []).append(cost)
            print(f"{name}: {cost}", file=sys.stderr)
    print("| | CPU ms a call | wall ms a call |\n|---|---|---|")
    for name, costs in rounds.items():
        cpu, wall = (statistics.median(cost[unit] for cost in costs) for unit in costs[0])
        print(f"| {name} | {cpu:.2f} | {wall:.2f} |")


if __name__ == "__main__":
    main()
