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

from calls import PROMPT, Cost, measured
from inspect_ai.model import ChatMessageUser, GenerateConfig, get_model


async def measure(url: str, calls: int, in_flight: int) -> Cost:
    """Returns milliseconds a call."""
    config = GenerateConfig(
        max_tokens=400, temperature=1.0, top_p=1.0, seed=1, max_connections=in_flight, max_retries=0
    )
    model = get_model("openai-api/fake/fake", base_url=url, api_key="none", config=config)
    message = [ChatMessageUser(content=PROMPT)]

    return await measured(lambda: model.generate(message), calls, in_flight)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
