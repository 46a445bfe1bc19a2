"""Pictures: where things lie."""

from __future__ import annotations

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from spa_bench.site.charts import (
    Chart,
    Point,
    Series,
    chart,
    count_axis,
    log_axis,
    percent_axis,
)


def a_chart(*points: Point, name: str = "one") -> Chart:
    return chart("title", percent_axis("x"), percent_axis("y"), [Series(name, points)])


def test_the_corners_lie_in_the_corners() -> None:
    drawn = a_chart(Point(0, 0, "low"), Point(1, 1, "high"))
    low, high = drawn.series[0].marks
    assert (low.x, low.y) == (drawn.left, drawn.bottom)
    assert (high.x, high.y) == (drawn.right, drawn.top)


def test_what_is_no_number_is_left_out() -> None:
    drawn = a_chart(Point(0.5, math.nan, "nothing"), Point(math.inf, 0.5, "nothing"))
    assert drawn.series[0].marks == []
    assert drawn.series[0].path == ""


def test_series_differ_in_shape_and_faint_ones_do_not_use_one_up() -> None:
    some = [Series(str(i), [Point(0, 0, "")], faint=i == 0) for i in range(4)]
    drawn = chart("t", percent_axis("x"), percent_axis("y"), some)
    assert [one.shape for one in drawn.series if not one.faint] == [1, 2, 3]
    assert [one.name for one in drawn.names] == ["1", "2", "3"]


@given(st.lists(st.floats(1e-6, 1e6), min_size=1))
def test_an_axis_of_powers_holds_its_values(values: list[float]) -> None:
    axis = log_axis("x", values)
    assert all(-1e-9 <= axis.share(value) <= 1 + 1e-9 for value in values)
    assert len(axis.ticks) >= 2


@given(st.lists(st.integers(0, 1000), min_size=1))
def test_an_axis_of_counts_holds_its_values_and_few_ticks(values: list[int]) -> None:
    axis = count_axis("x", values)
    assert all(0 <= axis.share(value) <= 1 for value in values)
    assert len(axis.ticks) <= 10
    assert all(re.fullmatch(r"\d+", label) for _, label in axis.ticks)
