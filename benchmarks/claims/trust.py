"""Trust: torn logs, hostile replies, inputs that fuzzers found, and who is told of a run."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.claims.claim import Claim, Measured
from fuzz.__main__ import TARGETS, corpus, target
from spa_bench.evaluation import evaluate_async
from spa_bench.registry import Registry
from spa_bench.runner.record import TurnUsage
from spa_bench.runner.rollout import Answer, EpisodeSpec, Rollout
from spa_bench.task import Task

CUTS = 1000
MUTATIONS = 2000
SIZES = (1_000_000, 10_000_000)
REPEATS = 3
MOST_GROWTH = 20.0
"""Ten times the text may take ten times as long, and twice that where caches are left behind."""


def torn_logs() -> Measured:
    """A log cut at a thousand random bytes, as `kill -9` in the middle of a write leaves it.

    Each time the run is resumed; what was whole before the cut has to stay to the byte, and the log
    has to end up with the episodes of the undisturbed one, times aside.
    """
    tasks = [_one_board(name) for name in ("frozenlake_slippery", "sokoban_transition")]
    chance, same = random.Random(0), 0
    with tempfile.TemporaryDirectory() as folder:
        _play(Path(folder), tasks)
        log = Path(folder) / "episodes.jsonl"
        whole = log.read_bytes()
        for _ in range(CUTS):
            cut = chance.randrange(len(whole))
            log.write_bytes(whole[:cut])
            _play(Path(folder), tasks, resume=True)
            kept = whole[: whole.rfind(b"\n", 0, cut) + 1]
            content = log.read_bytes()
            same += content.startswith(kept) and _timeless(content) == _timeless(whole)
    return Measured(f"{same:,} of {CUTS:,} as if undisturbed", same == CUTS, "nothing lost")


def _one_board(name: str) -> Task:
    task = Registry().load(name)
    seeds = str(task.boards[0][0].seed)
    instances = task.config.instances.model_copy(update={"seeds": seeds})
    return replace(task, config=task.config.model_copy(update={"instances": instances}))


def _play(folder: Path, tasks: list[Task], resume: bool = False) -> None:
    asyncio.run(evaluate_async("baseline/random", tasks, output=folder, repeats=3, resume=resume))


def _timeless(log: bytes) -> list[str]:
    episodes = [json.loads(line) for line in log.splitlines()]
    for episode in episodes:
        del episode["started"], episode["seconds"]
        for turn in episode["turns"]:
            del turn["seconds"]
    return sorted(json.dumps(episode, sort_keys=True) for episode in episodes)


def linear_parsing() -> Measured:
    """Replies made to be slow, at 1 and at 10 MB, read as a turn: format, actions and beliefs.

    Seconds of the processor, the least of three: other processes cannot make a reader look worse.
    """
    worst, where, slowest = 0.0, "", 0.0
    for name in ("sokoban_wm", "frozenlake_wm", "sudoku_9x9_wm", "sokoban_to_coordinates"):
        task = _one_board(name)
        for kind in _PIECES:
            replies = [_reply(kind, size) for size in SIZES]
            short, long = (min(_seconds(task, r) for _ in range(REPEATS)) for r in replies)
            slowest = max(slowest, long)
            if long > 0.1 and long / short > worst:
                worst, where = long / short, f"{name}, {kind}"
    return Measured(
        f"{worst:.1f} times as long for 10 MB as for 1 MB, at most",
        worst <= MOST_GROWTH,
        f"worst: {where}; the slowest reply of 10 MB took {slowest:.1f} s",
    )


_PIECES = {
    "openings": "<think>",
    "bridges": "</think> <answer>",
    "closings": "</answer>",
    "separators": "||",
    "actions": "Up || ",
    "digits": "1 ",
    "rows": "######\n",
    "coordinates": "Player (1, 2)\n",
    "brackets": "(",
    "spaces": " ",
    "marks": "\u202e",
}


def _reply(kind: str, size: int) -> str:
    piece = _PIECES[kind]
    body = piece * (size // len(piece.encode()))
    return f"<think><observation>{body}</observation></think><answer>{body}</answer>"


def _seconds(task: Task, message: str) -> float:
    rollout = Rollout(EpisodeSpec(task, task.boards[0][0], 0, "0"), task.format.prefill)
    rollout.ask()
    answer = Answer(message=message, stop_reason="stop", usage=TurnUsage())
    started = time.process_time()
    rollout.answer(answer)
    return time.process_time() - started


def fuzzed_inputs() -> Measured:
    """The committed corpus, and random changes of it; `make fuzz` does it guided, a million times.

    Any exception but the refusals that belong to each reader ends the measurement.
    """
    chance, runs = random.Random(0), 0
    for name in TARGETS:
        one, seeds = target(name), [path.read_bytes() for path in corpus(name)]
        for data in seeds + [_changed(chance, seeds) for _ in range(MUTATIONS)]:
            one(data)
            runs += 1
    return Measured(f"{runs:,} inputs, no fault", True, f"targets: {', '.join(TARGETS)}")


def _changed(chance: random.Random, seeds: list[bytes]) -> bytes:
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 8)):
        at = chance.randint(0, len(data))
        data[at : at + chance.randint(0, 8)] = chance.randbytes(chance.randint(0, 8))
    return bytes(data)


_WATCHED = """
import json, sys
asked = set()
def watch(event, arguments):
    if event == "socket.getaddrinfo" or event == "socket.connect" and type(arguments[1]) is tuple:
        asked.add(str(arguments[0] if event == "socket.getaddrinfo" else arguments[1][0]))
sys.addaudithook(watch)
from spa_bench.cli import main
try:
    main(["evaluate", "--model", "baseline/random", "--tasks", "sokoban", "--limit", "4"])
except SystemExit as end:
    print(json.dumps([end.code, sorted(asked)]))
"""


def nobody_is_told() -> Measured:
    """A run of a baseline in a fresh process, every look-up and connection of which is recorded."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", _WATCHED],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
            check=True,
        )
    code, asked = json.loads(done.stdout.splitlines()[-1])
    return Measured(f"{len(asked)} hosts contacted", code == 0 and not asked, ", ".join(asked))


CLAIMS = [
    Claim(
        "torn-logs",
        "trust",
        "a log cut at any byte is continued to the undisturbed run",
        f"{CUTS:,} of {CUTS:,}",
        torn_logs,
    ),
    Claim(
        "linear-parsing",
        "trust",
        "reading a reply takes time linear in its length, to 10 MB",
        f"at most {MOST_GROWTH:g} times as long for ten times the text",
        linear_parsing,
    ),
    Claim(
        "fuzzed-inputs",
        "trust",
        "no reply, task file, log or submission breaks what reads it",
        "no fault",
        fuzzed_inputs,
    ),
    Claim(
        "nobody-is-told",
        "trust",
        "a run of a baseline contacts nobody",
        "0 hosts",
        nobody_is_told,
    ),
]
