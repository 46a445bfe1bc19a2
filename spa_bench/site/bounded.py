"""A submission's figures between bounds that are computed here, and not those that it states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from spa_bench.errors import InputError
from spa_bench.results.belief import BELIEF
from spa_bench.results.results import Results, Score, TaskResult
from spa_bench.site.entries import Entry, MeasuredTask


def bounded(entry: Entry, tasks: Sequence[MeasuredTask]) -> Entry:
    """Returns a submission between bounds that are computed here, whatever it states.

    Bounds of other versions of a task are not known here. Those that only a log can tell are left
    to submissions whose log has been replayed.

    Raises:
        InputError: for a metric that no task has.
    """
    by_hash = {task.task.hash: task for task in tasks}
    known = {metric for task in tasks for metric in task.task.config.metrics} - {BELIEF}
    told = {metric: result.task for result in entry.results.tasks for metric in result.metrics}
    for metric in sorted(told.keys() - known):
        where = f"{entry.folder.path}/results.json: {told[metric]}"
        raise InputError(f"{where}: no task has a metric {metric!r}; pack the run again")
    own = [_bounded(result, by_hash.get(result.task_hash)) for result in entry.results.tasks]
    if entry.verification is None:
        own = [_without_references(result) for result in own]
    results = entry.results.model_copy(update={"tasks": own})
    # as the file would hold them: null where there is nothing to say
    text = results.model_dump_json(by_alias=True)
    return replace(entry, results=Results.model_validate_json(text))


_BOUNDS = ("floor", "floor_low", "floor_high", "ceiling", "closed_loop", "normalised")
_REFERENCES = ("copied", "best", "chance_probability", "copied_probability")


def _bounded(result: TaskResult, task: MeasuredTask | None) -> TaskResult:
    def score(metric: str, told: Score) -> Score:
        if task is None:
            return told.model_copy(update=_nothing(*_BOUNDS))
        return task.between_bounds(metric, told)

    probe = result.probe
    if probe is not None:
        chance = None if task is None else task.floor("pass@1")
        probe = probe.model_copy(update={"chance": chance})
    metrics = {metric: score(metric, told) for metric, told in result.metrics.items()}
    return result.model_copy(update={"metrics": metrics, "probe": probe})


def _without_references(result: TaskResult) -> TaskResult:
    """Returns a result without what repeating the board, chance and the best would have scored."""
    belief, probe = result.belief, result.probe
    if belief is not None:
        belief = belief.model_copy(update=_nothing("copied", "ceiling"))
    if probe is not None:
        no = _nothing("chance", "copied")
        strata = {name: stratum.model_copy(update=no) for name, stratum in probe.strata.items()}
        probe = probe.model_copy(update=_nothing(*_REFERENCES) | {"strata": strata})
    return result.model_copy(update={"belief": belief, "probe": probe})


def _nothing(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names)
