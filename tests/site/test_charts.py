"""Pictures: where things lie."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.site.charts import (
    Chart,
    Point,
    Series,
    chart,
    count_axis,
    log_axis,
    number_axis,
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


@pytest.mark.parametrize("others", [[], [1e6]])
def test_the_least_number_there_is_stands_at_the_end_of_an_axis_of_powers(
    others: list[float],
) -> None:
    axis = log_axis("x", [5e-324, *others])
    assert axis.share(5e-324) == 0
    assert 2 <= len(axis.ticks) <= 20
    assert all(0 < value < math.inf and 0 <= axis.share(value) <= 1 for value, _ in axis.ticks)


@given(st.lists(st.integers(0, 1000), min_size=1))
def test_an_axis_of_counts_holds_its_values_and_few_ticks(values: list[int]) -> None:
    axis = count_axis("x", values)
    assert all(0 <= axis.share(value) <= 1 for value in values)
    assert len(axis.ticks) <= 10
    assert all(re.fullmatch(r"\d[\d,]*", label) for _, label in axis.ticks)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_an_axis_of_numbers_holds_its_values_and_few_ticks(values: list[float]) -> None:
    axis = number_axis("x", values)
    assert all(-1e-6 <= axis.share(value) <= 1 + 1e-6 for value in values)
    assert 2 <= len(axis.ticks) <= 11


def test_names_lie_beside_their_points_and_cover_no_other() -> None:
    some = [Point(0.5, 0.5, "", name="first"), Point(0.52, 0.5, "", name="second")]
    marks = a_chart(*some, Point(0.99, 0.9, "", name="at the edge")).series[0].marks
    first, second, edge = (mark.name for mark in marks)
    assert first is not None
    assert second is not None
    assert edge is not None
    assert abs(first.y - second.y) >= 12 or first.end != second.end
    assert edge.end


def test_a_name_without_room_is_left_out() -> None:
    crowd = [Point(x / 30, y / 30, "", name="crowded") for x in range(31) for y in range(31)]
    names = [mark.name for mark in a_chart(*crowd).series[0].marks]
    assert None in names


def test_lines_to_compare_with_have_looks_of_their_own() -> None:
    point = [Point(0, 0, "")]
    some = [Series("a", point), Series("chance", point, plain=True), Series("b", point)]
    drawn = chart("t", percent_axis("x"), percent_axis("y"), some)
    assert [one.shape for one in drawn.series] == [1, 7, 2]
    assert [one.name for one in drawn.names] == ["a", "chance", "b"]
