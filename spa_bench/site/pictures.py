"""The leaderboard's pictures: what goes with what, over all rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from spa_bench.metrics.success import pass_at_k
from spa_bench.site.charts import (
    SHAPES,
    Chart,
    Point,
    Series,
    chart,
    count_axis,
    log_axis,
    percent_axis,
)
from spa_bench.site.entries import Counts, MeasuredTask
from spa_bench.site.rows import OVERALL, Row, Table

_NAMED = SHAPES - 1
"""So many curves are told apart; the others are drawn faintly behind them."""


def pictures(
    table: Table, counts: Mapping[str, Counts], tasks: Sequence[MeasuredTask]
) -> list[Chart]:
    """Returns those pictures for which there is something to show."""
    main = [task for task in tasks if task.main]
    found = [_pass_1_and_8(table, main), _belief(table), _cost(table)]
    return [one for one in (*found, *_pass_at_k(table, counts, main)) if one is not None]


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
            yield Point(belief, success, says, link=row.link)

    return _scatter(
        "Success against belief, in the world-model format",
        ("exact predictions, %", "Pass@1, %"),
        table,
        points,
    )


def _cost(table: Table) -> Chart | None:
    paid = [row for row in table.rows if (_value(row, "cost") or 0) > 0]
    scored = [(row, _value(row, "cost"), _value(row, OVERALL)) for row in paid]
    points = [
        Point(
            cost,
            min(max(score, -0.25), 1),
            f"{_name(row)}: {score:.3f} for ${cost:.2f}",
            link=row.link,
        )
        for row, cost, score in scored
        if cost is not None and score is not None
    ]
    if not points:
        return None
    axis = percent_axis("overall, 100 = best possible")
    return chart(
        "Success against cost",
        log_axis("US dollars per 1,000 episodes", [point.x for point in points]),
        axis,
        [Series("submissions", points, joined=False)],
    )


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
        )


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
