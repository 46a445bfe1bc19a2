"""The world-model part of a page: what a model believes, beside whether it succeeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spa_bench.results.belief import Belief
from spa_bench.results.results import TaskResult
from spa_bench.site.charts import Chart, Point, Series, chart, count_axis, percent_axis


@dataclass(frozen=True)
class BelievingTask:
    """A task whose replies state beliefs, and what was found of them."""

    task: str
    belief: Belief


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
