"""Figures of a submission in the formats of Every Eval Ever and of Hugging Face."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from submissions import FewBoards

from spa_bench.errors import InputError
from spa_bench.interop import every_eval_ever, hugging_face
from spa_bench.interop.figures import figures
from spa_bench.submission.folder import SubmissionFolder


@pytest.fixture(scope="session")
def exported(folder: SubmissionFolder) -> tuple[str, dict[str, Any]]:
    return every_eval_ever.export(
        folder.submission(), folder.results(), folder.digest(), FewBoards()
    )


def test_every_figure_of_every_task_is_there_once(folder: SubmissionFolder) -> None:
    found = [(figure.task.task, figure.metric) for figure in figures(folder.results())]
    assert found == [
        ("sokoban", "pass@1"),
        ("frozenlake_slippery_wm", "pass@1"),
        ("frozenlake_slippery_wm", "belief_observation"),
        ("frozenlake_slippery_wm", "belief_prediction"),
        ("sokoban_legality", "accuracy"),
    ]  # with four episodes a board there is no pass@8


def test_the_record_lies_where_the_datastore_wants_it(exported: Any) -> None:
    path, _ = exported
    uuid4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(rf"data/spa-bench/scripted/tiny/{uuid4}\.json", path)


def test_the_same_submission_makes_the_same_record(folder: Any, exported: Any) -> None:
    again = every_eval_ever.export(
        folder.submission(), folder.results(), folder.digest(), FewBoards()
    )
    assert again == exported


def test_scores_are_those_of_the_results(folder: SubmissionFolder, exported: Any) -> None:
    _, record = exported
    score = folder.results().tasks[0].metrics["pass@1"]
    first = record["evaluation_results"][0]
    assert first["score_details"]["score"] == score.value
    interval = first["score_details"]["uncertainty"]["confidence_interval"]
    assert (interval["lower"], interval["upper"]) == (score.low, score.high)
    assert first["metric_config"]["metric_parameters"] == {"k": 1}


def test_a_probe_stands_between_chance_and_one(exported: Any) -> None:
    *_, probe = exported[1]["evaluation_results"]
    assert probe["metric_config"]["metric_kind"] == "accuracy"
    assert "metric_parameters" not in probe["metric_config"]
    details = probe["score_details"]["details"]
    assert (details["floor"], details["ceiling"]) == ("0.5", "1.0")


def test_additional_details_are_texts_only(exported: Any) -> None:
    def details(value: Any) -> list[Any]:
        if isinstance(value, list):
            return [found for item in value for found in details(item)]
        if not isinstance(value, dict):
            return []
        own = [*value["additional_details"].values()] if "additional_details" in value else []
        return own + [found for item in value.values() for found in details(item)]

    found = details(exported[1])
    assert found
    assert all(isinstance(text, str) for text in found)


VALIDATOR = os.environ.get("EVERY_EVAL_EVER_PYTHON")


@pytest.mark.skipif(not VALIDATOR, reason="EVERY_EVAL_EVER_PYTHON names no Python with it (3.12)")
def test_their_validator_passes_the_record(exported: Any, tmp_path: Path) -> None:
    path, record = exported
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(record))
    command = [str(VALIDATOR), "-m", "every_eval_ever", "validate", "--format=json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_an_unknown_task_is_refused(folder: SubmissionFolder) -> None:
    said = folder.submission()
    run = said.run.model_copy(
        update={"tasks": [said.run.tasks[0].model_copy(update={"task": "sokobun"})]}
    )
    with pytest.raises(InputError, match="unknown task 'sokobun'"):
        every_eval_ever.export(
            said.model_copy(update={"run": run}), folder.results(), folder.digest(), FewBoards()
        )


def test_rows_of_eval_results_are_read_by_their_library(folder: SubmissionFolder) -> None:
    hub = pytest.importorskip("huggingface_hub")
    text = hugging_face.eval_results(folder.submission(), folder.results(), "some/benchmark")
    entries = hub.parse_eval_result_entries(yaml.safe_load(text))
    value = folder.results().tasks[0].metrics["pass@1"].value
    assert [(e.dataset_id, e.task_id) for e in entries] == [
        ("some/benchmark", "sokoban"),
        ("some/benchmark", "frozenlake_slippery_wm"),
        ("some/benchmark", "sokoban_legality"),
    ]
    assert value is not None
    assert entries[0].value == round(100 * value, 2)
    assert entries[0].date == "2026-11-01"


def test_the_model_index_is_read_by_their_library(folder: SubmissionFolder) -> None:
    hub = pytest.importorskip("huggingface_hub.repocard_data")
    text = hugging_face.model_index(folder.submission(), folder.results())
    name, results = hub.model_index_to_eval_results(yaml.safe_load(text)["model-index"])
    assert name == "Tiny <b>1</b>"
    assert [(r.dataset_config, r.metric_type) for r in results][:2] == [
        ("sokoban", "pass@1"),
        ("frozenlake_slippery_wm", "pass@1"),
    ]
