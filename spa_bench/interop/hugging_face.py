"""Hugging Face: rows of `.eval_results` and the older `model-index` of a model's card.

Both hold one number a task, in percent: Pass@1, or the accuracy of a probe.
"""

from __future__ import annotations

from typing import Any

import yaml

from spa_bench.interop.figures import Figure, figures
from spa_bench.results.results import Results
from spa_bench.submission.schema import Submission

_FIRST = ("pass@1", "accuracy")


def eval_results(submission: Submission, results: Results, benchmark: str) -> str:
    """Returns the YAML of a file below a model's `.eval_results/`.

    Args:
        benchmark: the Hub's dataset that stands for this benchmark, such as `OWNER/NAME`; each
            task is one of its task ids.
    """
    rows: list[dict[str, Any]] = []
    for figure in _first(results):
        row: dict[str, Any] = {
            "dataset": {"id": benchmark, "task_id": figure.task.task},
            "value": _percent(figure.value),
            "date": submission.date.isoformat(),
            "notes": _notes(submission, figure),
        }
        rows.append(row)
    return _yaml(rows)


def model_index(submission: Submission, results: Results) -> str:
    """Returns the YAML that goes into the front matter of a model's card."""
    listed = [
        {
            "task": {"type": "text-generation"},
            "dataset": {
                "name": f"spa-bench {figure.task.task}",
                "type": "spa-bench",
                "config": figure.task.task,
            },
            "metrics": [
                {
                    "type": figure.metric,
                    "name": figure.metric,
                    "value": _percent(figure.value),
                    "args": {"low": _percent(figure.low), "high": _percent(figure.high)},
                }
            ],
        }
        for figure in figures(results)
    ]
    return _yaml({"model-index": [{"name": submission.model, "results": listed}]})


def _first(results: Results) -> list[Figure]:
    """Returns the one figure of each task for which there is room."""
    return [figure for figure in figures(results) if figure.metric in _FIRST]


def _notes(submission: Submission, figure: Figure) -> str:
    span = ""
    if figure.low is not None and figure.high is not None:
        span = f" [{_percent(figure.low):g}, {_percent(figure.high):g}]"
    return f"{figure.metric}{span}, {submission.method}, {figure.samples} samples"


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def _yaml(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
