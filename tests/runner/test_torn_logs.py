"""A log that was cut at any byte, as by `kill -9` or a lost disk, is continued to the same run."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from worlds import changed

from spa_bench.evaluation import evaluate_async
from spa_bench.registry import Registry
from spa_bench.task import Task

CUTS = 200  # `python -m benchmarks.claims torn-logs` tries a thousand


def play(folder: Path, tasks: list[Task], **options: Any) -> None:
    asyncio.run(evaluate_async("baseline/random", tasks, output=folder, repeats=3, **options))


def timeless(log: bytes) -> list[str]:
    """Returns the lines of a log without times, in an order of their own."""
    episodes = [json.loads(line) for line in log.splitlines()]
    for episode in episodes:
        del episode["started"], episode["seconds"]
        for turn in episode["turns"]:
            del turn["seconds"]
    return sorted(json.dumps(episode, sort_keys=True) for episode in episodes)


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    names = ("frozenlake_slippery", "sokoban_transition")
    loaded = [Registry().load(name) for name in names]
    return [changed(task, instances={"seeds": str(task.boards[0][0].seed)}) for task in loaded]


@pytest.fixture
def run(tmp_path: Path, tasks: list[Task]) -> Path:
    play(tmp_path / "run", tasks)
    return tmp_path / "run"


def test_a_log_cut_at_any_byte_is_continued_to_the_same_run(run: Path, tasks: list[Task]) -> None:
    log = run / "episodes.jsonl"
    whole, chance = log.read_bytes(), random.Random(0)
    for _ in range(CUTS):
        cut = chance.randrange(len(whole))
        log.write_bytes(whole[:cut])
        play(run, tasks, resume=True)
        assert log.read_bytes().startswith(whole[: whole.rfind(b"\n", 0, cut) + 1]), cut
        assert timeless(log.read_bytes()) == timeless(whole), cut


def test_a_log_that_lost_its_end_to_zeros_is_continued(run: Path, tasks: list[Task]) -> None:
    # what some file systems leave of a file that grew just before the power failed
    log = run / "episodes.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[: len(whole) // 2] + bytes(4096))
    play(run, tasks, resume=True)
    assert timeless(log.read_bytes()) == timeless(whole)


def test_a_log_with_zeros_in_its_middle_is_continued(run: Path, tasks: list[Task]) -> None:
    log = run / "episodes.jsonl"
    whole = log.read_bytes()
    middle = len(whole) // 2
    log.write_bytes(whole[:middle] + bytes(100) + whole[middle + 100 :])
    play(run, tasks, resume=True)
    lines = log.read_bytes().splitlines(keepends=True)
    assert timeless(b"".join(line for line in lines if b"\0" not in line)) == timeless(whole)


def test_half_written_files_of_a_killed_process_are_left_alone_and_harm_nothing(
    run: Path, tasks: list[Task]
) -> None:
    whole = (run / "episodes.jsonl").read_bytes()
    for name in (".run.json.x1y2z3", ".results.json.a1b2c3"):
        (run / name).write_bytes(b'{"schema": "spa-b')
    (run / "results.json").unlink()
    play(run, tasks, resume=True)
    assert (run / "results.json").exists()
    assert (run / "episodes.jsonl").read_bytes() == whole
