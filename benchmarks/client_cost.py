"""What spa-bench's openai client costs per call, beside the library it stands on.

    python -m benchmarks.client_cost [--calls N] [--in-flight N]

A fake server in a process of its own answers at once; 64 calls are in flight, each with a prompt
of 1.5 kB. CPU time of this process per call is the figure to compare; wall time includes waiting
for the server where it is the slower one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from spa_bench.models.model import Message, ModelOptions, Request, Sampling
from spa_bench.models.openai import load

_ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "fake",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "<answer>Up || Down</answer>" * 5},
            }
        ],
        "usage": {"prompt_tokens": 400, "completion_tokens": 40, "total_tokens": 440},
    }
).encode()

_PROMPT = "x" * 1500


class _Fake(asyncio.Protocol):
    """As little of HTTP/1.1 as the clients need: an HTTP library would be the bottleneck."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            _, _, length = head.partition(b"content-length:")
            total = end + 4 + int(length.split(b"\r\n", 1)[0] or 0)
            if len(self.buffer) < total:
                return
            body = b'{"data": []}' if head.startswith(b"get") else _ANSWER
            self.buffer = self.buffer[total:]
            self.transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                % len(body)
                + body
            )


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Fake, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def measure(
    call: Callable[[], Awaitable[Any]], calls: int, in_flight: int
) -> dict[str, float]:
    """Returns milliseconds of CPU and of wall time per call: the best of three rounds."""

    async def worker(count: int) -> None:
        for _ in range(count):
            await call()

    async def wave(count: int) -> None:
        await asyncio.gather(*(worker(count) for _ in range(in_flight)))

    await wave(3)
    each = max(1, calls // in_flight)
    best = {"cpu_ms": float("inf"), "wall_ms": float("inf")}
    for _ in range(3):
        cpu, wall = time.process_time(), time.perf_counter()
        await wave(each)
        scale = 1000 / (each * in_flight)
        best["cpu_ms"] = min(best["cpu_ms"], (time.process_time() - cpu) * scale)
        best["wall_ms"] = min(best["wall_ms"], (time.perf_counter() - wall) * scale)
    return best


async def compare(url: str, calls: int, in_flight: int) -> dict[str, dict[str, float]]:
    """Measures three clients one after the other."""
    import aiohttp
    from openai import AsyncOpenAI

    body = {
        "model": "fake",
        "messages": [{"role": "user", "content": _PROMPT}],
        "temperature": 1.0,
        "top_p": 1.0,
        "seed": 1,
        "max_tokens": 400,
    }
    results: dict[str, dict[str, float]] = {}

    async with aiohttp.ClientSession() as session:

        async def bare() -> None:
            async with session.post(f"{url}/chat/completions", json=body) as response:
                await response.json()

        results["aiohttp alone"] = await measure(bare, calls, in_flight)

    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        results["openai, as documented"] = await measure(
            lambda: client.chat.completions.create(**body), calls, in_flight
        )

    model = load(
        ModelOptions(model="fake", label="openai/fake", base_urls=(url,), concurrency=in_flight)
    )
    await model.start()
    request = Request(
        messages=(Message("user", _PROMPT),),
        prefill="",
        sampling=Sampling(1.0, 1.0, 400),
        seed=2**62,
    )
    results["spa-bench openai/"] = await measure(lambda: model.generate(request), calls, in_flight)
    await model.close()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=2560)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(_serve())
        return
    command = [sys.executable, "-m", "benchmarks.client_cost", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        try:
            results = asyncio.run(compare(url, args.calls, args.in_flight))
        finally:
            process.kill()
    for name, figures in results.items():
        print(f"{name:24}{figures['cpu_ms']:8.2f} ms CPU{figures['wall_ms']:8.2f} ms wall")


if __name__ == "__main__":
    main()
