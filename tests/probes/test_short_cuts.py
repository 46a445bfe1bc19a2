"""Short cuts that docs/datasheet.md names: rules without a world model, and how often they hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from spa_bench.registry import Registry

PAGE = Path(__file__).parents[2] / "docs" / "datasheet.md"


def places(state: str, what: str) -> list[tuple[int, int]]:
    """Reads the coordinates that follow a word of the description."""
    line = next(line for line in state.splitlines() if line.startswith(what))
    return [(int(row), int(column)) for row, column in re.findall(r"\((\d+), (\d+)\)", line)]


def one_blank_left(fields: Mapping[str, str]) -> str:
    return "1, yes" if len(places(fields["state"], "Empty")) == 1 else "0, no"


def box_next_to_target(fields: Mapping[str, str]) -> str:
    ((row, column),) = places(fields["state"], "Box")
    ((target_row, target_column),) = places(fields["state"], "Target")
    near = abs(row - target_row) + abs(column - target_column) == 1
    return "10.9, yes" if near else "-0.1, no"


def box_in_no_corner(fields: Mapping[str, str]) -> str:
    state = fields["state"]
    grid = [line for line in state.splitlines() if line.startswith("#")]
    ((row, column),) = places(state, "Box")
    blocked = [grid[row + d][column] == "#" for d in (-1, 1)]
    beside = [grid[row][column + d] == "#" for d in (-1, 1)]
    return "no" if any(blocked) and any(beside) else "yes"


@pytest.mark.parametrize(
    ("task", "rule", "right", "items"),
    [
        ("sudoku_reward", one_blank_left, 256, 256),
        ("sokoban_reward", box_next_to_target, 187, 256),
        ("sokoban_reachability", box_in_no_corner, 159, 184),
    ],
)
def test_a_short_cut_is_right_as_often_as_the_page_says(
    task: str, rule: Callable[[Mapping[str, str]], str], right: int, items: int
) -> None:
    asked = [board.state.item for board in Registry().load(task).boards[0]]
    answers = [rule(dict(item.fields)) for item in asked]
    hits = sum(answer == item.right[0][0] for answer, item in zip(answers, asked, strict=True))
    assert (hits, len(asked)) == (right, items)
    said = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"`{task}`" in said
    assert str(right) in said
