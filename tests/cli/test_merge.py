"""`evaluate --shard` and `merge` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from spa_bench.cli import main

PLAY = ("evaluate", "--model", "baseline/random", "--tasks", "frozenlake", "--limit", "4")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def spa(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert isinstance(exited.value.code, int)
    return exited.value.code


def table(text: str) -> str:
    return text[text.index("task ") :]


def test_the_merged_table_is_the_table_of_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    for i in ("1", "2"):
        assert spa(*PLAY, "--shard", f"{i}/2", "--output", f"part-{i}") == 0
    capsys.readouterr()
    assert spa(*PLAY, "--output", "whole") == 0
    whole = capsys.readouterr().out
    assert spa("merge", "part-1", "part-2", "--output", "merged") == 0
    merged = capsys.readouterr()
    assert table(merged.out) == table(whole)
    assert merged.err.splitlines()[-1] == "run folder: merged"


def test_a_missing_shard_is_named_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    spa(*PLAY, "--shard", "1/2", "--output", "part-1")
    capsys.readouterr()
    assert spa("merge", "part-1", "--output", "merged") == 2
    said = capsys.readouterr().err
    assert said == "error: shards are missing: 2/2; play them, then merge\n"


def test_a_shard_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    assert spa(*PLAY, "--repeats", "1", "--shard", "2/3") == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("-shard-2-of-3")


def test_what_is_still_owed_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    for i in ("1", "2"):
        spa(*PLAY, "--shard", f"{i}/2", "--output", f"part-{i}")
    log = Path("part-2/episodes.jsonl")
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-3]))
    capsys.readouterr()
    assert spa("merge", "part-1", "part-2", "--output", "merged") == 1
    assert (
        "3 episodes still owed; evaluate with --resume --output merged" in capsys.readouterr().err
    )
    assert spa(*PLAY, "--resume", "--output", "merged") == 0
