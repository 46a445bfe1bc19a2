"""Ends Python code that does not come back, such as a plug-in's endless loop.

An episode's own part between two model calls is plain code in the event loop's thread. If it hangs,
so does everything: no other episode goes on, and Ctrl-C is not heard.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

PATIENCE = 300
"""Seconds that an event loop may stand still; minutes beyond what any world needs for a turn."""

_TICK = 1.0


class HangError(BaseException):
    """Raised inside the code that hangs; no `except Exception` there holds it."""


@contextmanager
def watchdog(seconds: int | None = None) -> Generator[Watchdog]:
    """Watches the running event loop, and raises HangError in what keeps it from turning.

    Only in a process's main thread, where nobody else uses the alarm signal: elsewhere it does
    nothing. What computes inside a library's machine code is interrupted when that returns.

    Args:
        seconds: without a turn of the loop; None is `PATIENCE`.
    """
    dog = Watchdog(PATIENCE if seconds is None else seconds)
    unused = signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    if not unused or threading.current_thread() is not threading.main_thread():
        yield dog
        return
    signal.signal(signal.SIGALRM, dog.bite)
    dog.beat()
    thread = threading.Thread(target=dog.watch, name="spa-bench-watchdog", daemon=True)
    thread.start()
    try:
        yield dog
    finally:
        dog.over.set()
        thread.join()
        dog.next_beat.cancel()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


class Watchdog:
    """What watches an event loop."""

    def __init__(self, seconds: int) -> None:
        self.over = threading.Event()
        self.next_beat: asyncio.TimerHandle
        self._seconds = seconds
        self._main = threading.get_ident()
        # ticks of its own thread, not of a clock: a process that was stopped has not hung
        self._ticks = 0
        self._patient = False

    @contextmanager
    def patient(self) -> Generator[None]:
        """Lets the code within take as long as it takes, such as a write to a slow disk."""
        self._patient = True
        try:
            yield
        finally:
            self._patient, self._ticks = False, 0

    def beat(self) -> None:
        """Is called by the loop as long as that turns."""
        self._ticks = 0
        self.next_beat = asyncio.get_running_loop().call_later(_TICK, self.beat)

    def watch(self) -> None:
        """Counts the seconds without a beat, in a thread of its own."""
        while not self.over.wait(_TICK):
            self._ticks += 1
            if self._ticks > self._seconds:
                signal.pthread_kill(self._main, signal.SIGALRM)

    def bite(self, number: int, frame: FrameType | None) -> None:
        """Handles the signal, in the main thread and inside whatever runs there."""
        if self._ticks > self._seconds and not self._patient:
            self._ticks = 0
            line = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame else "nowhere"
            raise HangError(f"did not come back for {self._seconds} s ({line})")
