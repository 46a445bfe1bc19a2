"""The scalar figures of a submission, one by one, as formats of others hold them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from spa_bench.metrics.success import metric_of
from spa_bench.results.probe import ACCURACY
from spa_bench.results.results import Results, Score, TaskResult
from spa_bench.results.schema import Interval

_ANY = "probability that at least one of {k} episodes on a board succeeds, mean over boards"
_ALL = "probability that all of {k} episodes on a board succeed, mean over boards"


@dataclass(frozen=True)
class Figure:
    """One figure of one task.

    Attributes:
        metric: such as `pass@1`. family: such as `pass_at_k`; k only where it has one.
        says: what it is, in words.
        value, low, high: between 0 and 1, with the 95% interval; low and high are None where there
            is none.
        floor, ceiling: what random and best possible play get; None where unknown.
        samples: episodes, turns or items.
    """

    task: TaskResult
    metric: str
    family: str
    k: int | None
    says: str
    value: float
    low: float | None
    high: float | None
    floor: float | None
    ceiling: float | None
    samples: int


def figures(results: Results) -> Iterator[Figure]:
    """Yields all figures that have a value, task by task."""
    return (figure for task in results.tasks for figure in figures_of(task))


def figures_of(task: TaskResult) -> Iterator[Figure]:
    """Yields all figures of one task that have a value."""
    for metric, score in task.metrics.items():
        yield from _score(task, metric, score)
    if task.belief is not None:
        for name, statement in (
            ("observation", task.belief.observation),
            ("prediction", task.belief.prediction),
        ):
            ceiling = task.belief.ceiling if name == "prediction" else 1.0
            says = f"share of turns whose stated {name} is the true state"
            yield from _interval(
                task, f"belief_{name}", says, statement.exact, task.belief.turns, ceiling
            )


def _score(task: TaskResult, metric: str, score: Score) -> Iterator[Figure]:
    value = _known(score.value)
    if value is None:
        return
    if metric == ACCURACY:
        family, k, says = metric, None, "share of a probe's items that are answered rightly"
    else:
        of = metric_of(metric)
        family, text = ("pass_hat_k", _ALL) if of.all_of_them else ("pass_at_k", _ANY)
        k, says = of.k, text.format(k=of.k)
    yield Figure(
        task=task,
        metric=metric,
        family=family,
        k=k,
        says=says,
        value=value,
        low=_known(score.low),
        high=_known(score.high),
        floor=_known(score.floor),
        ceiling=_known(score.ceiling),
        samples=task.episodes,
    )


def _interval(
    task: TaskResult,
    metric: str,
    says: str,
    interval: Interval,
    samples: int,
    ceiling: float | None,
) -> Iterator[Figure]:
    value = _known(interval.value)
    if value is None:
        return
    yield Figure(
        task=task,
        metric=metric,
        family="accuracy",
        k=None,
        says=says,
        value=value,
        low=_known(interval.low),
        high=_known(interval.high),
        floor=None,
        ceiling=_known(ceiling),
        samples=samples,
    )


def _known(number: float | None) -> float | None:
    return None if number is None or math.isnan(number) else number
