"""Running this Python's `spa-bench` as users do, and timing it."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.claims.claim import NotRunError


def spa_bench() -> str:
    """Returns the path of the `spa-bench` command that belongs to this Python."""
    command = Path(sys.executable).with_name("spa-bench")
    if not command.exists():
        raise NotRunError(f"no spa-bench beside {sys.executable}: pip install -e .")
    return str(command)


@dataclass(frozen=True)
class Timed:
    """A command that ran to its end.

    Attributes:
        seconds: on the clock. processor: seconds of the processor, of it and all it waited for.
        output: what it printed.
    """

    seconds: float
    processor: float
    output: str


def timed(command: Sequence[str], **variables: str) -> Timed:
    """Runs a command to its end, with some more environment variables.

    Raises:
        RuntimeError: if it fails, with the last line it wrote.
    """
    processor, started = _of_children(), time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"{' '.join(command)} exited with {done.returncode}: {last}")
    return Timed(seconds, _of_children() - processor, done.stdout)


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def wall(command: Sequence[str]) -> float:
    """Runs a command to its end and returns its wall time in seconds.

    Raises:
        RuntimeError: if it fails, with the last line it wrote.
    """
    return timed(command).seconds


def median_wall(command: Sequence[str], repetitions: int) -> float:
    """Returns the median wall time in seconds of a command that runs so many times."""
    return statistics.median(wall(command) for _ in range(repetitions))
