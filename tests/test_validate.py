"""`validate`: all that can be known to be wrong, with file and line, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from spa_bench.errors import InputError
from spa_bench.evaluation import chosen_tasks
from spa_bench.task_file import builtin_tasks_folder
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
    assert "g.yaml:4: unknown task 'nothing_such'" in problems


def test_two_tasks_of_one_name_are_told(tmp_path: Path) -> None:
    _write(tmp_path, "a.yaml", _task("same"))
    _write(tmp_path, "b.yaml", _task("same"))
    (problem,) = validate_all([str(tmp_path)]).problems
    assert "b.yaml:1: the name 'same' is taken by" in problem
    assert "a.yaml" in problem


def evaluable(folder: Path, name: str) -> str:
    """Returns why a task of the folder cannot be evaluated, '' if it can."""
    try:
        chosen_tasks(name, [folder])
    except InputError as problem:
        return str(problem)
    return ""


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"g": "group: g\ntasks: ['sokoban_2*', m*, mine, world_model]\n"}, ""),
        ({"g": "group: g\ntasks:\n- mine\n- 'x*'\n"}, "g.yaml:4: unknown task 'x*'"),
        (
            {"g": "group: g\ntasks: [h]\n", "h": "group: h\ntasks: [mine, g]\n"},
            "h.yaml:2: group cycle: g -> h -> g",
        ),
        ({"g": "group: g\ntasks: []\n"}, "g.yaml:2: the group 'g' has no tasks"),
        ({"g": "group: g\ntasks: [mine]\n", "t": _task("sokoban")}, "'sokoban' is taken by"),
        ({"g": "group: g\ntasks: [mine]\n", "t": _task("spa")}, "the name 'spa' is taken by"),
    ],
    ids=["good", "unknown", "cycle", "empty", "taken by a task", "taken by a group"],
)
def test_what_is_said_is_what_evaluation_says(
    files: dict[str, str], told: str, tmp_path: Path
) -> None:
    _write(tmp_path, "mine.yaml", _task("mine"))
    for name, text in files.items():
        _write(tmp_path, f"{name}.yaml", text)
    problems = validate_all([str(tmp_path)]).problems
    assert bool(problems) == bool(told) == bool(evaluable(tmp_path, "g"))
    assert told in "\n".join(problems)
    assert told in evaluable(tmp_path, "g")


def test_every_member_that_is_nothing_is_told_once(tmp_path: Path) -> None:
    _write(tmp_path, "g.yaml", "group: g\ntasks:\n- nope\n- sokoban\n- nix\n")
    _write(tmp_path, "h.yaml", "group: h\ntasks: [g]\n")
    lines = [problem.split(": ")[0] for problem in validate_all([str(tmp_path)]).problems]
    assert [line.rpartition("/")[2] for line in lines] == ["g.yaml:3", "g.yaml:5"]


def test_a_file_that_is_played_by_its_path_may_have_any_name(tmp_path: Path) -> None:
    _write(tmp_path, "mine.yaml", _task("sokoban"))
    assert validate_all([str(tmp_path / "mine.yaml")]).problems == []


def test_a_folder_of_installed_tasks_does_not_take_its_own_names() -> None:
    assert validate_all([str(builtin_tasks_folder() / "groups")]).problems == []


def test_boards_out_of_reach_are_told(tmp_path: Path) -> None:
    _write(tmp_path, "a.yaml", _task("short", "limits: {actions: 1}\n"))
    problems = validate_all([str(tmp_path / "a.yaml")]).problems
    assert problems
    assert all("a.yaml:3: the board of seed" in problem for problem in problems)


def test_a_task_that_never_shows_its_state_is_told(tmp_path: Path) -> None:
    _write(tmp_path, "a.yaml", _task("blind", "prompt: {turn: 'What now?'}\n"))
    (problem,) = validate_all([str(tmp_path)]).problems
    assert "a.yaml:4: prompt.turn: no {state}" in problem


@pytest.mark.parametrize("metric", ["pass@16", "pass^9"])
def test_a_metric_of_more_episodes_than_are_played_is_told(tmp_path: Path, metric: str) -> None:
    _write(tmp_path, "a.yaml", _task("a", f"repeats: 8\nmetrics: [pass@8, {metric}]\n"))
    (problem,) = validate_all([str(tmp_path)]).problems
    assert (
        f"a.yaml:5: metrics: {metric} needs {metric[5:]} episodes a board; `repeats` is 8"
        in problem
    )


def test_repeats_too_few_for_an_included_metric_are_told_of_the_file_that_says_them(
    tmp_path: Path,
) -> None:
    for name in ("a", "b"):
        _write(tmp_path, f"{name}.yaml", _task(name, "repeats: 4\n"))
    problems = validate_all([str(tmp_path)]).problems
    places = [problem.partition(": ")[0].rpartition("/")[2] for problem in problems]
    assert places == ["a.yaml:4", "b.yaml:4"]


def test_the_papers_split_is_for_the_papers_boards(tmp_path: Path) -> None:
    own = "environment: {generator: spa}\n"
    text = _task("mine", own).replace("split: all, ", "split: paper, ")
    _write(tmp_path, "a.yaml", text)
    problems = validate_all([str(tmp_path)]).problems
    assert "a.yaml:3: instances.split: `paper` is for the paper's boards" in problems[0]
    _write(tmp_path, "a.yaml", text.replace(own, ""))
    assert validate_all([str(tmp_path)]).problems == []


def test_seeds_without_any_board_are_told(tmp_path: Path) -> None:
    _write(tmp_path, "a.yaml", _task("none").replace("all, seeds: 123-125", "test, seeds: 124"))
    (problem,) = validate_all([str(tmp_path / "a.yaml")]).problems
    assert "a.yaml:3: no board" in problem


def test_a_file_that_has_only_the_name_of_its_include_is_told(tmp_path: Path) -> None:
    _write(tmp_path, "mine.yaml", "include: sokoban\n")
    (problem,) = validate_all([str(tmp_path)]).problems
    assert problem == (
        f"{tmp_path / 'mine.yaml'}:1: a task file needs `task:` or `group:` with a name of its own"
        " (that of an include is not inherited)"
    )


def test_all_wrong_values_of_a_file_are_told_with_what_was_found(tmp_path: Path) -> None:
    _write(tmp_path, "a.yaml", _task("a", "limits: {turns: many, actions: 0}\nversion: true\n"))
    _write(tmp_path, "b.yaml", _task("b", "environment: {action_names: [L, D, R, On]}\n"))
    _write(tmp_path, "c.yaml", _task("c").replace("123-125", "[1, 2]"))
    _write(tmp_path, "d.yaml", _task("d", "environment: {action_names: [L, D, R]}\n"))
    problems = [line.partition("yaml:")[2] for line in validate_all([str(tmp_path)]).problems]
    assert problems == [
        "5: version: Input should be a valid integer, not true",
        '4: limits.turns: Input should be a valid integer, not "many"',
        "4: limits.actions: Input should be greater than or equal to 1, not 0",
        "4: environment.action_names.3: Input should be a valid string, not true;"
        " quote it if it is text",
        '3: instances.seeds: must be one text, such as "1,2,3" or 123-250, and no list',
        "4: environment.action_names: item 4 is missing",
    ]


def test_a_folder_without_tasks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no task files"):
        validate_all([str(tmp_path)])


def test_a_name_that_is_nothing_is_an_error() -> None:
    with pytest.raises(InputError, match="unknown task 'sokobann'"):
        validate_all(["sokobann"])


def test_a_task_that_includes_a_group_is_no_second_group_of_that_name(tmp_path: Path) -> None:
    _write(tmp_path, "mine.yaml", "include: spa\ntask: mine\n")
    (problem,) = validate_all([str(tmp_path)]).problems
    assert (
        problem
        == f"{tmp_path / 'mine.yaml'}:2: include: spa.yaml is a group; a task can include tasks"
    )
