"""`validate`: all that can be known to be wrong, with file and line, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from spa_bench.errors import InputError
from spa_bench.registry import builtin_tasks_folder
from spa_bench.validate import validate_all

SOKOBAN = builtin_tasks_folder() / "sokoban" / "_sokoban.yaml"


def _write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


def _task(name: str, more: str = "") -> str:
    return f"task: {name}\ninclude: {SOKOBAN}\ninstances: {{split: all, seeds: 123-125}}\n{more}"


def test_a_good_folder_has_no_problems(tmp_path: Path) -> None:
    _write(tmp_path, "mine.yaml", _task("mine"))
    _write(tmp_path, "all.yaml", "group: all_mine\ntasks: [mine, spa]\n")
    report = validate_all([str(tmp_path)])
    assert (report.tasks, report.groups, report.boards, report.problems) == (1, 1, 3, [])


def test_every_problem_is_told_with_file_and_line(tmp_path: Path) -> None:
    _write(tmp_path, "a.yaml", _task("a", "obsrvation: grid\n"))
    _write(tmp_path, "b.yaml", _task("b", "prompt: {feedback: '{rewrd}'}\n"))
    _write(tmp_path, "c.yaml", _task("c").replace("123-125", "9-3"))
    _write(tmp_path, "d.yaml", "task: d\ninclude: e.yaml\n")
    _write(tmp_path, "e.yaml", "task: e\ninclude: d.yaml\n")
    _write(tmp_path, "g.yaml", "group: g\ntasks:\n- a\n- nothing_such\n")
    problems = "\n".join(validate_all([str(tmp_path)]).problems)
    assert "a.yaml:4: unknown key 'obsrvation' (did you mean observation" in problems
    assert "b.yaml:4: prompt.feedback: unknown placeholder {rewrd}" in problems
    assert "c.yaml:3: instances.seeds: the range 9-3 is empty" in problems
    assert "include cycle" in problems
    assert "g.yaml:4: the group names 'nothing_such', which is nothing" in problems


def test_two_tasks_of_one_name_are_told(tmp_path: Path) -> None:
    _write(tmp_path, "a.yaml", _task("same"))
    _write(tmp_path, "b.yaml", _task("same"))
    (problem,) = validate_all([str(tmp_path)]).problems
    assert "b.yaml:1: the name 'same' is taken by" in problem
    assert "a.yaml" in problem


def test_boards_out_of_reach_are_told(tmp_path: Path) -> None:
    _write(tmp_path, "a.yaml", _task("short", "limits: {actions: 1}\n"))
    problems = validate_all([str(tmp_path / "a.yaml")]).problems
    assert problems
    assert all("a.yaml:3: the board of seed" in problem for problem in problems)


def test_seeds_without_any_board_are_told(tmp_path: Path) -> None:
    _write(tmp_path, "a.yaml", _task("none").replace("all, seeds: 123-125", "test, seeds: 124"))
    (problem,) = validate_all([str(tmp_path / "a.yaml")]).problems
    assert "a.yaml:3: no board" in problem


def test_a_folder_without_tasks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no task files"):
        validate_all([str(tmp_path)])


def test_a_name_that_is_nothing_is_an_error() -> None:
    with pytest.raises(InputError, match="unknown task 'sokobann'"):
        validate_all(["sokobann"])
