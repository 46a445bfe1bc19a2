"""The page of a run: one file with everything in it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from believer import MARKUP, Believer
from pages import Elements

import spa_bench
from spa_bench.cli import main
from spa_bench.errors import InputError
from spa_bench.results.results import Results
from spa_bench.runner.log import RunFolder
from spa_bench.site.pages import unpacked
from spa_bench.site.view import run_page


def index_of(page: str) -> dict[str, Any]:
    return next(
        json.loads(text)
        for _, attrs, text in Elements(page).found
        if attrs.get("id") == "viewer-index"
    )


def chunks_of(page: str) -> list[Any]:
    return [
        unpacked(text)
        for _, attrs, text in Elements(page).found
        if (attrs.get("id") or "").startswith("chunk-")
    ]


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return run_page(run)


def test_every_episode_is_in_the_index_and_in_its_chunk(run: Path, page: str) -> None:
    index, chunks = index_of(page), chunks_of(page)
    logged = {
        (e.task, e.instance, e.repeat, "success" if e.success else e.failure)
        for e in RunFolder(run).episodes()
    }
    shown = set()
    for task, board, repeat, outcome, chunk, place in index["episodes"]:
        shown.add((index["tasks"][task]["name"], board, repeat, outcome))
        assert (chunks[chunk][place]["instance"], chunks[chunk][place]["repeat"]) == (board, repeat)
    assert shown == logged


def test_nothing_is_fetched(page: str) -> None:
    for tag, attrs, _ in Elements(page).found:
        assert tag not in ("link", "img", "iframe", "object", "base")
        assert "src" not in attrs
        assert (attrs.get("href") or "#").startswith("#")


def test_a_reply_cannot_become_markup(page: str) -> None:
    assert MARKUP not in page
    assert "alert(1)" not in page
    replies = [t["reply"] for chunk in chunks_of(page) for e in chunk for t in e["turns"]]
    assert any(MARKUP in text for reply in replies for _, text in reply)


def test_a_name_cannot_become_markup(tmp_path: Path) -> None:
    spa_bench.evaluate(Believer(name=MARKUP), "sokoban", limit=1, repeats=1, output=tmp_path)
    page = run_page(tmp_path)
    assert MARKUP not in page
    assert "<img" not in page


def test_a_limit_of_one_board_is_no_plural(tmp_path: Path) -> None:
    spa_bench.evaluate("baseline/random", "frozenlake", limit=1, repeats=1, output=tmp_path)
    assert "the first 1 board of each task" in run_page(tmp_path)


def test_the_scores_are_those_of_the_results(run: Path, page: str) -> None:
    results = Results.model_validate_json((run / "results.json").read_bytes())
    for task in results.tasks:
        value = task.metrics["pass@1"].value
        assert value is not None
        assert f"{100 * value:.1f}" in page
        assert task.belief is not None
        assert f"{100 * (task.belief.prediction.exact.value or 0):.1f}" in page


def test_steps_over_optimal_stand_beside_the_scores(tmp_path: Path) -> None:
    results = spa_bench.evaluate(
        "baseline/random", "frozenlake", limit=6, repeats=2, output=tmp_path
    )
    steps = results.tasks[0].steps_over_optimal
    assert steps is not None
    assert steps > 0
    page = run_page(tmp_path)
    assert "<th>over optimal</th>" in page
    assert f"<td>{steps:.2f}</td>" in page


def test_the_same_log_makes_the_same_page(run: Path, page: str) -> None:
    assert run_page(run) == page


def test_fewer_episodes_are_the_first_repeats(run: Path) -> None:
    page = run_page(run, most=3)
    assert [row[2] for row in index_of(page)["episodes"]] == [0] * 9
    assert "9 more episodes are in the log" in page


def test_a_run_whose_task_means_something_else_here_is_shown_as_logged(
    run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    info = json.loads(path.read_text())
    info["tasks"][0]["config"]["environment"]["name"] = "not_installed"
    path.write_text(json.dumps(info))
    page = run_page(tmp_path / "run")
    assert "cannot be made again here" in page
    assert "its episodes are shown as logged and it has no results here" in page
    assert len(index_of(page)["episodes"]) == 18


def test_lines_that_are_no_episodes_are_told(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    with (tmp_path / "run" / "episodes.jsonl").open("a") as log:
        log.write('{"schema": "<b>"}\n')
    assert "skipped 1 line(s) that are not episodes" in run_page(tmp_path / "run")


def test_a_run_continued_with_fewer_repeats_shows_what_is_scored(tmp_path: Path) -> None:
    spa_bench.evaluate("baseline/random", "frozenlake", limit=3, repeats=3, output=tmp_path)
    spa_bench.evaluate(
        "baseline/random", "frozenlake", limit=2, repeats=1, output=tmp_path, resume=True
    )
    assert len(index_of(run_page(tmp_path))["episodes"]) == 2


def test_a_shard_owes_nothing_of_the_others_and_has_its_own_bounds(tmp_path: Path) -> None:
    spa_bench.evaluate(
        "baseline/random",
        "frozenlake,sudoku_answer",
        limit=5,
        repeats=2,
        shard="1/2",
        output=tmp_path,
    )
    results = Results.model_validate_json((tmp_path / "results.json").read_bytes())
    page = run_page(tmp_path)
    assert results.owed == 0
    assert "still to be played" not in page
    assert " owed<" not in page
    for task in results.tasks:
        assert f"{100 * (task.metrics['pass@1'].floor or 0):.1f}" in page


def test_a_shard_without_the_task_before_has_no_results_that_would_be_guessed(
    tmp_path: Path,
) -> None:
    tasks = "sokoban_answer,sudoku_answer,frozenlake"
    spa_bench.evaluate("baseline/random", tasks, limit=3, repeats=1, shard="1/2", output=tmp_path)
    path = tmp_path / "run.json"
    info = json.loads(path.read_text())
    as_dealt = sorted(info["tasks"], key=lambda task: task["hash"])
    as_dealt[1]["config"]["environment"]["name"] = "not_installed"
    path.write_text(json.dumps(info))
    page = run_page(tmp_path)
    assert page.count("it has no results here") == 2
    assert "dealt out after those of" in page


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        run_page(tmp_path)


def test_the_command_writes_beside_the_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "page.html"
    with pytest.raises(SystemExit) as exit_:
        main(["view", str(run), "--output", str(path), "--episodes", "2"])
    assert exit_.value.code == 0
    assert re.match(rf"{re.escape(str(path))} \(\d+\.\d MB\)", capsys.readouterr().out)
    assert path.read_text().startswith("<!doctype html>")
