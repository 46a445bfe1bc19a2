"""Short cuts that docs/datasheet.md names: rules without a world model, and how often they hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from spa_bench.registry import Registry

PAGE = Path(__file__).parents[2] / "docs" / "datasheet.md"


def places(state: str, what: str) -> list[tuple[int, int]]:
    """Reads the coordinates that follow a word of the description."""
    line = next((line for line in state.splitlines() if line.startswith(what)), "")
    return [(int(row), int(column)) for row, column in re.findall(r"\((\d+), (\d+)\)", line)]


def one_blank_left(fields: Mapping[str, str]) -> str:
    return "1, yes" if len(places(fields["state"], "Empty")) == 1 else "0, no"


def box_next_to_target(fields: Mapping[str, str]) -> str:
    ((row, column),) = places(fields["state"], "Box")
    ((target_row, target_column),) = places(fields["state"], "Target")
    near = abs(row - target_row) + abs(column - target_column) == 1
    return "10.9, yes" if near else "-0.1, no"


def the_box_is_pushed(fields: Mapping[str, str]) -> str:
    boxes = places(fields["state"], "Box")
    return "10.9, yes" if ahead(fields) in boxes else "-0.1, no"


def ahead(fields: Mapping[str, str]) -> tuple[int, int]:
    ((row, column),) = places(fields["state"], "Player")
    down, right = {"Up": (-1, 0), "Down": (1, 0), "Left": (0, -1), "Right": (0, 1)}[
        fields["action"]
    ]
    return row + down, column + right


def no_wall_ahead(fields: Mapping[str, str]) -> str:
    row, column = ahead(fields)
    return "no" if fields["state"].splitlines()[row][column] == "#" else "yes"


def the_cell_is_empty(fields: Mapping[str, str]) -> bool:
    row, column, _ = map(int, fields["action"].split(","))
    return (row, column) in places(fields["state"], "Empty")


def an_empty_cell_is_filled(fields: Mapping[str, str]) -> str:
    return "1, yes" if the_cell_is_empty(fields) else "0, no"


def an_empty_cell_changes(fields: Mapping[str, str]) -> str:
    return "yes" if the_cell_is_empty(fields) else "no"


def what_lies_beside_the_player(fields: Mapping[str, str]) -> str:
    ((row, column),) = places(fields["state"], "Player")

    def beside(what: str) -> bool:
        return any(abs(r - row) + abs(c - column) == 1 for r, c in places(fields["state"], what))

    return "1, yes" if beside("Goal") else "0, yes" if beside("Hole") else "0, no"


def every_blank_can_be_filled(fields: Mapping[str, str]) -> str:
    line = fields["state"].splitlines()[0]
    rows = [row.split() for row in line.split("|") if row.strip()]
    for row, column in places(fields["state"], "Empty"):
        peers = {
            rows[r][c]
            for r in range(4)
            for c in range(4)
            if r == row - 1
            or c == column - 1
            or (r // 2, c // 2) == ((row - 1) // 2, (column - 1) // 2)
        }
        if set("1234") <= peers:
            return "no"
    return "yes"


def box_in_no_corner(fields: Mapping[str, str]) -> str:
    state = fields["state"]
    grid = [line for line in state.splitlines() if line.startswith("#")]
    ((row, column),) = places(state, "Box")
    blocked = [grid[row + d][column] == "#" for d in (-1, 1)]
    beside = [grid[row][column + d] == "#" for d in (-1, 1)]
    return "no" if any(blocked) and any(beside) else "yes"


@cache
def items_of(task: str) -> list[Any]:
    return [board.state.item for board in Registry().load(task).boards[0]]


@pytest.mark.parametrize(
    ("task", "rule", "right", "items"),
    [
        ("sudoku_reward", one_blank_left, 200, 256),
        ("sudoku_reward", an_empty_cell_is_filled, 128, 256),
        ("sokoban_reward", box_next_to_target, 168, 256),
        ("sokoban_reward", the_box_is_pushed, 210, 256),
        ("frozenlake_reward", what_lies_beside_the_player, 220, 347),
        ("sokoban_legality", no_wall_ahead, 244, 256),
        ("sudoku_legality", an_empty_cell_changes, 128, 256),
        ("sokoban_reachability", box_in_no_corner, 140, 184),
        ("sudoku_reachability", every_blank_can_be_filled, 176, 178),
    ],
)
def test_a_short_cut_is_right_as_often_as_the_page_says(
    task: str, rule: Callable[[Mapping[str, str]], str], right: int, items: int
) -> None:
    asked = items_of(task)
    answers = [rule(dict(item.fields)) for item in asked]
    hits = sum(answer == item.right[0][0] for answer, item in zip(answers, asked, strict=True))
    assert (hits, len(asked)) == (right, items)
    said = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"`{task}`" in said
    assert f"{right} of {items} |" in said
