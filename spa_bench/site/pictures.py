"""The leaderboard's pictures: what goes with what, over all rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from spa_bench.metrics.success import pass_at_k
from spa_bench.site.charts import (
    SHAPES,
    Axis,
    Chart,
    Point,
    Series,
    chart,
    count_axis,
    log_axis,
    number_axis,
    percent_axis,
)
from spa_bench.site.entries import Counts, Entry, MeasuredTask
from spa_bench.site.rows import OVERALL, Row, Table
from spa_bench.submission.training import Step

_NAMED = SHAPES - 1
"""So many curves are told apart; the others are drawn faintly behind them."""


def pictures(
    table: Table,
    counts: Mapping[str, Counts],
    tasks: Sequence[MeasuredTask],
    entries: Sequence[Entry] = (),
) -> list[Chart]:
    """Returns those pictures for which there is something to show."""
    main = [task for task in tasks if task.main]
    found = [
        _pass_1_and_8(table, main),
        _belief(table),
        _spent(table, "cost", "US dollars per 1,000 episodes", "Success against cost"),
        _spent(table, "tokens", "tokens an episode", "Success against tokens"),
        *_pass_at_k(table, counts, main),
        *_trained(table, entries),
    ]
    return [one for one in found if one is not None]


def _pass_1_and_8(table: Table, main: Sequence[MeasuredTask]) -> Chart | None:
    """Each row once a main task: RL may raise Pass@1 and lower Pass@8."""

    def points(row: Row) -> Iterator[Point]:
        for task in main:
            one, eight = (_value(row, f"{task.name}:pass@{k}") for k in (1, 8))
            if one is not None and eight is not None:
                says = f"{_name(row)}, {task.name}: {100 * one:.1f} and {100 * eight:.1f}"
                yield Point(one, eight, says, link=row.link)

    return _scatter(
        "Pass@8 against Pass@1, a mark a row and main task",
        ("Pass@1, %", "Pass@8, %"),
        table,
        points,
    )


def _belief(table: Table) -> Chart | None:
    def points(row: Row) -> Iterator[Point]:
        belief, score = _value(row, "belief:prediction"), _value(row, OVERALL)
        if belief is None:
            return
        scores = [
            value
            for key in row.cells
            if key.endswith("_wm:pass@1") and (value := _value(row, key)) is not None
        ]
        success = math.fsum(scores) / len(scores) if scores else score
        if success is not None:
            says = f"{_name(row)}: {100 * belief:.1f} exact, {100 * success:.1f} solved"
            yield Point(belief, success, says, link=row.link, name=row.model)

    return _scatter(
        "Success against belief, in the world-model format",
        ("exact predictions, %", "Pass@1, %"),
        table,
        points,
    )


def _spent(table: Table, key: str, label: str, title: str) -> Chart | None:
    points = [
        Point(
            spent,
            min(max(score, -0.25), 1),
            f"{_name(row)}: {score:.3f} for {spent:,.6g}",
            link=row.link,
            name=row.model,
        )
        for row in table.rows
        if (spent := _value(row, key) or 0.0) > 0 and (score := _value(row, OVERALL)) is not None
    ]
    if not points:
        return None
    across = log_axis(label, [point.x for point in points])
    up = replace(percent_axis("overall, 100 = best possible"), low=-0.25)
    return chart(title, across, up, [Series("submissions", points, joined=False)])


def _pass_at_k(
    table: Table, counts: Mapping[str, Counts], main: Sequence[MeasuredTask]
) -> Iterator[Chart]:
    for task in main:
        ranked = [row for row in table.rows if row.slug in counts]
        curves = [
            (row, curve)
            for row in ranked
            if (curve := _curve(counts[row.slug or ""].get(task.name, {})))
        ]
        if not curves:
            continue
        most = max(len(curve) for _, curve in curves)
        named = [_series(_name(row), curve) for row, curve in curves[:_NAMED]]
        others = [_series(_name(row), curve, faint=True) for row, curve in curves[_NAMED:]]
        yield chart(
            f"Pass@k on {task.name}",
            count_axis("k", [1, most]),
            percent_axis("Pass@k, %"),
            [*others, *named],
            note="The faint curves are the other submissions." if others else "",
            legend=True,
        )


def _trained(table: Table, entries: Sequence[Entry]) -> Iterator[Chart]:
    """Held-out Pass@1 over the steps of a training, a picture a task: those that most tell of."""
    logs = {entry.slug: entry.training for entry in entries if entry.training}
    told = Counter(key for log in logs.values() for key in {key for step in log for key in step})
    tasks = [key for key, _ in told.most_common() if key.endswith("/pass@1")]
    for key in tasks[:_MOST_TRAINED]:
        curves = [
            (row, points)
            for row in table.rows
            if (points := curve(logs.get(row.slug or "", ()), key))
        ]
        series = [
            *(Series(_name(row), points, faint=True) for row, points in curves[_NAMED:]),
            *(Series(_name(row), points) for row, points in curves[:_NAMED]),
        ]
        steps = [point.x for one in series for point in one.points]
        yield chart(
            f"Training on {key.partition('/')[0]}",
            count_axis("training step", steps),
            percent_axis("Pass@1 on held-out boards, %"),
            series,
            note="As the submitters' own logs have it: a training cannot be replayed.",
            legend=True,
        )


_MOST_TRAINED = 6
_MOST_POINTS = 100


def curve(log: Sequence[Step], key: str) -> list[Point]:
    """Returns what a training's log says of one quantity, at no more than 100 of its steps."""
    told = [(step["step"], step[key]) for step in log if key in step]
    every = math.ceil(len(told) / _MOST_POINTS) or 1
    kept = [pair for i, pair in enumerate(told) if i % every == 0 or i == len(told) - 1]
    return [Point(step, value, f"step {step:,.0f}: {value:.3f}") for step, value in kept]


_OF_STEPS = {"reward": "mean of an episode", "loss": "nats a token", "entropy": "nats a token"}


def training_charts(log: Sequence[Step]) -> list[Chart]:
    """Returns how one submission was trained: Pass@k on held-out boards, reward, loss, entropy."""
    scores = {key: int(key.rpartition("@")[2]) for step in log for key in step if "/" in key}
    tasks: dict[str, list[Series]] = {}
    for key in sorted(scores, key=lambda key: (key.partition("/")[0], scores[key])):
        task, _, score = key.partition("/")
        tasks.setdefault(task, []).append(Series(score.capitalize(), curve(log, key)))
    charts: list[Chart] = []
    for task, series in tasks.items():
        up = percent_axis("held-out boards, %")
        charts.append(_over_steps(f"Training on {task}", up, series))
    for key, label in _OF_STEPS.items():
        if points := curve(log, key):
            up = number_axis(label, [point.y for point in points])
            charts.append(_over_steps(key.capitalize(), up, [Series(key, points)]))
    return charts


def _over_steps(title: str, up: Axis, series: Sequence[Series]) -> Chart:
    steps = [point.x for one in series for point in one.points]
    return chart(title, count_axis("training step", steps), up, series)


def _curve(boards: Mapping[str, tuple[int, int]]) -> list[float]:
    """Returns pass@1, pass@2, .. as far as all boards have samples."""
    most = min((n for n, _ in boards.values()), default=0)
    return [
        math.fsum(pass_at_k(n, c, k) for n, c in boards.values()) / len(boards)
        for k in range(1, min(most, 32) + 1)
    ]


def _series(name: str, curve: Sequence[float], faint: bool = False) -> Series:
    points = [
        Point(k, value, f"{name}: Pass@{k} {100 * value:.1f}") for k, value in enumerate(curve, 1)
    ]
    return Series(name, points, faint=faint)


def _scatter(
    title: str,
    labels: tuple[str, str],
    table: Table,
    points: Callable[[Row], Iterator[Point]],
) -> Chart | None:
    kinds = (("submissions", "submission"), ("reported", "reported"))
    series = [
        Series(name, [p for row in table.rows if row.kind == kind for p in points(row)], False)
        for name, kind in kinds
    ]
    series = [one for one in series if one.points]
    x, y = (percent_axis(label) for label in labels)
    return chart(title, x, y, series) if series else None


def _value(row: Row, key: str) -> float | None:
    cell = row.cells.get(key)
    return None if cell is None else cell.value


def _name(row: Row) -> str:
    return f"{row.model}, {row.method}"
