"""How many requests one server gets at a time: halved when it says "too many", grown as it answers.

Additive increase, multiplicative decrease, as TCP does it. It waits on futures and never polls.
It knows nothing of HTTP: its caller says what counts as an answer and what as an overload.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias

Sleep: TypeAlias = Callable[[float], Awaitable[object]]


class Limiter:
    """Slots for requests to one server, of one event loop.

    Args:
        most: the limit to start at, and never to exceed.
        first_wait: seconds of silence after a first overload; doubled at each that follows
            without an answer in between.
        longest_wait: seconds that no silence exceeds, the server's own wish included.
        sleep: waits that many seconds.
    """

    def __init__(
        self,
        most: int,
        *,
        first_wait: float = 0.5,
        longest_wait: float = 60.0,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._most = most
        self._first_wait = first_wait
        self._longest_wait = longest_wait
        self._sleep = sleep
        self._limit = float(most)
        self._active = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._pauses: set[asyncio.Task[None]] = set()
        self._epoch = 0
        self._overloads = 0

    @property
    def limit(self) -> int:
        """How many requests may be in flight now."""
        return int(self._limit)

    @property
    def load(self) -> int:
        """How many requests are in flight or waiting for a slot."""
        return self._active + len(self._queue)

    @property
    def paused(self) -> bool:
        """Whether the server asked for silence."""
        return bool(self._pauses)

    @property
    def overloads(self) -> int:
        """How often in a row, without any answer in between, the server was overloaded."""
        return self._overloads

    async def acquire(self) -> int:
        """Waits for a slot, first come, first served.

        Returns:
            the epoch the request belongs to, for `overloaded`.
        """
        if self._queue or self._pauses or self._active >= self.limit:
            granted = asyncio.get_running_loop().create_future()
            self._queue.append(granted)
            try:
                await granted
            except asyncio.CancelledError:
                if granted.cancelled():
                    with contextlib.suppress(ValueError):
                        self._queue.remove(granted)
                else:  # the slot was granted in the same tick: hand it on
                    self.release()
                raise
        else:
            self._active += 1
        return self._epoch

    def release(self) -> None:
        """Gives a slot back."""
        self._active -= 1
        self._grant()

    def succeeded(self) -> None:
        """Notes an answer: a whole window of them raises the limit by one."""
        self._overloads = 0
        self._limit = min(self._most, self._limit + 1 / self._limit)

    def overloaded(self, epoch: int, retry_after: float | None = None) -> None:
        """Notes that the server wants fewer requests.

        Args:
            epoch: what `acquire` returned. All requests that were in flight together are
                refused together; only the first of them halves the limit.
            retry_after: seconds of silence the server asks for, None where it does not say.
        """
        if epoch == self._epoch:
            self._epoch += 1
            self._overloads += 1
            self._limit = max(1.0, self._limit / 2)
        elif retry_after is None:
            return
        if retry_after is None:
            # Jitter, lest processes that share a server return in step.
            doubled = self._first_wait * 2 ** min(self._overloads - 1, 30)
            retry_after = min(self._longest_wait, doubled) * random.uniform(0.5, 1)
        pause = asyncio.get_running_loop().create_task(
            self._pause(min(retry_after, self._longest_wait))
        )
        self._pauses.add(pause)

    async def _pause(self, seconds: float) -> None:
        await self._sleep(seconds)
        task = asyncio.current_task()
        assert task is not None
        self._pauses.discard(task)
        self._grant()

    def _grant(self) -> None:
        while self._queue and not self._pauses and self._active < self.limit:
            granted = self._queue.popleft()
            if not granted.done():
                self._active += 1
                granted.set_result(None)

    def close(self) -> None:
        """Ends all pauses; whoever still waits goes on waiting."""
        for pause in self._pauses:
            pause.cancel()
        self._pauses.clear()
