"""Feeds one engine from many coroutines: requests join as they arrive, replies leave as they end.

Nothing polls and nothing waits for a full batch. One thread owns the engine. While that is idle
it sleeps; the first request wakes it, and it waits a moment for others that come along. While it
runs, whatever has arrived may join between two tokens. Knows nothing of models.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from spa_bench.errors import ModelGoneError, SpaBenchError

WINDOW = 0.002
"""Seconds that the first request of an idle engine waits for company."""


@dataclass(eq=False)
class Job:
    """Tokens to write after a prompt, or given tokens to score after it.

    Attributes:
        prompt: token ids; at least one.
        earlier: how many of them are an earlier job's prompt and completion.
        given: tokens to score; None to write new ones.
        new_tokens: the most tokens to write.
        ends: whether the tokens written so far hold a stop string.
        completion, logprobs: what was written, or `given`, and the log-probability of each.
        reused: how many tokens of the prompt were not read again.
        stop_reason: set when the job is done.
        error: set when this job alone cannot be done.
        abandoned: nobody waits for it any more.
        uniforms: the engine's numbers in [0, 1) for this job, one a token.
    """

    prompt: tuple[int, ...]
    earlier: int = 0
    given: tuple[int, ...] | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    new_tokens: int = 1
    seed: int = 0
    ends: Callable[[Sequence[int]], bool] | None = None
    completion: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    reused: int = 0
    stop_reason: Literal["stop", "length"] | None = None
    error: Exception | None = None
    abandoned: bool = False
    uniforms: Any = None

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.stop_reason is not None or self.error is not None or self.abandoned


class Engine(Protocol):
    """What does the work, one small step at a time, always in the same thread.

    Attributes:
        batch_size: how many jobs it can have in hand.
        active: how many it has.
    """

    batch_size: int

    @property
    def active(self) -> int: ...

    def advance(self, waiting: deque[Job]) -> list[Job]:
        """Takes jobs from the left of `waiting` as it sees fit and moves all it has in hand on.

        Returns:
            The jobs that are over now; abandoned ones need not be among them.
        """
        ...


class Batcher:
    """Runs an engine in a thread of its own and hands it the jobs of all coroutines."""

    def __init__(self, engine: Engine, window: float = WINDOW) -> None:
        self._engine = engine
        self._window = window
        self._arrivals: queue.SimpleQueue[_Ticket | None] = queue.SimpleQueue()
        self._tickets: dict[Job, _Ticket] = {}
        self._lock = threading.Lock()
        self._end: Exception | None = None
        # A daemon, so that an event loop that died without `close` does not keep Python alive.
        self._thread = threading.Thread(target=self._run, name="spa-bench-hf", daemon=True)
        self._thread.start()

    async def submit(self, job: Job) -> Job:
        """Returns the job when it is done. Cancelling drops it, waiting or running.

        Raises:
            ModelError: if this job cannot be done.
            ModelGoneError: if the engine broke or was closed.
        """
        ticket = _Ticket(job)
        # Running from the start: a future that could be cancelled would have to be asked, in
        # another thread, before its result is set. `abandoned` needs no such care.
        ticket.future.set_running_or_notify_cancel()
        with self._lock:
            if self._end is not None:
                raise self._end
            self._arrivals.put(ticket)
        try:
            return await asyncio.wrap_future(ticket.future)
        except asyncio.CancelledError:
            job.abandoned = True
            raise

    async def close(self) -> None:
        """Stops the thread after the token it is at; jobs that are not done fail."""
        with self._lock:
            self._end = self._end or ModelGoneError("the model was closed")
        self._arrivals.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        waiting: deque[Job] = deque()
        try:
            while self._receive(waiting):
                for job in self._engine.advance(waiting):
                    self._tickets.pop(job).settle()
                for job in [job for job in self._tickets if job.abandoned]:
                    del self._tickets[job]
        except SpaBenchError as error:
            self._broke(error)
        except (Exception, SystemExit) as error:  # whatever torch or a model's own code raises
            end = ModelGoneError(f"the model failed and cannot go on: {_first_line(error)}")
            end.__cause__ = error
            self._broke(end)
        self._fail_all()

    def _receive(self, waiting: deque[Job]) -> bool:
        """Moves arrivals to `waiting`, sleeping only while there is nothing to do.

        Returns:
            Whether to go on; False once the batcher is closed.
        """
        idle = not waiting and not self._engine.active
        until = None
        while True:
            try:
                if not idle or len(waiting) >= self._engine.batch_size:
                    ticket = self._arrivals.get_nowait()
                elif until is None:
                    ticket = self._arrivals.get()
                    until = time.monotonic() + self._window
                else:
                    ticket = self._arrivals.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return True
            if ticket is None:
                return False
            self._tickets[ticket.job] = ticket
            waiting.append(ticket.job)

    def _broke(self, end: SpaBenchError) -> None:
        with self._lock:
            self._end = end

    def _fail_all(self) -> None:
        with self._lock:
            end = self._end or ModelGoneError("the model was closed")
        while not self._arrivals.empty():
            ticket = self._arrivals.get()
            if ticket is not None:
                self._tickets[ticket.job] = ticket
        for ticket in self._tickets.values():
            ticket.future.set_exception(end)


@dataclass(eq=False)
class _Ticket:
    job: Job
    future: Future[Job] = field(default_factory=Future[Job])

    def settle(self) -> None:
        if self.job.error is not None:
            self.future.set_exception(self.job.error)
        else:
            self.future.set_result(self.job)


def _first_line(error: BaseException) -> str:
    """Returns the kind of an error and the first line of what it says: CUDA's go on for many."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
