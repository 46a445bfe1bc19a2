"""Real faults of a machine: full and read-only disks, two runs in a folder, jumping clocks."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scripted import Scripted, answer
from worlds import table_task

from spa_bench.errors import SpaBenchError
from spa_bench.evaluation import evaluate_async
from spa_bench.models.model import Request
from spa_bench.runner.log import RunFolder

EVALUATE = (
    f"{sys.executable} -c 'from spa_bench.cli import main; main()' evaluate"
    " --model baseline/random --tasks sokoban --limit 4 --repeats 8"
)
EPISODES = 4 * 8


def _has_namespaces() -> bool:
    unshare = shutil.which("unshare")
    return unshare is not None and not subprocess.run([unshare, "-rm", "true"]).returncode


disk = pytest.mark.skipif(not _has_namespaces(), reason="needs user namespaces for a small disk")


def on_a_small_disk(tmp_path: Path, kilobytes: int, script: str) -> list[str]:
    """Runs a script beside a disk of its own, `$DISK`; returns its lines, errors included."""
    (tmp_path / "disk").mkdir()
    mount = f"mount -t tmpfs -o size={kilobytes}k tmpfs $DISK"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"DISK={tmp_path}/disk; {mount} || exit 9; {script}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode != 9, done.stdout
    assert "Traceback" not in done.stdout
    return done.stdout.splitlines()


@disk
@pytest.mark.parametrize("kilobytes", [4, 20])
def test_a_run_on_a_full_disk_goes_on_when_there_is_room(tmp_path: Path, kilobytes: int) -> None:
    lines = on_a_small_disk(
        tmp_path,
        kilobytes,
        f"{EVALUATE} --output $DISK/run; echo $?; mount -o remount,size=9m $DISK;"
        f"{EVALUATE} --output $DISK/run --resume; echo $?; wc -l < $DISK/run/episodes.jsonl",
    )
    first = lines.index("1")
    assert "cannot be written: No space left on device; mend that and continue" in lines[first - 1]
    assert lines[-2:] == ["0", str(EPISODES)]


@disk
def test_a_read_only_disk_is_refused_before_anything_is_played(tmp_path: Path) -> None:
    lines = on_a_small_disk(
        tmp_path, 4000, f"mount -o remount,ro $DISK; {EVALUATE} --output $DISK/run; echo $?"
    )
    assert len(lines) == 2
    assert "no permission to write" in lines[0]
    assert lines[1] == "2"


@disk
def test_a_disk_that_turns_read_only_ends_the_run_and_keeps_what_is_there(tmp_path: Path) -> None:
    lines = on_a_small_disk(
        tmp_path,
        4000,
        f"{EVALUATE} --output $DISK/run >/dev/null 2>&1; mount -o remount,ro $DISK;"
        f"{EVALUATE} --output $DISK/run --resume; echo $?; wc -l < $DISK/run/episodes.jsonl",
    )
    assert lines[-2:] == ["2", str(EPISODES)]


def test_of_two_processes_in_one_folder_one_plays_and_one_is_refused(tmp_path: Path) -> None:
    command = f"{EVALUATE} --repeats 200 --output {tmp_path / 'run'} --resume"
    runs = [
        subprocess.Popen(command, shell=True, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    errors = [process.communicate()[1] for process in runs]
    codes = [process.returncode for process in runs]
    episodes = list(RunFolder(tmp_path / "run").episodes())
    keys = {(episode.instance, episode.repeat) for episode in episodes}
    assert len(episodes) == len(keys) == 4 * 200
    if sorted(codes) == [0, 2]:
        assert "another process is writing to this run" in errors[codes.index(2)]
    else:  # on a busy machine the second may come when the first has finished
        assert codes == [0, 0]


def test_a_log_that_somebody_removes_ends_the_run(tmp_path: Path) -> None:
    log = tmp_path / "run" / "episodes.jsonl"
    calls = iter(range(1000))

    def remove(request: Request) -> str:
        if next(calls) == 4:
            log.unlink()
        return answer("b")

    with pytest.raises(SpaBenchError, match=r"episodes\.jsonl: somebody removed the log"):
        asyncio.run(
            evaluate_async(Scripted(remove), [table_task()], output=tmp_path / "run", repeats=8)
        )


@pytest.mark.parametrize(
    "clock",
    [
        lambda call: 1.8e9 - 86_400.0 * call,
        lambda call: -1e9,
        lambda call: 0.0,
        lambda call: 1.8e9 + 1e8 * (-1) ** call * call,
    ],
    ids=["backwards", "before 1970", "standing", "to and fro"],
)
def test_scores_and_resumption_do_not_know_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: object
) -> None:
    def play(name: str, **options: object) -> dict[str, object]:
        model = Scripted([answer("b")])
        output = tmp_path / name
        results = asyncio.run(evaluate_async(model, [table_task()], output=output, **options))
        body = json.loads(results.model_dump_json(by_alias=True))
        del body["efficiency"], body["tasks"][0]["seconds"]
        return body

    undisturbed = play("undisturbed")
    calls = iter(range(1_000_000))
    monkeypatch.setattr(time, "time", lambda: clock(next(calls)))  # type: ignore[operator]
    jumped = play("jumped")
    log = tmp_path / "jumped" / "episodes.jsonl"
    log.write_bytes(log.read_bytes()[:-200])
    assert jumped == play("jumped", resume=True) == undisturbed
