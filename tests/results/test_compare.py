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
