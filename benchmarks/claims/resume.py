"""Killed runs that are resumed, and how long the scan of a long log takes."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.claims.call_cost import ANSWER, Constant
from benchmarks.claims.claim import Claim, Measured
from benchmarks.claims.process import spa_bench, wall
from spa_bench.registry import Registry
from spa_bench.runner.log import RunFolder
from spa_bench.runner.plan import Done, Plan
from spa_bench.runner.scheduler import play_all

KILLS, KILLS_AT_START = 10, 3
BOARDS, KILLED_REPEATS = 128, 64
SCANNED_BOARDS, SCANNED_REPEATS = 125, 80
REPETITIONS = 5


def killed_and_resumed() -> Measured:
    """`kill -9` at ten random moments of one run of `baseline/random`, 128 boards x 64.

    Seven starts are killed when their log has grown by a random amount, three after a random part
    of the time that a start takes; the eleventh is left alone. The log has to hold the lines of an
    undisturbed run, each once, in any order, but for times; and so have the results.
    """
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        startup = wall([*_command(Path(folder) / "short", repeats=1), "--limit", "1"])
        wall(_command(whole))
        most_growth = 1.2 * _size(whole) / KILLS  # 7 of these stay below the whole log
        early = rng.sample(range(KILLS), KILLS_AT_START)
        kills, torn = 0, 0
        moments: list[int] = []
        for number in range(KILLS):
            process = _start(killed)
            if number in early:
                time.sleep(rng.uniform(0, startup))
            else:
                _wait_for_growth(process, killed, int(rng.uniform(0, most_growth)))
            kills += process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
            log = _log(killed)
            torn += bool(log) and not log.endswith(b"\n")
            moments.append(log.count(b"\n"))
        wall([*_command(killed), *_resume(killed)])
        ours, reference = sorted(_timeless(killed)), sorted(_timeless(whole))
        equal = ours == reference and _results(killed) == _results(whole)
    return Measured(
        f"log and results {'identical' if equal else 'differ'} after {kills} kills",
        equal and kills == KILLS and len(reference) == BOARDS * KILLED_REPEATS,
        f"{len(reference):,} episodes, killed at lines {', '.join(map(str, moments))};"
        f" {torn} torn lines",
    )


def scan_of_a_long_log() -> Measured:
    """Reading 10,000 episodes with realistic replies, counting them, listing what is owed.

    Resuming a finished run as users do it adds the start of Python and the results.
    """
    plan = Plan(Registry().resolve(["sokoban"]), [SCANNED_REPEATS], salt="0", limit=SCANNED_BOARDS)
    episodes = plan.total
    model = Constant("I push the box to the target, so I have to stand behind it. " * 20 + ANSWER)
    with tempfile.TemporaryDirectory() as name:
        folder = RunFolder(Path(name))
        with folder.writer() as writer:
            asyncio.run(play_all(plan.owed(Done()), model, 16, writer.write))
        seconds = statistics.median(_scan(folder, plan) for _ in range(REPETITIONS))
        kilobytes = folder.episodes_path.stat().st_size / 1000 / episodes
    with tempfile.TemporaryDirectory() as name:
        command = [*_command(Path(name) / "run", SCANNED_REPEATS), "--limit", str(SCANNED_BOARDS)]
        wall(command)
        resumed = wall([*command, "--resume"])
    return Measured(
        f"{seconds:.2f} s",
        seconds <= 2.0,
        f"{episodes:,} episodes of {kilobytes:.1f} kB; a whole `evaluate --resume` of a finished"
        f" baseline run of that length {resumed:.1f} s",
    )


def _scan(folder: RunFolder, plan: Plan) -> float:
    started = time.perf_counter()
    done = Done()
    for episode in folder.episodes():
        done.add(episode)
    owed = sum(1 for _ in plan.owed(done))
    spent = time.perf_counter() - started
    if done.count != plan.total or owed:
        raise RuntimeError(f"{done.count} of {plan.total} episodes are done, {owed} owed")
    return spent


def _command(run: Path, repeats: int = KILLED_REPEATS) -> list[str]:
    command = [spa_bench(), "evaluate", "--model", "baseline/random", "--tasks", "sokoban"]
    return [*command, "--repeats", str(repeats), "--concurrency", "16", "--output", str(run)]


def _resume(run: Path) -> list[str]:
    return ["--resume"] if run.exists() else []


def _start(run: Path) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen([*_command(run), *_resume(run)], stdout=quiet, stderr=quiet)


def _wait_for_growth(process: subprocess.Popen[bytes], run: Path, growth: int) -> None:
    """Returns when the log has grown by so many bytes, and at least by one, or the process ends."""
    before = _size(run)
    while _size(run) <= before + growth and process.poll() is None:
        time.sleep(0.0005)


def _size(run: Path) -> int:
    log = run / "episodes.jsonl"
    return log.stat().st_size if log.exists() else 0


def _log(run: Path) -> bytes:
    log = run / "episodes.jsonl"
    return log.read_bytes() if log.exists() else b""


def _timeless(run: Path) -> Iterator[str]:
    """Yields the lines of a log without their times."""
    for line in _log(run).splitlines():
        episode = json.loads(line)
        del episode["started"], episode["seconds"]
        for turn in episode["turns"]:
            turn["seconds"] = 0
        yield json.dumps(episode)


def _results(run: Path) -> Any:
    results = json.loads((run / "results.json").read_bytes())
    del results["efficiency"]
    for task in results["tasks"]:
        task["seconds"] = 0
    return results


CLAIMS = [
    Claim(
        "kill-and-resume",
        "core",
        "a run killed with kill -9 ten times and resumed has the log of an undisturbed one",
        "identical but for times and order",
        killed_and_resumed,
    ),
    Claim(
        "resume-scan",
        "core",
        "resuming finds what is owed in a log of 10,000 episodes",
        "2 s",
        scan_of_a_long_log,
    ),
]
