"""What lm-eval's API path costs a call, against the server of `benchmarks.client_cost`.

Runs under the Python of `benchmarks.peers lm-eval`, so it imports lm-eval and not spa-bench:

    PYTHON benchmarks/lm_eval_client.py URL CALLS IN_FLIGHT

The model class `local-chat-completions` is handed all requests at once, as in an evaluation, and
keeps IN_FLIGHT of them with the server. Prints one JSON object, milliseconds of CPU and of wall
time a call.
"""

from __future__ import annotations

import json
import sys

from calls import PROMPT, Clock, Cost
from lm_eval.api.instance import Instance
from lm_eval.models.api_models import JsonChatStr
from lm_eval.models.openai_completions import LocalChatCompletion


def measure(url: str, calls: int, in_flight: int) -> Cost:
    """Returns milliseconds a call."""
    model = LocalChatCompletion(
        base_url=f"{url}/chat/completions", model="fake", num_concurrent=in_flight, max_retries=1
    )
    prompt = JsonChatStr(json.dumps([{"role": "user", "content": PROMPT}]))
    how = {"until": [], "max_gen_toks": 400, "temperature": 1.0, "top_p": 1.0, "do_sample": True}

    def wave(count: int) -> None:
        asked = [
            Instance("generate_until", {}, (prompt, dict(how)), number) for number in range(count)
        ]
        replies = model.generate_until(asked, disable_tqdm=True)
        if len(replies) != count or not all(replies):
            raise SystemExit("lm-eval got no replies")

    wave(3 * in_flight)
    count = max(1, calls // in_flight) * in_flight
    clock = Clock()
    wave(count)
    return clock.cost(count)


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
