"""The world-model part of a page: what a model believes, beside whether it succeeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from spa_bench.results.belief import Belief
from spa_bench.results.probe import ProbeResult
from spa_bench.results.results import TaskResult
from spa_bench.site.charts import Chart, Point, Series, chart, count_axis, percent_axis


@dataclass(frozen=True)
class BelievingTask:
    """A task whose replies state beliefs, and what was found of them."""

    task: str
    belief: Belief


@dataclass(frozen=True)
class ProbedTask:
    """A probe, and how its items were answered."""

    task: str
    probe: ProbeResult

    @property
    def horizons(self) -> bool:
        """Whether its strata are numbers of actions."""
        return len(self.probe.strata) > 1 and all(map(str.isdecimal, self.probe.strata))


def probed(tasks: Sequence[TaskResult]) -> list[ProbedTask]:
    """Returns the probes that have answers to speak of."""
    return [
        ProbedTask(task.task, task.probe)
        for task in tasks
        if task.probe is not None and task.probe.items
    ]


def horizon_chart(tasks: Sequence[ProbedTask]) -> list[Chart]:
    """Returns accuracy over the number of actions to think through, a picture a world."""
    worlds: dict[str, list[Series]] = {}
    for task in tasks:
        if task.horizons:
            worlds.setdefault(task.task.partition("_")[0], []).append(_horizon(task))
    across = count_axis("actions", [p.x for own in worlds.values() for s in own for p in s.points])
    return [
        chart(f"{world}: the state after k actions", across, percent_axis("right, %"), series)
        for world, series in worlds.items()
    ]


def _horizon(task: ProbedTask) -> Series:
    points = [
        Point(
            int(actions),
            accuracy.value,
            f"{task.task}, {actions} actions: {100 * accuracy.value:.1f}% of {stratum.items}",
            accuracy.low,
            accuracy.high,
        )
        for actions, stratum in task.probe.strata.items()
        if (accuracy := stratum.accuracy).value is not None
    ]
    return Series(task.task, sorted(points, key=lambda point: point.x))


def believing(tasks: Sequence[TaskResult]) -> list[BelievingTask]:
    """Returns the tasks that have turns with beliefs to speak of."""
    return [
        BelievingTask(task.task, task.belief)
        for task in tasks
        if task.belief is not None and task.belief.turns
    ]


def belief_charts(tasks: Sequence[BelievingTask]) -> list[Chart]:
    """Returns how right observations and predictions are over the turns of an episode."""
    if not tasks:
        return []
    turns = [float(turn.turn) for task in tasks for turn in task.belief.by_turn]
    across = count_axis("turn", turns)
    charts: list[Chart] = []
    for what, says in (("observation", "sees"), ("prediction", "expects")):
        series = [
            Series(
                task.task,
                [
                    Point(
                        turn.turn,
                        value,
                        f"{task.task}, turn {turn.turn}: {100 * value:.1f}% of {turn.turns:,}",
                    )
                    for turn in task.belief.by_turn
                    if (value := getattr(turn, what)) is not None
                ],
            )
            for task in tasks
        ]
        charts.append(
            chart(
                f"What it {says}, turn by turn", across, percent_axis(f"exact {what}s, %"), series
            )
        )
    return charts


def world_model(tasks: Sequence[TaskResult]) -> dict[str, Any]:
    """Returns what the templates need for results and world model of one model's tasks."""
    beliefs, probes = believing(tasks), probed(tasks)
    played = [task for task in tasks if task.probe is None]
    return {
        "played": played,
        "metrics": told(played),
        "believing": beliefs,
        "probed": probes,
        "charts": [*belief_charts(beliefs), *horizon_chart(probes)],
    }


def told(tasks: Iterable[TaskResult]) -> list[str]:
    """Returns the metrics that at least one task has a value of, in the order of the tasks."""
    return list(
        dict.fromkeys(
            metric
            for task in tasks
            for metric, score in task.metrics.items()
            if score.value is not None
        )
    )
