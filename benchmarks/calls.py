"""What a client is asked for, and what its calls cost: the same for all of `client_cost`.

Standard library alone: scripts that run under a peer's Python import this file, which stands beside
them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

PROMPT = "x" * 1500

Cost = dict[str, float]
"""Milliseconds a call: `cpu_ms` of this process, and `wall_ms`."""


class Clock:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def cost(self, calls: int) -> Cost:
        """Returns what each of so many calls took."""
        return {
            "cpu_ms": (time.process_time() - self._cpu) * 1000 / calls,
            "wall_ms": (time.perf_counter() - self._wall) * 1000 / calls,
        }


async def measured(call: Callable[[], Awaitable[Any]], calls: int, in_flight: int) -> Cost:
    """Calls with so many in flight, after a few calls that do not count."""

    async def worker(count: int) -> None:
        for _ in range(count):
            await call()

    async def wave(count: int) -> None:
        await asyncio.gather(*(worker(count) for _ in range(in_flight)))

    await wave(3)  # connections, lazy imports
    each = max(1, calls // in_flight)
    clock = Clock()
    await wave(each)
    return clock.cost(each * in_flight)
