"""`instances make` and `instances check` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from spa_bench.cli import main


def spa(*arguments: str, tasks: str = " frozenlake, frozenlake_grid") -> int:
    with pytest.raises(SystemExit) as exited:
        main(["instances", *arguments, "--tasks", tasks])
    assert isinstance(exited.value.code, int)
    return exited.value.code


def test_manifests_that_were_made_are_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path)
    assert spa("make", "--folder", folder) == 0
    assert capsys.readouterr().out == f"1 manifest in {folder}\n"
    assert spa("check", "--folder", folder) == 0
    assert capsys.readouterr().out == "1 manifest, 128 boards, 0 problems\n"


def test_a_manifest_that_is_wrong_exits_with_2_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spa("make", "--folder", str(tmp_path))
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text().replace("d4:", "d5:", 1))
    capsys.readouterr()
    assert spa("check", "--folder", str(tmp_path)) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"error: {path}: board frozenlake/4x4/ragen/123 is d5:")
    assert said.out == "1 manifest, 128 boards, 1 problem\n"


def test_some_tasks_neither_remove_nor_miss_what_others_play(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spa("make", "--folder", str(tmp_path), tasks="sokoban")
    (tmp_path / "package.json").write_text("{}")
    assert spa("make", "--folder", str(tmp_path)) == 0
    assert len(list(tmp_path.iterdir())) == 3
    assert spa("check", "--folder", str(tmp_path)) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", ["make", "check"])
def test_no_tasks_are_one_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spa(command, "--folder", str(tmp_path), tasks=" ,") == 2
    assert capsys.readouterr().err == "error: --tasks ' ,' names no task\n"
