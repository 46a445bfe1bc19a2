"""Runs side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from spa_bench.errors import InputError
from spa_bench.evaluation import evaluate
from spa_bench.results.compare import LoggedRun, compare, format_comparisons


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
    assert "differ in: observation: grid+coordinates -> grid" in format_comparisons([comparison])


def test_tasks_of_one_name_are_compared_with_each_other_only(runs: dict[str, LoggedRun]) -> None:
    assert [c.task for c in compare(runs["both"], runs["random"])] == ["sokoban", "sokoban"]


def test_runs_without_common_boards_are_refused(runs: dict[str, LoggedRun]) -> None:
    with pytest.raises(InputError, match="no boards in common"):
        compare(runs["random"], runs["lake"])


def test_a_run_compared_with_itself_differs_by_nothing(runs: dict[str, LoggedRun]) -> None:
    for comparison in compare(runs["random"], runs["random"]):
        assert (comparison.result.difference.value, comparison.result.p_value) == (0.0, 1.0)


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
    assert text.count("baseline/") == 2


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
