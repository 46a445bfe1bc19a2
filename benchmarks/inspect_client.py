"""What inspect_ai's client costs a call, against the server of `benchmarks.client_cost`.

Runs under the Python of `benchmarks.peers inspect-models`, so it imports inspect_ai and not
spa-bench:

    PYTHON benchmarks/inspect_client.py URL CALLS IN_FLIGHT

`Model.generate` is called outside an `eval`: no sample, no scoring, no log. Prints one JSON object,
milliseconds of CPU and of wall time a call.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from inspect_ai.model import ChatMessageUser, GenerateConfig, get_model

_PROMPT = "x" * 1500


async def measure(url: str, calls: int, in_flight: int) -> dict[str, float]:
    """Returns milliseconds a call."""
    config = GenerateConfig(
        max_tokens=400, temperature=1.0, top_p=1.0, seed=1, max_connections=in_flight, max_retries=0
    )
    model = get_model("openai-api/fake/fake", base_url=url, api_key="none", config=config)
    message = [ChatMessageUser(content=_PROMPT)]

    async def wave(count: int) -> None:
        async def worker() -> None:
            for _ in range(count):
                await model.generate(message)

        await asyncio.gather(*(worker() for _ in range(in_flight)))

    await wave(3)
    each = max(1, calls // in_flight)
    cpu, wall = time.process_time(), time.perf_counter()
    await wave(each)
    scale = 1000 / (each * in_flight)
    return {
        "cpu_ms": (time.process_time() - cpu) * scale,
        "wall_ms": (time.perf_counter() - wall) * scale,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
