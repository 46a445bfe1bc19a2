"""`results`: the table of a run that was played before."""

from __future__ import annotations

from pathlib import Path

import pytest

from spa_bench.cli import main
from spa_bench.evaluation import evaluate


@pytest.fixture
def run(tmp_path: Path) -> Path:
    evaluate("baseline/random", "frozenlake", output=tmp_path / "run", limit=4, repeats=2)
    return tmp_path / "run"


def results(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["results", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_table_is_that_of_the_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--model", "baseline/random", "--tasks", "frozenlake", "--limit", "4"]
    with pytest.raises(SystemExit):
        main(["evaluate", *asked, "--repeats", "2", "--output", str(tmp_path / "run")])
    printed = capsys.readouterr().out
    (tmp_path / "run" / "results.json").unlink()
    assert results(tmp_path / "run") == 0
    assert capsys.readouterr().out == printed


def test_several_runs_stand_in_one_table_with_their_models(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate("baseline/oracle", "frozenlake", output=tmp_path / "best", limit=4, repeats=2)
    assert results(run, tmp_path / "best", "--output-format", "csv") == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("baseline/random" in line for line in lines) > 0
    assert sum("baseline/oracle" in line for line in lines) > 0


def test_what_is_owed_is_said(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = run / "episodes.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:5]))
    assert results(run) == 1
    assert "3 episodes still owed; evaluate with --resume" in capsys.readouterr().err


def test_a_task_whose_environment_is_not_installed_is_no_success(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = run / "run.json"
    info.write_text(info.read_text().replace('"name": "frozenlake"', '"name": "frozenlace"'))
    assert results(run) == 1
    assert "install the package that provides it" in capsys.readouterr().err


def test_a_folder_without_a_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert results(tmp_path) == 2
    said = capsys.readouterr().err
    assert said.endswith("holds no run (no run.json); give a run's folder, such as runs/NAME\n")


def test_a_file_is_refused_and_its_run_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for path, folder in ((run / "results.json", run), (tmp_path / "file", "runs/NAME")):
        assert results(path) == 2
        said = capsys.readouterr().err
        assert said == f"error: {path} is a file; give a run's folder, such as {folder}\n"
