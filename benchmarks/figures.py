"""What the figures of the docs have in common: panels side by side, lines that differ in grey."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spa_bench.results.schema import Interval

WIDEST = 0.4
"""Share of the axis that a band covers at most."""

_LOOKS = (("o", "-"), ("s", "--"), ("^", "-."), ("D", ":"), ("v", "-"), ("P", "--"), ("X", "-."))
"""Marker and line of each model, so that they can be told apart in grey."""


def known(value: float | None) -> float:
    """Returns a value, NaN where there is none."""
    return math.nan if value is None else value


def styled() -> Any:
    """Returns matplotlib's pyplot, set to draw SVG in the style of the docs."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {
        "svg.fonttype": "none",
        "svg.hashsalt": "spa-bench",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    from matplotlib import pyplot

    return pyplot


def panels(count: int, rows: int = 1) -> tuple[Any, Any]:
    """Returns a figure and its axes, so many side by side in each row; row by row."""
    figure, axes = styled().subplots(
        rows,
        count,
        figsize=(max(2.7 * count + 0.6, 4.8), 2.4 * rows + 0.6),
        sharex="col",
        sharey=True,
        squeeze=False,
    )
    return figure, axes.ravel()


def draw_line(axis: Any, points: Sequence[tuple[float, Any]], name: str, number: int) -> None:
    """Draws (x, share or interval) as a line in per cent, intervals as a band.

    A line with an interval wider than `WIDEST` has no band: it would hide the others. Lines of one
    number look the same.
    """
    marker, style = _LOOKS[number % len(_LOOKS)]
    xs = [x for x, _ in points]
    intervals = [p if isinstance(p, Interval) else None for _, p in points]
    values = [i.value if i else p for i, (_, p) in zip(intervals, points, strict=True)]
    shown = axis.plot(
        xs,
        percents(values),
        marker=marker,
        linestyle=style,
        color=f"C{number % 10}",
        markersize=4,
        linewidth=1.3,
        label=name,
    )
    known_ones = [i for i in intervals if i is not None]
    if len(known_ones) == len(xs) and all(_width(i) <= WIDEST for i in known_ones):
        bounds = [percents([i.low for i in known_ones]), percents([i.high for i in known_ones])]
        axis.fill_between(xs, *bounds, color=shown[0].get_color(), alpha=0.12, linewidth=0)


def _width(interval: Interval) -> float:
    return known(interval.high) - known(interval.low)


def percents(values: Sequence[float | None]) -> list[float]:
    """Returns shares in per cent."""
    return [100 * known(value) for value in values]


def save(figure: Any, axes: Any, path: Path) -> None:
    """Adds the legend below, and writes the file."""
    handles: dict[str, Any] = {}
    for axis in axes:
        axis.set_ylim(-3, 103)
        axis.grid(axis="y", linewidth=0.4, alpha=0.5)
        shown, labels = axis.get_legend_handles_labels()
        handles |= dict(zip(labels, shown, strict=True))
    columns = min(len(handles), 3 if len(axes) == 1 else 4)
    figure.legend(
        handles.values(), handles, loc="lower center", ncols=columns, frameon=False, fontsize=8
    )
    rows = math.ceil(len(handles) / columns)
    legend = 0.06 + 0.21 * rows
    figure.tight_layout(rect=(0, legend / figure.get_figheight(), 1, 1))
    figure.savefig(path, metadata={"Date": None})
