"""Two runs side by side, paired by board: the same boards, with the same luck."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spa_bench.errors import InputError
from spa_bench.metrics.interval import Estimate, clustered
from spa_bench.metrics.paired import Paired, paired
from spa_bench.metrics.success import pass_at_k, pass_hat_k
from spa_bench.runner.log import RunFolder, RunInfo, RunTask
from spa_bench.runner.plan import Done
from spa_bench.yaml_file import flatten

Counts = Mapping[str, tuple[int, int]]
"""Board -> (complete episodes, successes)."""


@dataclass(frozen=True)
class LoggedRun:
    """A run as its folder tells it: what was played, and how often each board was solved."""

    path: Path
    info: RunInfo
    counts: Mapping[str, Counts]

    @classmethod
    def read(cls, path: Path) -> LoggedRun:
        """Reads a run folder.

        Raises:
            InputError: if it holds none.
        """
        folder = RunFolder(path)
        info = folder.read_info()
        tallies: dict[str, dict[str, tuple[int, int]]] = {task.hash: {} for task in info.tasks}
        done = Done()
        for episode in folder.episodes():
            boards = tallies.get(episode.task_hash)
            if boards is not None and done.add(episode):
                n, c = boards.get(episode.instance, (0, 0))
                boards[episode.instance] = (n + 1, c + episode.success)
        return cls(path, info, tallies)


@dataclass(frozen=True)
class Comparison:
    """One metric of two tasks over the boards that both runs played often enough.

    Attributes:
        differences: settings in which the two tasks differ, as `key: first -> second`.
    """

    first: str
    second: str
    task: str
    metric: str
    first_score: Estimate
    second_score: Estimate
    result: Paired
    differences: tuple[str, ...]


def compare(first: LoggedRun, second: LoggedRun) -> list[Comparison]:
    """Compares every task of one run with its counterpart in the other.

    A counterpart has the same name, or else, where a run played something under one name only
    (two formats of the same boards, say), shares boards with it.

    Raises:
        InputError: if the runs have no boards in common.
    """
    found = [
        comparison
        for one, other in _counterparts(first, second)
        for comparison in _compare_tasks(first, one, second, other)
    ]
    if not found:
        raise InputError(f"{first.path} and {second.path} have no boards in common")
    return found


def _counterparts(first: LoggedRun, second: LoggedRun) -> Iterator[tuple[RunTask, RunTask]]:
    by_name = {task.task: task for task in second.info.tasks}
    named = {task.task for task in first.info.tasks} & set(by_name)
    for task in first.info.tasks:
        if task.task in named:
            yield task, by_name[task.task]
            continue
        for other in second.info.tasks:
            shared = set(first.counts[task.hash]) & set(second.counts[other.hash])
            if other.task not in named and shared:
                yield task, other


def _compare_tasks(
    first: LoggedRun, one: RunTask, second: LoggedRun, other: RunTask
) -> Iterator[Comparison]:
    one_counts, other_counts = first.counts[one.hash], second.counts[other.hash]
    name = one.task if one.task == other.task else f"{one.task} : {other.task}"
    for metric in one.config.get("metrics", []):
        if not metric.startswith("pass"):
            continue
        k = int(metric[5:])
        of = pass_at_k if metric.startswith("pass@") else pass_hat_k
        boards = [
            board
            for board, (n, _) in one_counts.items()
            if n >= k and other_counts.get(board, (0, 0))[0] >= k
        ]
        values = [
            [of(*counts[board], k) for board in boards] for counts in (one_counts, other_counts)
        ]
        samples = [
            sum(counts[board][0] for board in boards) for counts in (one_counts, other_counts)
        ]
        if boards:
            yield Comparison(
                first=first.info.model.name,
                second=second.info.model.name,
                task=name,
                metric=metric,
                first_score=clustered(values[0], samples[0]),
                second_score=clustered(values[1], samples[1]),
                result=paired(values[0], values[1]),
                differences=tuple(_differences(one.config, other.config)),
            )


_UNTOLD = {"task", "version", "description", "tag", "metrics", "repeats"}


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    before, after = flatten(first), flatten(second)
    for key in dict.fromkeys([*before, *after]):
        if key[0] not in _UNTOLD and before.get(key) != after.get(key):
            name, was, is_now = ".".join(map(str, key)), before.get(key), after.get(key)
            yield f"{name}: {_short(was)} -> {_short(is_now)}"


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:37]}.."


def format_comparisons(comparisons: Sequence[Comparison], style: str = "simple") -> str:
    """Returns comparisons as a table, followed by what differs between the tasks compared."""
    from tabulate import tabulate

    headers = ["task", "metric", "boards", "first", "second", "difference", "p"]
    rows = [
        [
            c.task,
            c.metric,
            c.result.boards,
            _percent(c.first_score),
            _percent(c.second_score),
            _percent(c.result.difference, sign=True),
            "-" if c.result.p_value != c.result.p_value else f"{c.result.p_value:.4f}",
        ]
        for c in comparisons
    ]
    lines = [tabulate(rows, headers=headers, tablefmt=style, disable_numparse=True)]
    for task in dict.fromkeys(c.task for c in comparisons):
        differences = next(c.differences for c in comparisons if c.task == task)
        if differences:
            lines.append(f"\n{task} differ in: {'; '.join(differences)}")
    return "\n".join(lines)


def _percent(estimate: Estimate, sign: bool = False) -> str:
    value = f"{100 * estimate.value:{'+' if sign else ''}.1f}"
    if estimate.low != estimate.low:
        return "-" if estimate.value != estimate.value else value
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{value} [{low:.1f}, {high:.1f}]"
