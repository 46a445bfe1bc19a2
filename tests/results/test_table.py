"""The table: every score with its interval, between its floor and its ceiling."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any, cast

import pytest

from spa_bench.evaluation import evaluate
from spa_bench.results.results import Results, Score, TaskResult, Tokens
from spa_bench.results.shown import counted
from spa_bench.results.table import OPTIONAL, OUTPUT_FORMATS, format_results
from spa_bench.runner.record import FAILURES


def a_score(**changes: Any) -> Score:
    numbers: dict[str, Any] = {
        "value": 0.375,
        "low": 0.3,
        "high": 0.46,
        "floor": 0.262,
        "floor_low": math.nan,
        "floor_high": math.nan,
        "ceiling": 0.9961,
        "closed_loop": 0.9961,
        "normalised": 0.1539,
    }
    return Score(**(numbers | changes))


def a_task(**changes: Any) -> TaskResult:
    fields: dict[str, Any] = {
        "task": "sokoban",
        "task_hash": "f" * 64,
        "boards": 128,
        "repeats": 8,
        "episodes": 1024,
        "successes": 384,
        "owed": 0,
        "infrastructure": 0,
        "metrics": {"pass@1": a_score(), "pass@8": a_score(value=0.7, low=0.6, high=0.8)},
        "failures": {"budget": 512, "dead_end": 102, "format": 20, "hole": 6},
        "parses": {"ok": 2000},
        "stop_reasons": {"stop": 2000},
        "turns": 2000,
        "actions": 9000,
        "reward": -0.5,
        "steps_over_optimal": 1.5,
        "tokens": Tokens(prompt=600_000, completion=90_000, reasoning=0, turns_counted=2000),
        "seconds": 5000.0,
    }
    return TaskResult(**(fields | changes))


def a_result(*tasks: TaskResult, model: str = "a/b") -> Results:
    return Results(
        model=model, salt="0", partial=False, foreign_lines=0, tasks=list(tasks or (a_task(),))
    )


def cells(*results: Results) -> list[dict[str, str]]:
    """Returns the rows of the Markdown table by heading."""
    lines = format_results(results, "markdown").splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(table[0], row, strict=True)) for row in table[2:]]


def row(**changes: Any) -> dict[str, str]:
    return cells(a_result(a_task(**changes)))[0]


def test_a_row_says_all_of_it() -> None:
    assert row() == {
        "task": "sokoban",
        "boards x n": "128 x 8",
        "Pass@1 %": "37.5 [30.0, 46.0]",
        "Pass@8 %": "70.0 [60.0, 80.0]",
        "floor": "26.2 / 26.2",
        "ceiling": "99.6 / 99.6",
        "normalised": "0.154",
        "failures": "budget 50%, dead_end 10%, format 2%",
        "tokens/turn": "300 + 45",
        "s/turn": "2.50",
    }


def test_the_page_on_tables_defines_every_column_and_every_failure() -> None:
    page = Path(__file__).parents[2] / "docs" / "viewing.md"
    section = page.read_text().split("## Reading a table")[1].split("\n## ")[0]
    first = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    defined = set(re.findall("`(.+?)`", "".join(first)))
    assert {*FAILURES, *row(), *OPTIONAL} - {"task"} <= defined


def test_no_spreadsheet_computes_what_a_model_is_called() -> None:
    text = format_results([a_result(model='=HYPERLINK("http://evil","x")')], "csv")
    line = next(csv.DictReader(text.splitlines()))
    assert line["model"].startswith("'=HYPERLINK")


def test_a_models_name_adds_no_column_in_markdown() -> None:
    several = [a_result(model="a | 100.0 | b"), a_result(model="c")]
    line = format_results(several, "markdown").splitlines()[2]
    assert "a \\| 100.0 \\| b" in line
    assert "a | 100.0 | b" in format_results(several, "table")


def test_the_plain_table_has_the_same_cells() -> None:
    text = format_results([a_result()], "table")
    assert all(cell in text for cell in row().values())


def test_episodes_that_are_owed_stand_beside_the_boards() -> None:
    assert row(owed=3)["boards x n"] == "128 x 8 (-3)"


@pytest.mark.parametrize("unknown", [None, math.nan])
def test_what_is_unknown_is_a_dash(unknown: float | None) -> None:
    nothing = dict.fromkeys(Score.model_fields, unknown)
    found = row(
        metrics={"pass@1": Score(**nothing)},
        episodes=0,
        failures={},
        tokens=Tokens(prompt=0, completion=0, reasoning=0, turns_counted=0),
        seconds=0.0,
    )
    del found["task"], found["boards x n"]
    assert set(found.values()) == {"-"}


def test_a_value_without_an_interval_stands_alone() -> None:
    assert row(metrics={"pass@1": a_score(low=math.nan, high=math.nan)})["Pass@1 %"] == "37.5"


def test_an_estimated_floor_is_marked() -> None:
    assert row(metrics={"pass@1": a_score(floor_low=0.2, floor_high=0.3)})["floor"] == "~26.2"


def test_a_failure_that_happened_is_never_nought_percent() -> None:
    found = row(failures={"budget": 6, "hole": 5, "ineffective": 1}, episodes=1000)["failures"]
    assert found == "budget 1%, hole <1%, ineffective <1%"


def test_no_failures_are_none() -> None:
    assert row(failures={})["failures"] == "none"


def test_a_task_without_metrics_still_has_its_row() -> None:
    assert row(metrics={})["floor"] == "-"


def test_tasks_with_different_metrics_share_one_table() -> None:
    rows = cells(a_result(a_task(), a_task(task="other", metrics={"pass^2": a_score()})))
    assert [found["Pass^2 %"] for found in rows] == ["-", "37.5 [30.0, 46.0]"]
    assert rows[1]["Pass@1 %"] == "-"


def test_several_models_are_told_apart() -> None:
    rows = cells(a_result(model="a/b"), a_result(model="c/d"))
    assert [found["model"] for found in rows] == ["a/b", "c/d"]


def test_a_variant_keeps_its_star_in_markdown() -> None:
    assert row(task="sokoban*")["task"] == "sokoban*"


def test_numbers_are_shown_with_the_digits_they_have() -> None:
    assert row(metrics={"pass@1": a_score(value=1.0, low=0.97, high=1.0)})["Pass@1 %"] == (
        "100.0 [97.0, 100.0]"
    )


# -- for machines ---------------------------------------------------------------------------------


def test_json_is_the_results_file() -> None:
    text = format_results([a_result()], "json")
    assert Results.model_validate_json(text).model_dump_json(by_alias=True, indent=2) == text


def test_json_of_several_models_is_a_list() -> None:
    text = format_results([a_result(model="a/b"), a_result(model="c/d")], "json")
    assert [found["model"] for found in json.loads(text)] == ["a/b", "c/d"]


def from_csv(*results: Results) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(format_results(results, "csv"))))


def test_csv_has_each_metric_of_each_task() -> None:
    rows = from_csv(a_result(a_task(), a_task(task="other")))
    found = {(row["task"], row["metric"]): row["value"] for row in rows}
    assert len(found) == len(rows)
    assert [found[task, "pass@8"] for task in ("sokoban", "other")] == ["0.7", "0.7"]


def test_csv_has_every_number_of_a_score() -> None:
    found = from_csv(a_result())[0]
    numbers = a_score().model_dump(mode="json")
    assert {name: found[name] for name in numbers} == {
        name: "" if number is None else str(number) for name, number in numbers.items()
    }


def test_csv_has_every_number_that_json_has(tmp_path: Path) -> None:
    tasks = "sokoban_wm,frozenlake_transition"
    results = evaluate("baseline/random", tasks, limit=4, repeats=1, output=tmp_path / "run")
    told = json.loads(format_results([results], "json"))
    rows = from_csv(results)
    numbers = [float(value) for row in rows for value in list(row.values())[5:] if value]
    assert sorted(numbers) == sorted(_numbers(told))
    found = {(row["task"], row["metric"]): row for row in rows}
    wm, transition = told["tasks"]
    exact = wm["belief"]["prediction"]["exact"]
    stated = found["sokoban_wm", "belief.prediction.exact"]
    assert [float(stated[key]) for key in exact] == list(exact.values())
    failure, count = next(iter(wm["failures"].items()))
    for task, path, number in (
        (wm, f"failures.{failure}", count),
        (wm, "seconds", wm["seconds"]),
        (transition, "probe.copied", transition["probe"]["copied"]),
    ):
        row = found[task["task"], path]
        assert (float(row["value"]), row["task_hash"]) == (number, task["task_hash"])
    assert float(found["", "efficiency.calls"]["value"]) == told["efficiency"]["calls"]


def _numbers(part: Any) -> list[float]:
    if isinstance(part, dict):
        part = list(cast("dict[str, Any]", part).values())
    if isinstance(part, list):
        return [number for inner in cast("list[Any]", part) for number in _numbers(inner)]
    return [float(part)] if isinstance(part, int | float) else []


def test_csv_keeps_names_with_commas_and_quotes_whole() -> None:
    assert from_csv(a_result(model='a/"b,c"\nd'))[0]["model"] == 'a/"b,c"\nd'


@pytest.mark.parametrize("output_format", OUTPUT_FORMATS)
def test_no_format_ends_in_an_empty_line(output_format: Any) -> None:
    text = format_results([a_result()], output_format)
    assert text == text.strip("\n") != ""


def test_what_probes_and_beliefs_add_is_shown_where_there_is_some(tmp_path: Path) -> None:
    plain = evaluate("baseline/oracle", "sokoban", limit=1, repeats=1, output=tmp_path / "plain")
    assert not {"copied", "cells", "observed"} & set(cells(plain)[0])
    names = "sokoban_wm,sokoban_transition,sokoban_legality"
    wm, transition, legality = cells(
        evaluate("baseline/oracle", names, limit=3, repeats=1, output=tmp_path / "run")
    )
    assert (wm["observed"], wm["predicted"], wm["cells"]) == ("100.0", "100.0", "-")
    assert (transition["cells"], transition["F1"], transition["copied"]) == ("100.0",) * 2 + (
        "33.3",
    )
    assert (legality["cells"], legality["Accuracy %"][:5]) == ("-", "100.0")


@pytest.mark.parametrize(("number", "written"), [(0, "0 boards"), (1, "1 board"), (2, "2 boards")])
def test_one_thing_is_not_written_as_several(number: int, written: str) -> None:
    assert counted(number, "board") == written
