"""Pictures as inline SVG: where everything lies. `_chart.html` draws it.

Own code and not matplotlib: a page's pictures follow its light or dark theme, take its fonts, name
each point to who hovers or listens, and weigh a few kilobytes. Series differ in shape and dash as
well as in colour, so they can be told apart in grey.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 400, 270
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 12, 44
SHAPES = 6
"""So many series look different; more repeat."""


@dataclass(frozen=True)
class Point:
    """One value, with its interval where there is one; `says` is read out and shown on hover."""

    x: float
    y: float
    says: str
    low: float | None = None
    high: float | None = None
    link: str | None = None


@dataclass(frozen=True)
class Series:
    """Points of one kind; joined by a line if `joined`. A `faint` one is context."""

    name: str
    points: Sequence[Point]
    joined: bool = True
    faint: bool = False


@dataclass(frozen=True)
class Axis:
    """What is along one side.

    Attributes:
        low, high: its ends. ticks: values, with what stands beside them.
        logarithmic: then both ends are above 0.
    """

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Returns where a value lies, from 0 to 1."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(max(value, low))
        return (value - low) / (high - low)


@dataclass(frozen=True)
class Mark:
    """A point as drawn: its place, and the ends of its interval."""

    x: float
    y: float
    says: str
    top: float | None
    bottom: float | None
    link: str | None


@dataclass(frozen=True)
class Drawn:
    """A series as drawn; `shape` is from 1."""

    name: str
    shape: int
    path: str
    marks: Sequence[Mark]
    faint: bool


@dataclass(frozen=True)
class Chart:
    """A picture, laid out."""

    title: str
    x: Axis
    y: Axis
    series: Sequence[Drawn]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    note: str = ""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM
    names: Sequence[Drawn] = field(default_factory=tuple)


def percent_axis(label: str) -> Axis:
    """Returns the axis of a share, in percent."""
    return Axis(label, 0, 1, [(i / 4, str(25 * i)) for i in range(5)])


def count_axis(label: str, values: Sequence[float]) -> Axis:
    """Returns an axis of whole numbers that reaches from the least value to the greatest."""
    least, most = math.floor(min(values, default=0)), math.ceil(max(values, default=1))
    step = max(1, math.ceil((most - least) / 8))
    ticks = [(float(i), str(i)) for i in range(least, most + 1, step)]
    return Axis(label, least - 0.25, most + 0.25 if most > least else least + 1, ticks)


def log_axis(label: str, values: Sequence[float]) -> Axis:
    """Returns an axis of powers of ten around positive values."""
    low = math.floor(math.log10(min(values)))
    high = max(math.ceil(math.log10(max(values))), low + 1)
    return Axis(
        label,
        10.0**low,
        10.0**high,
        [(10.0**i, f"{10.0**i:g}") for i in range(low, high + 1)],
        True,
    )


def chart(title: str, x: Axis, y: Axis, series: Sequence[Series], note: str = "") -> Chart:
    """Lays out a picture; points that are no numbers are left out."""

    def across(value: float) -> float:
        return round(LEFT + x.share(value) * (WIDTH - LEFT - RIGHT), 1)

    def up(value: float) -> float:
        return round(HEIGHT - BOTTOM - y.share(value) * (HEIGHT - TOP - BOTTOM), 1)

    drawn: list[Drawn] = []
    shapes = 0
    for one in series:
        marks = [
            Mark(
                across(point.x),
                up(point.y),
                point.says,
                None if point.high is None else up(point.high),
                None if point.low is None else up(point.low),
                point.link,
            )
            for point in one.points
            if math.isfinite(point.x) and math.isfinite(point.y)
        ]
        line = "L".join(f"{mark.x} {mark.y}" for mark in marks)
        shapes += not one.faint
        shape = (shapes - 1) % SHAPES + 1 if not one.faint else SHAPES
        drawn.append(
            Drawn(one.name, shape, f"M{line}" if one.joined and line else "", marks, one.faint)
        )
    return Chart(
        title,
        x,
        y,
        drawn,
        [(across(value), label) for value, label in x.ticks],
        [(up(value), label) for value, label in y.ticks],
        note,
        names=[one for one in drawn if not one.faint] if len(drawn) > 1 else (),
    )
