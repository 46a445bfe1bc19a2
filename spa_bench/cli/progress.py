"""Progress of a run: a live bar on a terminal, plain lines elsewhere. All of it on stderr."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from spa_bench.results.shown import counted
from spa_bench.run import Progress as Watching
from spa_bench.runner.record import Episode
from spa_bench.terminal import printable, unfiltered

_SECONDS_BETWEEN_LINES = 15


def watch() -> Watching:
    """Returns what suits where stderr goes."""
    return _Bar() if sys.stderr.isatty() and not Console(stderr=True).is_dumb_terminal else _Lines()


class _Counts:
    """What came of the episodes played since this start; those in the log before are left out."""

    def __init__(self) -> None:
        self.played = self.successes = self.broken = 0
        self.started = time.monotonic()

    def add(self, episode: Episode) -> None:
        if episode.status != "complete":
            self.broken += 1
            return
        self.played += 1
        self.successes += episode.success

    @property
    def rate(self) -> float:
        return self.played / max(time.monotonic() - self.started, 1e-9)

    def __str__(self) -> str:
        # no share: episodes that are solved soon end first, so an early share promises too much
        broken = f", {self.broken} broken" if self.broken else ""
        rate = self.rate
        written = f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
        return f"{self.successes} solved{broken}, {written} episodes/s"


class _Bar:
    """A bar with rate and remaining time."""

    def __init__(self) -> None:
        self._console = Console(file=unfiltered(sys.stderr))
        self._counts = _Counts()
        self._bar = Progress(
            TextColumn("playing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            redirect_stdout=False,  # rich would write past the filter
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("episodes", total=None, state="")

    def start(self, total: int, done: int) -> None:
        self._counts = _Counts()
        self._bar.update(self._task, total=total - done, completed=0)
        if done < total:
            self._bar.start()

    def update(self, episode: Episode) -> None:
        self._counts.add(episode)
        advance = int(episode.status == "complete")
        self._bar.update(self._task, advance=advance, state=str(self._counts))

    def note(self, message: str) -> None:
        text = printable(message)
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def stop(self) -> None:
        self._bar.stop()


class _Lines:
    """A line now and then, for logs and pipes."""

    def __init__(self) -> None:
        self._counts = _Counts()
        self._owed = 0
        self._next = 0.0

    def start(self, total: int, done: int) -> None:
        self._counts = _Counts()
        self._owed = total - done
        self._next = time.monotonic() + _SECONDS_BETWEEN_LINES
        again = f", {done} already in the log" if done else ""
        self.note(f"{counted(total, 'episode')}{again}")

    def update(self, episode: Episode) -> None:
        self._counts.add(episode)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _SECONDS_BETWEEN_LINES
            self._line()

    def note(self, message: str) -> None:
        print(printable(message), file=sys.stderr, flush=True)

    def stop(self) -> None:
        if self._counts.played or self._counts.broken:
            self._line(over=True)

    def _line(self, *, over: bool = False) -> None:
        remaining, left = "", self._owed - self._counts.played
        if left and self._counts.rate and not over:
            remaining = f", about {_duration(left / self._counts.rate)} left"
        episodes = counted(self._owed, "episode")
        self.note(f"{self._counts.played}/{episodes}, {self._counts}{remaining}")


def _duration(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
