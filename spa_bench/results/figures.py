"""Results in long form: a row a figure, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from spa_bench.results.results import Results, Score
from spa_bench.results.shown import no_formula

_COLUMNS = ("task", "task_hash", "metric", *Score.model_fields)


def figures(results: Results) -> Iterator[dict[str, Any]]:
    """Yields all figures of results: metrics by name, other numbers by their path in the JSON.

    Figures of the run as a whole have no task. What is unknown has no row, unless it is a metric.
    """
    whole = results.model_dump(mode="json")
    for task in whole.pop("tasks"):
        own = {"task": task["task"], "task_hash": task["task_hash"]}
        scores: dict[str, Any] = task.pop("metrics")
        yield from (_row(own, *found) for found in (*scores.items(), *_numbers("", task)))
    yield from (_row({}, *found) for found in _numbers("", whole))


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns rows as CSV, with the columns of the first; no text is a formula to a spreadsheet."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {key: no_formula(v) if isinstance(v, str) else v for key, v in row.items()} for row in rows
    )
    return out.getvalue()


def _row(own: Mapping[str, str], metric: str, figure: Mapping[str, Any]) -> dict[str, Any]:
    return {**dict.fromkeys(_COLUMNS), **own, "metric": metric, **figure}


def _numbers(path: str, part: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(part, dict):
        fields = cast(dict[str, Any], part)
        if fields.keys() == {"value", "low", "high"}:
            yield path, fields
            return
        for key, value in fields.items():
            yield from _numbers(f"{path}.{key}" if path else key, value)
    elif isinstance(part, list):
        for number, value in enumerate(cast(list[Any], part), 1):
            yield from _numbers(f"{path}.{number}", value)
    elif isinstance(part, bool):
        yield path, {"value": int(part)}
    elif isinstance(part, int | float):
        yield path, {"value": part}
