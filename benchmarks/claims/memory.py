"""Memory and time as a run grows: `baseline/random` on `sokoban`, 125 boards, 8 to 800 repeats.

Every run is a process of its own that says at its end how much memory it held at most and how long
it took from the start of `evaluate` to its results, log and table included.

    python -m benchmarks.claims.memory REPEATS

is that process.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.claims.claim import Claim, Measured
from benchmarks.claims.process import timed

BOARDS = 125
REPEATS = (8, 80, 800)
MEGABYTE = 1_000_000


def memory_is_flat() -> Measured:
    """Peak resident memory of 100,000 episodes against that of 1,000; time along with it."""
    peaks: dict[int, float] = {}
    seconds: dict[int, float] = {}
    for repeats in REPEATS:
        episodes = BOARDS * repeats
        took = run_apart(repeats)
        peaks[episodes], seconds[episodes] = took.peak, took.seconds
    few, some, many = peaks
    growth = peaks[many] / peaks[few] - 1
    slower = (seconds[many] / many) / (seconds[some] / some)
    sizes = ", ".join(f"{peak / MEGABYTE:.0f} MB at {n:,}" for n, peak in peaks.items())
    times = ", ".join(f"{1000 * spent / n:.2f} at {n:,}" for n, spent in seconds.items())
    return Measured(
        f"memory {100 * growth:+.1f}%, time an episode {100 * (slower - 1):+.0f}%",
        growth <= 0.1 and slower <= 1.25,
        f"{sizes} episodes; ms an episode, all told: {times}",
    )


@dataclass(frozen=True)
class Run:
    """What a run took: bytes at most, seconds of `evaluate`, and its process's CPU seconds."""

    peak: float
    seconds: float
    processor: float


def run_apart(repeats: int) -> Run:
    """Evaluates in a process of its own."""
    done = timed([sys.executable, "-m", "benchmarks.claims.memory", str(repeats)])
    return Run(*json.loads(done.output.splitlines()[-1]), done.processor)


def peak_bytes() -> int:
    """Returns the most memory this process ever held.

    Linux hands on `ru_maxrss` of the process that started this one, so it is not asked there.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _run(repeats: int) -> tuple[int, float]:
    """Evaluates in this process; returns peak bytes and seconds."""
    from spa_bench.evaluation import evaluate

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        output = Path(folder) / "run"
        results = evaluate(
            "baseline/random", "sokoban", output=output, repeats=repeats, limit=BOARDS
        )
        spent = time.perf_counter() - started
    if results.tasks[0].episodes != BOARDS * repeats:
        raise RuntimeError(f"played {results.tasks[0].episodes} episodes")
    return peak_bytes(), spent


CLAIMS = [
    Claim(
        "memory",
        "core",
        "memory stays flat from 1,000 to 100,000 episodes; time is linear from 10,000 on",
        "within 10%; within 25%",
        memory_is_flat,
    )
]


if __name__ == "__main__":
    print(json.dumps(_run(int(sys.argv[1]))))
