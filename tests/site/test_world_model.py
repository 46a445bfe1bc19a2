"""The world-model part of pages: probes beside chance, accuracy over the horizon."""

from __future__ import annotations

import json
import math
from pathlib import Path

import hf_tiny
import pytest
from pages import Elements

import spa_bench
from spa_bench.results.results import Results
from spa_bench.site.pages import unpacked
from spa_bench.site.view import run_page
from spa_bench.site.world_model import (
    belief_charts,
    believing,
    by_world,
    horizon_charts,
    probed,
    told,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("probes")
    tasks = "sokoban_rollout,frozenlake_slippery_transition_grid,sokoban"
    spa_bench.evaluate("baseline/oracle", tasks, limit=24, repeats=1, output=made)
    return made


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return Results.model_validate_json((folder / "results.json").read_bytes())


def test_only_probes_are_among_the_probes(results: Results) -> None:
    assert [task.task for task in probed(results.tasks)] == [
        "sokoban_rollout",
        "frozenlake_slippery_transition_grid",
    ]


def test_the_horizon_is_that_of_roll_outs_in_the_order_of_their_length(results: Results) -> None:
    (found,) = horizon_charts(probed(results.tasks))
    series, chance, copied = found.series
    assert (chance.name, copied.name) == ("chance", "copied")
    assert [mark.says.split()[1] for mark in series.marks] == [str(k) for k in range(1, 9)]
    across = [mark.x for mark in series.marks]
    assert across == sorted(across)
    assert {mark.y for mark in series.marks} == {found.top}  # the oracle is always right


def test_belief_is_drawn_turn_by_turn(run: Path) -> None:
    tasks = Results.model_validate_json((run / "results.json").read_bytes()).tasks
    for drawn in belief_charts(believing(tasks)):
        for task, series in zip(tasks, drawn.series, strict=True):
            assert task.belief is not None
            assert len(series.marks) == len(task.belief.by_turn)


def test_without_beliefs_there_is_nothing_to_draw() -> None:
    assert belief_charts([]) == []
    assert horizon_charts([]) == []


def test_probes_stand_beside_success_in_their_world(tmp_path: Path) -> None:
    tasks = "sokoban,sokoban_wm,sokoban_to_grid,sokoban_inverse,sokoban_inverse_grid,sudoku_inverse"
    found = spa_bench.evaluate("baseline/random", tasks, limit=4, repeats=1, output=tmp_path)
    worlds = by_world(found.tasks)
    assert worlds.kinds == ["to_grid", "inverse"]
    sokoban, alone, sudoku = worlds.rows
    assert [(row.name, row.style) for row in worlds.rows] == [
        ("sokoban", ""),
        ("sokoban", "grid alone"),
        ("sudoku", ""),
    ]
    assert sokoban.success == found.tasks[0].metrics["pass@1"]
    assert sokoban.prediction is not None
    assert sokoban.prediction.value == 1.0  # a baseline says what will be
    assert [list(row.probes) for row in worlds.rows] == [
        ["to_grid", "inverse"],
        ["inverse"],
        ["inverse"],
    ]
    assert alone.success is sudoku.success is None


def test_only_metrics_with_a_value_are_told(results: Results) -> None:
    (played,) = [task for task in results.tasks if task.probe is None]
    assert math.isfinite(played.metrics["pass@1"].value or 0)
    assert told([played]) == ["pass@1"]


def test_where_chance_decides_a_page_tells_how_likely_answers_were(
    folder: Path, results: Results
) -> None:
    (slippery,) = [task for task in probed(results.tasks) if not task.sure]
    assert slippery.probe.best is not None
    cells = [text.strip() for _, _, text in Elements(run_page(folder)).found]
    assert "likely" in cells
    assert f"of {100 * slippery.probe.best:.1f}" in cells


def test_a_page_of_ranked_answers_tells_distance_and_calibration(tmp_path: Path) -> None:
    own = hf_tiny.save(tmp_path / "model")
    spa_bench.evaluate(str(own), "sudoku_legality_ranking", limit=4, output=tmp_path / "run")
    page = run_page(tmp_path / "run")
    assert "calibration error" in page
    assert "Ranked answers" in page


def test_a_page_of_probes_shows_question_and_right_answer(folder: Path) -> None:
    page = run_page(folder)
    found = Elements(page).found
    index = json.loads(next(t for _, a, t in found if a.get("id") == "viewer-index"))
    chunks = [unpacked(t) for _, a, t in found if (a.get("id") or "").startswith("chunk-")]
    number = [task["name"] for task in index["tasks"]].index("sokoban_rollout")
    shown = [row for row in index["episodes"] if row[0] == number]
    assert len(shown) == 24
    for _, _, _, outcome, chunk, place in shown:
        (turn,) = chunks[chunk][place]["turns"]
        ((right, probability),) = turn["right"]
        assert outcome == "success"
        assert (right, probability) == (turn["moves"][0]["action"], "1")
        assert "What is the state" in turn["frames"][0]["text"]
