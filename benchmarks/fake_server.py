"""A server that speaks as much of OpenAI's chat API as a client needs, in a process of its own.

    with serving() as url: ...                            # answers at once
    with serving(median=0.5, sigma=0.8) as url: ...       # after a log-normal time

How long an answer takes is drawn with the request's seed (`latency`), so whoever asks in whatever
order waits equally long for the same question.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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
                "message": {
                    "role": "assistant",
                    "content": "<think>The box is above me and the target above the box, so I walk"
                    " up twice and see.</think><answer>Up || Down</answer>",
                },
            }
        ],
        "usage": {"prompt_tokens": 400, "completion_tokens": 40, "total_tokens": 440},
    }
).encode()


def latency(seed: int, median: float, sigma: float) -> float:
    """Returns the seconds that the answer to a request takes.

    Args:
        seed: of the request.
        median: seconds; 0 answers at once.
        sigma: standard deviation of the logarithm.
    """
    return random.Random(seed).lognormvariate(math.log(median), sigma) if median else 0.0


@contextlib.contextmanager
def serving(*, median: float = 0.0, sigma: float = 0.0) -> Iterator[str]:
    """Runs a server for as long as the block lasts; yields its base URL."""
    command = [sys.executable, "-m", "benchmarks.fake_server", str(median), str(sigma)]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


class _Fake(asyncio.Protocol):
    """As little of HTTP/1.1 as the clients need: an HTTP library would be the bottleneck."""

    def __init__(self, median: float, sigma: float) -> None:
        self._median, self._sigma = median, sigma
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            _, _, length = head.partition(b"content-length:")
            total = end + 4 + int(length.split(b"\r\n", 1)[0] or 0)
            if len(self._buffer) < total:
                return
            asked, self._buffer = self._buffer[end + 4 : total], self._buffer[total:]
            if head.startswith(b"get"):
                self._answer(b'{"data": []}')
            elif not self._median:
                self._answer(_ANSWER)
            else:
                wait = latency(json.loads(asked).get("seed", 0), self._median, self._sigma)
                asyncio.get_running_loop().call_later(wait, self._answer, _ANSWER)

    def _answer(self, body: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            % len(body)
            + body
        )


async def _serve(median: float, sigma: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Fake(median, sigma), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serves until it is killed; prints its port."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("median", type=float)
    parser.add_argument("sigma", type=float)
    chosen = parser.parse_args()
    asyncio.run(_serve(chosen.median, chosen.sigma))


if __name__ == "__main__":
    main()
