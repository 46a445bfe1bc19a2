"""A run that is killed at any moment, and continued, is the run that was never disturbed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ARGUMENTS = ("evaluate", "--model", "baseline/random", "--tasks", "sokoban,sokoban_grid")
PLAN = ("--limit", "8", "--repeats", "60")
EPISODES = 2 * 8 * 60
KILLS = 10


def start(folder: Path, *more: str, limit: int | None = None) -> subprocess.Popen[str]:
    """Starts a run in a process of its own, which may write no file longer than `limit` bytes."""

    code = "from spa_bench.cli import main; main()"
    # a shell has what it starts in the background ignore the signal, and what that starts too
    code = f"import signal as s; s.signal(s.SIGINT, s.default_int_handler); {code}"
    if limit is not None:
        code = f"import resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({limit}, {limit})); {code}"
    return subprocess.Popen(
        [sys.executable, "-c", code, *ARGUMENTS, *PLAN, "--output", str(folder), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(folder: Path, *more: str) -> None:
    process = start(folder, *more)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def size(folder: Path) -> int:
    log = folder / "episodes.jsonl"
    return log.stat().st_size if log.exists() else 0


def stop(process: subprocess.Popen[str], number: int, when: Callable[[], bool]) -> str:
    """Sends a signal as soon as `when` is true; returns what the process said on stderr."""
    while not when():
        try:
            process.wait(timeout=0.001)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"ended before it could be stopped: {process.communicate()[1]}")
    process.send_signal(number)
    return process.communicate()[1]


def lines(folder: Path) -> list[bytes]:
    return (folder / "episodes.jsonl").read_bytes().splitlines(keepends=True)


def timeless(folder: Path) -> list[str]:
    """Returns the log without times, in an order of its own."""
    episodes = [json.loads(line) for line in lines(folder)]
    for episode in episodes:
        del episode["started"], episode["seconds"]
        for turn in episode["turns"]:
            del turn["seconds"]
    return sorted(json.dumps(episode, sort_keys=True) for episode in episodes)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(folder)
    return folder


def test_ten_kills_and_as_many_resumptions_change_nothing(
    undisturbed: Path, tmp_path: Path
) -> None:
    folder, chance = tmp_path / "run", random.Random(0)
    most = size(undisturbed) // (KILLS + 2)
    for _ in range(KILLS):
        enough = size(folder) + chance.randint(1, most)
        process = start(folder, "--resume")
        stop(process, signal.SIGKILL, lambda enough=enough: size(folder) >= enough)
        assert process.returncode == -signal.SIGKILL
    finish(folder, "--resume")
    assert timeless(folder) == timeless(undisturbed)


def test_a_run_killed_before_its_first_episode_can_be_resumed(
    undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    stop(start(folder), signal.SIGKILL, folder.exists)
    if not (folder / "run.json").exists():
        finish(folder)
    else:
        finish(folder, "--resume")
    assert timeless(folder) == timeless(undisturbed)


def test_an_interrupted_run_exits_with_130_and_keeps_its_whole_episodes(
    undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = start(folder)
    stop(process, signal.SIGINT, lambda: size(folder) > 50_000)
    assert process.returncode == 130
    kept = timeless(folder)
    assert 0 < len(kept) < EPISODES
    assert set(kept) <= set(timeless(undisturbed))


def test_an_interrupted_run_says_in_one_line_how_to_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    errors = stop(start(folder), signal.SIGINT, lambda: size(folder) > 0)
    assert f"interrupted; continue with --resume --output {folder}" in errors.splitlines()
    assert "Traceback" not in errors


def test_a_full_disk_is_one_line_and_the_run_can_be_resumed(
    undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = start(folder, limit=50_000)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "episodes.jsonl: cannot be written: File too large" in errors.splitlines()[-1]
    finish(folder, "--resume")
    assert timeless(folder) == timeless(undisturbed)
