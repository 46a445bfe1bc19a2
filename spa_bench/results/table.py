"""Results as a table: one row a task, every score between its exact floor and ceiling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from spa_bench.results.efficiency import Efficiency
from spa_bench.results.figures import as_csv, figures
from spa_bench.results.results import Results, Score, TaskResult
from spa_bench.results.schema import json_of
from spa_bench.results.shown import (
    counted,
    missing,
    percent,
    whole_percent,
    with_interval,
)
from spa_bench.results.tabulated import tabulated

OutputFormat: TypeAlias = Literal["table", "markdown", "json", "csv"]
OUTPUT_FORMATS: tuple[str, ...] = get_args(OutputFormat)


_KNOWLEDGE = ("copied", "cells", "F1", "observed", "predicted")
"""What probes and beliefs add: the accuracy of copying what is shown, agreement with the true state
to the cell and to the object, and the shares of turns with an exact observation and an exact
prediction."""

OPTIONAL = (*_KNOWLEDGE, "tokens/turn", "s/turn", "cost $")
"""Columns that are left out where no row has anything in them."""


def format_results(results: Sequence[Results], output_format: OutputFormat) -> str:
    """Returns results of one or more models in the format asked for."""
    if output_format == "json":
        return json_of(results)
    if output_format == "csv":
        rows = [{"model": r.model, "salt": r.salt} | row for r in results for row in figures(r)]
        return as_csv(rows).rstrip("\n")
    metrics = list(dict.fromkeys(m for r in results for t in r.tasks for m in t.metrics))
    many = len(results) > 1
    headers = [
        *(["model"] if many else []),
        "task",
        "boards x n",
        *[f"{_metric_name(m)} %" for m in metrics],
        "floor",
        "ceiling",
        "normalised",
        *_KNOWLEDGE,
        "failures",
        "tokens/turn",
        "s/turn",
        "cost $",
    ]
    rows = [
        [*([r.model] if many else []), *_row(task, metrics)] for r in results for task in r.tasks
    ]
    # of what a backend may not tell, only what somebody told
    told = [
        i
        for i, header in enumerate(headers)
        if header not in OPTIONAL or any(row[i] != "-" for row in rows)
    ]
    style = "github" if output_format == "markdown" else "simple"
    return tabulated([headers[i] for i in told], [[row[i] for i in told] for row in rows], style)


def efficiency_line(efficiency: Efficiency) -> str:
    """Returns where a run's time went, in one line; what nobody told is left out."""
    e = efficiency
    said = [
        (e.wall, f"{counted(e.calls, 'call')} in {_time(e.wall)}"),
        (e.busy, f"model busy {percent(e.busy)}% at concurrency {e.concurrency}"),
        (e.overhead, f"overhead {_time(e.overhead)} per call"),
        (e.tokens_per_second, f"{_number(e.tokens_per_second, 0)} tokens/s"),
        (e.prefix_reuse, f"{percent(e.prefix_reuse)}% of prompt tokens cached"),
        (e.longest_episode, f"longest episode {_time(e.longest_episode)}"),
        (e.drain, f"last one started {_time(e.drain)} before the end"),
    ]
    return ", ".join(text for value, text in said if not missing(value))


def _row(task: TaskResult, metrics: Sequence[str]) -> list[str]:
    scores = [task.metrics[m] for m in metrics if m in task.metrics]
    first = scores[0] if scores else None
    return [
        task.task,
        f"{task.boards} x {task.repeats}" + (f" (-{task.owed})" if task.owed else ""),
        *[with_interval(task.metrics.get(m)) for m in metrics],
        " / ".join(_floor(score) for score in scores) or "-",
        " / ".join(percent(score.ceiling) for score in scores) or "-",
        _number(first.normalised if first else None, 3),
        *_knowledge(task),
        _failures(task),
        _tokens(task),
        _number(task.seconds / task.turns if task.turns and task.seconds else None, 2, least=0.01),
        _number(task.cost, 2),
    ]


def _knowledge(task: TaskResult) -> list[str]:
    probe, belief = task.probe, task.belief
    return [
        percent(probe.copied if probe else belief and belief.copied),
        percent(probe and probe.cell_accuracy),
        percent(probe and probe.object_f1),
        percent(belief and belief.observation.exact.value),
        percent(belief and belief.prediction.exact.value),
    ]


def _metric_name(metric: str) -> str:
    return metric[:1].upper() + metric[1:]


def _number(value: float | None, digits: int, least: float = -math.inf) -> str:
    return "-" if value is None or math.isnan(value) or value < least else f"{value:.{digits}f}"


def _time(seconds: float | None) -> str:
    if seconds is None or math.isnan(seconds):
        return "-"
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 90:
        return f"{seconds / 60:.1f} min"
    return f"{seconds:.3g} s" if seconds >= 0.1 else f"{seconds * 1000:.2g} ms"


def _floor(score: Score) -> str:
    estimated = not missing(score.floor_low)
    return f"~{percent(score.floor)}" if estimated else percent(score.floor)


def _failures(task: TaskResult) -> str:
    if not task.episodes:
        return "-"
    shares = [f"{name} {whole_percent(n / task.episodes)}" for name, n in task.failures.items()]
    return ", ".join(shares[:3]) or "none"


def _tokens(task: TaskResult) -> str:
    counted = task.tokens.turns_counted
    if not counted:
        return "-"
    return f"{task.tokens.prompt / counted:.0f} + {task.tokens.completion / counted:.0f}"
