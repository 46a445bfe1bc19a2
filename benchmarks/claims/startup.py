"""How long a person waits: for help, for the list of tasks, for the first episode.

Each is the wall time of whole processes, median of several, the first of them left out (it
compiles what has no bytecode yet).
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.claims.claim import Claim, Measured
from benchmarks.claims.process import median_wall, spa_bench, wall

REPETITIONS = 7


def help_is_quick() -> Measured:
    """`spa-bench --help`."""
    return _timed("--help", aim=0.3)


def list_is_quick() -> Measured:
    """`spa-bench list tasks`."""
    return _timed("list", "tasks", aim=0.5)


def first_episode_is_quick() -> Measured:
    """From the start of `spa-bench evaluate` to the first whole line of its log."""
    _first_line()
    seconds = statistics.median(_first_line() for _ in range(REPETITIONS))
    return Measured(f"{seconds:.2f} s", seconds <= 1.0, f"median of {REPETITIONS}")


def _timed(*arguments: str, aim: float) -> Measured:
    command = [spa_bench(), *arguments]
    wall(command)
    seconds = median_wall(command, REPETITIONS)
    return Measured(f"{seconds:.2f} s", seconds <= aim, f"median of {REPETITIONS}")


def _first_line() -> float:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        log = run / "episodes.jsonl"
        command = [spa_bench(), "evaluate", "--model", "baseline/random", "--tasks", "sokoban"]
        started = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--output", str(run)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            while not (log.exists() and b"\n" in log.read_bytes()[:100_000]):
                if process.poll() is not None:
                    raise RuntimeError(f"spa-bench evaluate ended with {process.returncode}")
                time.sleep(0.001)
            return time.perf_counter() - started
        finally:
            process.kill()
            process.wait()


CLAIMS = [
    Claim("help-time", "core", "`spa-bench --help` answers at once", "0.3 s", help_is_quick),
    Claim("list-time", "core", "`spa-bench list tasks` answers at once", "0.5 s", list_is_quick),
    Claim(
        "first-episode",
        "scale",
        "a baseline's first episode is in the log soon after the command starts",
        "1 s",
        first_episode_is_quick,
    ),
]
