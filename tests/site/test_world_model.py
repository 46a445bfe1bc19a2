"""The world-model part of pages: probes beside chance, accuracy over the horizon."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from pages import Elements

import spa_bench
from spa_bench.results.results import Results
from spa_bench.site.pages import unpacked
from spa_bench.site.view import run_page
from spa_bench.site.world_model import belief_charts, believing, horizon_chart, probed, told


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
    (found,) = horizon_chart(probed(results.tasks))
    (series,) = found.series
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
    assert horizon_chart([]) == []


def test_only_metrics_with_a_value_are_told(results: Results) -> None:
    (played,) = [task for task in results.tasks if task.probe is None]
    assert math.isfinite(played.metrics["pass@1"].value or 0)
    assert told([played]) == ["pass@1"]


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
