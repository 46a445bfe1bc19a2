"""Pictures as inline SVG: where everything lies. `_chart.html` draws it.

Own code and not matplotlib: a page's pictures follow its light or dark theme, take its fonts, name
each point to who hovers and each link to who listens, and weigh a few kilobytes. Series differ in
shape and dash as well as in colour, so they can be told apart in grey.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

WIDTH, HEIGHT = 400, 270
LEFT, RIGHT, TOP, BOTTOM = 56, 20, 12, 46
SHAPES = 6
"""So many series look different; more repeat."""
PLAIN = 2
"""And so many of those without marks, which are counted on from there."""

_LETTER, _LINE = 5.8, 12.0
"""Width and height of a letter of a point's name, about."""


@dataclass(frozen=True)
class Point:
    """One value, with its interval where there is one.

    Attributes:
        says: is shown on hover, and read out where the point is a link.
        name: stands beside it, if there is room.
    """

    x: float
    y: float
    says: str
    low: float | None = None
    high: float | None = None
    link: str | None = None
    name: str = ""


@dataclass(frozen=True)
class Series:
    """Points of one kind; joined by a line if `joined`.

    Attributes:
        faint: one of many behind the others, which is not named.
        plain: a line without marks that others are compared with, such as chance.
    """

    name: str
    points: Sequence[Point]
    joined: bool = True
    faint: bool = False
    plain: bool = False


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
class Name:
    """A point's name as drawn."""

    x: float
    y: float
    text: str
    end: bool


@dataclass(frozen=True)
class Mark:
    """A point as drawn: its place, and the ends of its interval."""

    x: float
    y: float
    says: str
    top: float | None
    bottom: float | None
    link: str | None
    name: Name | None = None


@dataclass(frozen=True)
class Drawn:
    """A series as drawn; `shape` is from 1."""

    name: str
    shape: int
    path: str
    marks: Sequence[Mark]
    faint: bool
    plain: bool


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

    @property
    def linked(self) -> bool:
        """Whether points lead somewhere: then it is no single image to who listens."""
        return any(mark.link for one in self.series for mark in one.marks)


def percent_axis(label: str) -> Axis:
    """Returns the axis of a share, in percent."""
    return Axis(label, 0, 1, [(i / 4, str(25 * i)) for i in range(5)])


def count_axis(label: str, values: Sequence[float]) -> Axis:
    """Returns an axis of whole numbers that reaches from the least value to the greatest."""
    least, most = math.floor(min(values, default=0)), math.ceil(max(values, default=1))
    step = max(1, round(_step(most - least)))
    first = least if most - least <= _TICKS else -(-least // step) * step
    ticks = [(float(i), f"{i:,}") for i in range(first, most + 1, step)]
    edge = max(0.25, (most - least) / 40)
    return Axis(label, least - edge, most + edge if most > least else least + 1, ticks)


def number_axis(label: str, values: Sequence[float]) -> Axis:
    """Returns an axis of any numbers, with round ones beside it."""
    least, most = min(values, default=0.0), max(values, default=1.0)
    step = _step(most - least or abs(most) or 1.0)
    low, high = math.floor(least / step), max(math.ceil(most / step), math.floor(least / step) + 1)
    ticks = [(i * step, f"{i * step:,.6g}") for i in range(low, high + 1)]
    return Axis(label, low * step, high * step, ticks)


_TICKS = 8


def _step(span: float) -> float:
    """Returns the least of 1, 2 and 5 times a power of ten of which a span holds few."""
    power = 10.0 ** math.floor(math.log10(max(span, 1e-9) / _TICKS))
    return next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= _TICKS)


_LEAST_POWER = -12
"""Of ten; what is below stands at the axis's end."""


def log_axis(label: str, values: Sequence[float]) -> Axis:
    """Returns an axis of powers of ten around positive values."""
    low = max(math.floor(math.log10(min(values))), _LEAST_POWER)
    high = max(math.ceil(math.log10(max(values))), low + 1)
    return Axis(
        label,
        10.0**low,
        10.0**high,
        [(10.0**i, f"{10**i:,}" if i >= 0 else f"{10.0**i:g}") for i in range(low, high + 1)],
        True,
    )


def chart(
    title: str,
    x: Axis,
    y: Axis,
    series: Sequence[Series],
    note: str = "",
    legend: bool = False,
) -> Chart:
    """Lays out a picture; points that are no numbers are left out.

    Args:
        legend: also where there is one series only, whose name the title does not say.
    """

    def across(value: float) -> float:
        return round(LEFT + x.share(value) * (WIDTH - LEFT - RIGHT), 1)

    def up(value: float) -> float:
        return round(HEIGHT - BOTTOM - y.share(value) * (HEIGHT - TOP - BOTTOM), 1)

    def mark(point: Point) -> Mark:
        top = None if point.high is None else up(point.high)
        bottom = None if point.low is None else up(point.low)
        return Mark(across(point.x), up(point.y), point.says, top, bottom, point.link)

    drawn: list[Drawn] = []
    shapes = plains = 0
    for one in series:
        points = [p for p in one.points if math.isfinite(p.x) and math.isfinite(p.y)]
        marks = [mark(point) for point in points]
        line = "L".join(f"{mark.x} {mark.y}" for mark in marks)
        if one.plain:
            shape = SHAPES + 1 + plains % PLAIN
        else:
            shape = shapes % SHAPES + 1 if not one.faint else SHAPES
        plains += one.plain
        shapes += not one.faint and not one.plain
        path = f"M{line}" if one.joined and line else ""
        drawn.append(Drawn(one.name, shape, path, marks, one.faint, one.plain))
    drawn = _named(drawn, series)
    return Chart(
        title,
        x,
        y,
        drawn,
        [(across(value), label) for value, label in x.ticks],
        [(up(value), label) for value, label in y.ticks],
        note,
        names=[one for one in drawn if not one.faint] if len(drawn) > 1 or legend else (),
    )


def _named(drawn: Sequence[Drawn], series: Sequence[Series]) -> list[Drawn]:
    """Puts the names of points beside their marks, each where it covers nothing, or nowhere."""
    taken = [(m.x - 5, m.y - 5, m.x + 5, m.y + 5) for one in drawn for m in one.marks]
    found: list[Drawn] = []
    for one, own in zip(drawn, series, strict=True):
        points = [p for p in own.points if math.isfinite(p.x) and math.isfinite(p.y)]
        marks: list[Mark] = []
        for mark, point in zip(one.marks, points, strict=True):
            name = _beside(mark, point.name, taken) if point.name else None
            marks.append(replace(mark, name=name))
        found.append(replace(one, marks=marks))
    return found


def _beside(mark: Mark, text: str, taken: list[tuple[float, float, float, float]]) -> Name | None:
    """Returns a free place for a name, and takes it; None if there is none."""
    wide = _LETTER * len(text)
    for down in (0.0, -_LINE, _LINE, -2 * _LINE, 2 * _LINE):
        for end in (False, True):
            x = round(mark.x - 8 if end else mark.x + 8, 1)
            y = round(mark.y + down, 1)
            left = x - wide if end else x
            box = (left, y - _LINE / 2, left + wide, y + _LINE / 2)
            inside = box[0] >= LEFT and box[2] <= WIDTH and box[1] >= TOP / 2
            inside = inside and box[3] <= HEIGHT - BOTTOM
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                return Name(x, y, text, end)
    return None


def _overlap(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> bool:
    across = one[0] < other[2] and other[0] < one[2]
    return across and one[1] < other[3] and other[1] < one[3]
