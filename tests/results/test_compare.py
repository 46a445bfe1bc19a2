"""Runs side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spa_bench.cli import main
from spa_bench.errors import InputError
from spa_bench.evaluation import evaluate
from spa_bench.results.compare import LoggedRun, compare, format_comparisons, notes
from spa_bench.results.shown import percent


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, LoggedRun]:
    """Small runs of both baselines, in two formats, and of other boards."""
    played = {
        "random": ("baseline/random", "sokoban"),
        "oracle": ("baseline/oracle", "sokoban"),
        "grid": ("baseline/random", "sokoban_grid"),
        "lake": ("baseline/random", "frozenlake"),
        "both": ("baseline/random", "sokoban,sokoban_grid"),
    }
    for name, (model, tasks) in played.items():
        evaluate(model, tasks, limit=6, repeats=8, output=tmp_path / name)
    return {name: LoggedRun.read(tmp_path / name) for name in played}


def test_the_same_task_is_compared_board_by_board(runs: dict[str, LoggedRun]) -> None:
    one, eight = compare(runs["random"], runs["oracle"])
    assert (one.task, one.metric, one.result.boards) == ("sokoban", "pass@1", 6)
    assert (eight.metric, eight.second_score.value) == ("pass@8", 1.0)
    expected = one.first_score.value - one.second_score.value
    assert one.result.difference.value == pytest.approx(expected)
    assert one.differences == ()


def test_two_ways_of_showing_the_same_boards_are_paired_and_told_apart(
    runs: dict[str, LoggedRun],
) -> None:
    comparison = compare(runs["random"], runs["grid"])[0]
    assert comparison.task == "sokoban : sokoban_grid"
    assert comparison.differences == ("observation: grid+coordinates -> grid",)
    shown = format_comparisons([comparison])
    assert f"Differences in {comparison.task}: observation: grid+coordinates -> grid" in shown


def test_tasks_of_one_name_are_compared_with_each_other_only(runs: dict[str, LoggedRun]) -> None:
    assert [c.task for c in compare(runs["both"], runs["random"])] == ["sokoban", "sokoban"]


def test_tasks_that_one_run_alone_has_are_named(runs: dict[str, LoggedRun]) -> None:
    (told,) = notes(runs["both"], runs["random"])
    assert told == "first: not compared, as the other has no counterpart: sokoban_grid"
    (told,) = notes(runs["random"], runs["both"])
    assert told.startswith("second: not compared")
    assert notes(runs["random"], runs["grid"]) == []


def test_boards_that_one_run_alone_played_are_counted(tmp_path: Path) -> None:
    tasks = "sokoban,sokoban_transition"
    evaluate("baseline/random", tasks, limit=6, repeats=1, output=tmp_path / "six")
    evaluate("baseline/random", tasks, limit=5, repeats=1, output=tmp_path / "five")
    six, five = (LoggedRun.read(tmp_path / name) for name in ("six", "five"))
    alone = "1 board of sokoban, 1 question of sokoban_transition"
    assert notes(six, five) == [f"first: not compared, as the other did not play them: {alone}"]
    assert notes(five, six) == [f"second: not compared, as the other did not play them: {alone}"]


def test_boards_that_one_run_alone_played_in_another_format_are_counted(
    runs: dict[str, LoggedRun], tmp_path: Path
) -> None:
    evaluate("baseline/random", "sokoban_grid", limit=2, repeats=1, output=tmp_path / "two")
    (told,) = notes(runs["random"], LoggedRun.read(tmp_path / "two"))
    assert told.endswith("the other did not play them: 4 boards of sokoban : sokoban_grid")


def test_a_run_without_an_episode_is_told(runs: dict[str, LoggedRun]) -> None:
    empty = replace(runs["random"], counts={key: {} for key in runs["random"].counts})
    with pytest.raises(InputError, match="random has no complete episode yet"):
        compare(runs["oracle"], empty)


def test_runs_without_common_boards_are_refused(runs: dict[str, LoggedRun]) -> None:
    why = "no boards in common: the first played sokoban, sokoban_grid, the second frozenlake"
    with pytest.raises(InputError, match=why):
        compare(runs["both"], runs["lake"])


def test_a_run_compared_with_itself_differs_by_nothing(runs: dict[str, LoggedRun]) -> None:
    for comparison in compare(runs["random"], runs["random"]):
        assert (comparison.result.difference.value, comparison.result.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("task", ["frozenlake", "frozenlake_legality"])
def test_a_p_value_does_not_depend_on_which_run_comes_first_or_the_order_of_a_log(
    tmp_path: Path, task: str
) -> None:
    runs: list[LoggedRun] = []
    for salt in ("one", "five"):
        folder = tmp_path / salt
        evaluate("baseline/random", task, limit=40, salt=salt, output=folder)
        runs.append(LoggedRun.read(folder))
    first, second = runs
    turned = replace(
        first,
        counts={task: dict(reversed(boards.items())) for task, boards in first.counts.items()},
    )
    found = [compare(first, second), compare(second, first), compare(turned, second)]
    assert found[0][0].result.boards > 13  # fewer are not drawn but all tried
    values = [[comparison.result.p_value for comparison in one] for one in found]
    assert values[0] == values[1] == values[2]
    assert 0 < values[0][0] < 1


def test_a_metric_needs_enough_repeats_on_both_sides(
    runs: dict[str, LoggedRun], tmp_path: Path
) -> None:
    evaluate("baseline/random", "sokoban", limit=6, repeats=2, output=tmp_path / "few")
    found = compare(runs["random"], LoggedRun.read(tmp_path / "few"))
    assert [comparison.metric for comparison in found] == ["pass@1"]


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        LoggedRun.read(tmp_path)


def test_beliefs_are_compared_and_told_beside_success(tmp_path: Path) -> None:
    for name in ("random", "oracle"):
        tasks = "frozenlake_slippery_wm"
        evaluate(f"baseline/{name}", tasks, limit=6, repeats=8, output=tmp_path / name)
    first, second = (LoggedRun.read(tmp_path / name) for name in ("random", "oracle"))
    found = compare(first, second)
    assert [comparison.metric for comparison in found] == ["pass@1", "pass@8", "belief"]
    belief = found[-1]
    assert belief.beliefs is not None
    assert belief.beliefs[0].observation.exact.value == 1
    assert 0 < belief.first_score.value < 1
    text = format_comparisons(found)
    assert "if right" in text
    told = belief.beliefs[1]
    row = next(line for line in text.splitlines() if "  second  prediction" in line)
    assert row.split()[-3:] == [
        percent(share) for share in (told.ceiling, told.supported, told.probability)
    ]
    assert percent(told.prediction.cell_accuracy) in row.split()
    assert text.count("  first   observation") == 1


def test_json_has_what_the_tables_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, limit in (("random", 3), ("oracle", 2)):
        output = tmp_path / name
        evaluate(f"baseline/{name}", "sokoban_wm", limit=limit, repeats=2, output=output)
    folders = [str(tmp_path / name) for name in ("random", "oracle")]

    def told(*runs: str) -> Any:
        with pytest.raises(SystemExit) as ended:
            main(["compare", *runs, "--output-format", "json"])
        assert ended.value.code == 0
        return json.loads(capsys.readouterr().out)

    found = told(*folders)
    assert found["schema"] == "spa-bench/comparison/1"
    assert found["second"] == {"path": folders[1], "model": "baseline/oracle"}
    first, second = (LoggedRun.read(Path(folder)) for folder in folders)
    one, belief = compare(first, second)
    success, prediction = found["comparisons"]
    assert (success["task"], success["metric"], success["boards"]) == ("sokoban_wm", "pass@1", 2)
    assert success["second"]["value"] == one.second_score.value
    assert success["difference"]["value"] == one.result.difference.value
    assert (success["p_value"], success["first_belief"]) == (one.result.p_value, None)
    assert belief.beliefs is not None
    assert prediction["second_belief"]["ceiling"] == belief.beliefs[1].ceiling
    assert found["notes"] == notes(first, second)
    assert told(*folders, folders[1]) == [found, found]


def test_a_share_of_turns_or_items_is_what_the_results_say(tmp_path: Path) -> None:
    tasks = "frozenlake_slippery_wm,sokoban_transition"
    results = evaluate("baseline/random", tasks, limit=40, output=tmp_path / "one")
    evaluate("baseline/oracle", tasks, limit=40, output=tmp_path / "other")
    first, second = (LoggedRun.read(tmp_path / name) for name in ("one", "other"))
    found = {c.metric: c for c in compare(first, second)}
    belief, probe = results.tasks
    assert belief.belief is not None
    for one, told in (
        (found["belief"], belief.belief.prediction.exact),
        (found["accuracy"], probe.metrics["accuracy"]),
    ):
        score = one.first_score
        assert (score.value, score.low, score.high) == (told.value, told.low, told.high)
    for metric in ("belief", "accuracy"):
        one = found[metric]
        expected = one.first_score.value - one.second_score.value
        assert one.result.difference.value == pytest.approx(expected)


def test_a_run_whose_world_is_unknown_is_compared_without_beliefs(tmp_path: Path) -> None:
    for name in ("one", "other"):
        output = tmp_path / name
        evaluate("baseline/random", "sokoban_wm", limit=2, repeats=1, output=output)
        info = output / "run.json"
        info.write_text(info.read_text().replace('"name": "sokoban"', '"name": "sokobar"'))
    found = compare(LoggedRun.read(tmp_path / "one"), LoggedRun.read(tmp_path / "other"))
    assert [comparison.metric for comparison in found] == ["pass@1"]


def test_probes_are_compared_board_by_board(tmp_path: Path) -> None:
    for name in ("random", "oracle"):
        evaluate(f"baseline/{name}", "sokoban_transition", limit=9, output=tmp_path / name)
    first, second = (LoggedRun.read(tmp_path / name) for name in ("random", "oracle"))
    (found,) = compare(first, second)
    assert (found.metric, found.second_score.value, found.result.boards) == ("accuracy", 1, 4)


# -- what a log holds beyond the plan, or lacks ----------------------------------------------------


def lake(folder: Path, tasks: str = "frozenlake", **options: Any) -> LoggedRun:
    asked = {"limit": 8, "repeats": 8, "output": folder, **options}
    evaluate("baseline/random", tasks, **asked)
    return LoggedRun.read(folder)


def test_a_run_continued_with_fewer_boards_and_repeats_has_the_score_of_its_table(
    tmp_path: Path,
) -> None:
    whole = lake(tmp_path / "whole")
    lake(tmp_path / "run")
    options: dict[str, Any] = {"limit": 4, "repeats": 2, "resume": True}
    table = evaluate("baseline/random", "frozenlake", output=tmp_path / "run", **options)
    (found,) = compare(LoggedRun.read(tmp_path / "run"), whole)
    assert found.result.boards == 4
    assert found.first_score.value == table.tasks[0].metrics["pass@1"].value
    assert found.first_score.value != found.second_score.value


def test_a_board_that_the_task_does_not_have_is_not_compared(tmp_path: Path) -> None:
    lake(tmp_path, "frozenlake_wm", limit=2, repeats=1)
    log = tmp_path / "episodes.jsonl"
    first, second = log.read_text().splitlines(keepends=True)
    instance = json.loads(second)["instance"]
    other = instance.rpartition("/")[0] + "/99999"
    log.write_text(first + second.replace(instance, other))
    run = LoggedRun.read(tmp_path)
    assert [len(counts) for counts in run.counts.values()] == [1]
    assert "1 of 2 episodes still owed" in run.notes[0]


@pytest.mark.parametrize("metrics", [["pass@x"], ["pass@1", 7], "pass", ["pass@0"]])
def test_a_metric_that_there_is_not_is_said_and_where(tmp_path: Path, metrics: Any) -> None:
    lake(tmp_path, limit=1, repeats=1)
    path = tmp_path / "run.json"
    info = json.loads(path.read_text())
    info["tasks"][0]["config"]["metrics"] = metrics
    path.write_text(json.dumps(info))
    with pytest.raises(InputError, match=r"run\.json: task 'frozenlake': no such metric: "):
        LoggedRun.read(tmp_path)


def test_what_is_owed_what_cannot_be_read_and_other_luck_are_told(tmp_path: Path) -> None:
    first = lake(tmp_path / "first", limit=2, repeats=4)
    assert notes(first, first) == []
    lake(tmp_path / "second", limit=2, repeats=4, salt="7")
    log = tmp_path / "second" / "episodes.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:7]) + b"{torn")
    second = LoggedRun.read(tmp_path / "second")
    bad, owed, luck = notes(first, second)
    assert bad.startswith("second: ")
    assert "skipped 1 line(s) that are not episodes; the first is line 8" in bad
    assert "1 of 8 episodes still owed" in owed
    assert luck.startswith("the seeds differ ('0' and '7')")


def test_a_run_whose_world_is_unknown_says_so(tmp_path: Path) -> None:
    lake(tmp_path, limit=1, repeats=2)
    info = tmp_path / "run.json"
    info.write_text(info.read_text().replace('"name": "frozenlake"', '"name": "frozenlace"'))
    (note,) = LoggedRun.read(tmp_path).notes
    assert "cannot be made again here" in note
