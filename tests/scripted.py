"""A model that says what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from spa_bench.models.model import Capabilities, Reply, Request

Said = str | Reply | BaseException
"""What a test may script: a text, a whole reply, or an error to raise."""


class Scripted:
    """Follows the `Model` protocol.

    Args:
        replies: a function of the request; or a list, of which each call takes the next and
            the last is said for ever.
        delays: asks the event loop to run others for so many rounds before the i-th reply, so
            that concurrent episodes end out of order without any clock.
    """

    def __init__(
        self,
        replies: Callable[[Request], Said] | Iterable[Said],
        *,
        name: str = "scripted/model",
        concurrency: int = 1,
        capabilities: Capabilities | None = None,
        identity: Mapping[str, Any] | None = None,
        delays: Callable[[int], int] = lambda call: 0,
    ) -> None:
        self.name = name
        self.concurrency = concurrency
        self.capabilities = capabilities or Capabilities()
        self.requests: list[Request] = []
        self.started = self.closed = 0
        self.in_flight = self.most_in_flight = 0
        self._identity = dict(identity or {})
        self._delays = delays
        self._say = replies if callable(replies) else _one_after_another(list(replies))

    def identity(self) -> Mapping[str, Any]:
        return self._identity

    async def start(self) -> None:
        self.started += 1

    async def close(self) -> None:
        self.closed += 1

    async def generate(self, request: Request) -> Reply:
        self.requests.append(request)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            for _ in range(self._delays(len(self.requests))):
                await asyncio.sleep(0)
            said = self._say(request)
        finally:
            self.in_flight -= 1
        if isinstance(said, BaseException):
            raise said
        return said if isinstance(said, Reply) else Reply(text=said, stop_reason="stop")


def _one_after_another(replies: list[Said]) -> Callable[[Request], Said]:
    following = iter(replies)

    def say(request: Request) -> Said:
        return next(following, replies[-1])

    return say


def answer(*actions: str) -> str:
    """Returns a well-formed reply of the `think` format that names these actions."""
    return f"<think>so</think><answer>{' || '.join(actions)}</answer>"
