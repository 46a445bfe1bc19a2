"""The world-model part of a page: what a model believes, beside whether it succeeds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from spa_bench.results.belief import Belief
from spa_bench.results.probe import ProbeResult
from spa_bench.results.results import Score, TaskResult
from spa_bench.results.schema import Interval
from spa_bench.site.charts import Chart, Point, Series, chart, count_axis, percent_axis

_HORIZON = re.compile("[0-9]{1,4}")
"""A number of actions."""


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
        return len(self.probe.strata) > 1 and all(map(_HORIZON.fullmatch, self.probe.strata))

    @property
    def sure(self) -> bool:
        """Whether chance plays no part in what is right."""
        return self.probe.best is None or self.probe.best >= 1


def probed(tasks: Sequence[TaskResult]) -> list[ProbedTask]:
    """Returns the probes that have answers to speak of."""
    return [
        ProbedTask(task.task, task.probe)
        for task in tasks
        if task.probe is not None and task.probe.items
    ]


def horizon_charts(tasks: Sequence[ProbedTask]) -> list[Chart]:
    """Returns accuracy over the number of actions to think through, a picture a roll-out.

    Both ways of showing a state share one; chance and copying stand beside them.
    """
    rollouts: dict[str, list[ProbedTask]] = {}
    for task in tasks:
        if task.horizons:
            rollouts.setdefault(task.task.removesuffix(_GRID), []).append(task)
    return [_horizon_chart(name, some) for name, some in rollouts.items()]


_GRID = "_grid"


def _horizon_chart(name: str, tasks: Sequence[ProbedTask]) -> Chart:
    plain = [_reference(tasks[0], what) for what in ("chance", "copied")]
    series = [*map(_horizon, tasks), *(one for one in plain if one.points)]
    across = count_axis("actions", [point.x for one in series for point in one.points])
    right = "right, %" if tasks[0].sure else "possible, %"
    return chart(f"{name}: after k actions", across, percent_axis(right), series)


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
    shown = "grid alone" if task.task.endswith(_GRID) else "grid and coordinates"
    return Series(shown, sorted(points, key=lambda point: point.x))


def _reference(task: ProbedTask, what: str) -> Series:
    points = [
        Point(int(actions), value, f"{what}, {actions} actions: {100 * value:.1f}%")
        for actions, stratum in task.probe.strata.items()
        if (value := getattr(stratum, what)) is not None
    ]
    return Series(what, sorted(points, key=lambda point: point.x), plain=True)


# -- knowing beside doing --------------------------------------------------------------------------

_KINDS = (
    "to_coordinates",
    "to_grid",
    "transition",
    "rollout",
    "inverse",
    "legality",
    "reward",
    "reachability",
)
_ENDS = [f"_{kind}" for kind in _KINDS]
_STYLES = {"": "", _GRID: "grid alone", "_ranking": "ranked"}


@dataclass
class World:
    """What is known of one world, in one way of showing it: success, belief and probes.

    Attributes:
        success: Pass@1 in the usual format. observation, prediction: shares of exact ones.
        probes: by kind, such as `transition`.
    """

    name: str
    style: str
    success: Score | None = None
    observation: Interval | None = None
    prediction: Interval | None = None
    probes: dict[str, ProbeResult] = field(default_factory=dict[str, ProbeResult])


@dataclass(frozen=True)
class Worlds:
    """A line a world; `kinds` are the probes that at least one has."""

    rows: list[World]
    kinds: list[str]


def by_world(tasks: Sequence[TaskResult]) -> Worlds:
    """Returns the probes of each world beside success in it.

    Tasks are told by their names, as the built-in ones are called: a world, a kind of probe, a way
    of showing. Others are left out.
    """
    found: dict[tuple[str, str], World] = {}
    for task in tasks:
        if task.probe is None or not task.probe.items:
            continue
        world, kind = _apart(task.task, _ENDS)  # `to_grid` is a kind, and no style
        style = ""
        if not kind:
            name, style = _apart(task.task, _STYLES)
            world, kind = _apart(name, _ENDS)
        if kind:
            row = found.setdefault((world, style), World(world, _STYLES[style]))
            row.probes[kind[1:]] = task.probe
    for task in tasks:
        name, style = _apart(task.task, (_GRID, "_wm", ""))
        row = found.get((name, _GRID if style == _GRID else ""))
        if row is None or task.probe is not None:
            continue
        row.success = task.metrics.get("pass@1") if style != "_wm" else row.success
        if task.belief is not None:
            row.observation = task.belief.observation.exact
            row.prediction = task.belief.prediction.exact
    rows = list(found.values())
    return Worlds(rows, [kind for kind in _KINDS if any(kind in row.probes for row in rows)])


def _apart(name: str, ends: Iterable[str]) -> tuple[str, str]:
    """Returns a name without the first of these ends that it has, and that end."""
    end = next((end for end in ends if end and name.endswith(end)), "")
    return name.removesuffix(end), end


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
        "worlds": by_world(tasks),
        "charts": [*belief_charts(beliefs), *horizon_charts(probes)],
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
