"""Pulled boxes, sliding ice and shifted regions against small checkers that share no code with us.

Each checker reads a drawn board, knows the rule in its own words, and draws what comes out.
"""

import random

import pytest

from spa_bench.environments.frozenlake import MOVES as LAKE_MOVES
from spa_bench.environments.frozenlake import FrozenLake
from spa_bench.environments.sokoban import MOVES, Sokoban
from spa_bench.environments.sudoku import BLANK, Sudoku

TOWARDS = {"Up": (-1, 0), "Down": (1, 0), "Left": (0, -1), "Right": (0, 1)}


def pulled(board: str, move: str) -> str:
    """What a drawn Sokoban becomes if its boxes are pulled."""
    grid = {(r, c): cell for r, row in enumerate(board.split("\n")) for c, cell in enumerate(row)}
    goals = {at for at, cell in grid.items() if cell in "OS√"}
    boxes = {at for at, cell in grid.items() if cell in "X√"}
    (me,) = (at for at, cell in grid.items() if cell in "PS")
    there = me[0] + TOWARDS[move][0], me[1] + TOWARDS[move][1]
    behind = me[0] - TOWARDS[move][0], me[1] - TOWARDS[move][1]
    if grid[there] != "#" and there not in boxes:
        if behind in boxes:
            boxes = boxes - {behind} | {me}
        me = there

    def cell(at: tuple[int, int]) -> str:
        if grid[at] == "#":
            return "#"
        if at == me:
            return "S" if at in goals else "P"
        return ("√" if at in goals else "X") if at in boxes else "O" if at in goals else "_"

    rows = range(max(r for r, _ in grid) + 1)
    cols = range(max(c for _, c in grid) + 1)
    return "\n".join("".join(cell((r, c)) for c in cols) for r in rows)


@pytest.mark.parametrize("boxes", [1, 3])
def test_five_thousand_pulls_agree_in_state_reward_and_end(boxes: int) -> None:
    world = Sokoban(boxes=boxes, generator="spa", boxes_move="pulled")
    rng = random.Random(boxes)
    compared = moved = seed = 0
    while compared < 5000:
        state = world.initial_state(seed)
        seed += 1
        for _ in range(40):
            move = rng.choice(MOVES)
            before = world.render(state)
            (outcome,) = world.outcomes(state, move)
            after = pulled(before, move)
            assert world.render(outcome.state) == after
            reward = -0.1 + after.count("√") - before.count("√")
            solved = "X" not in after
            assert outcome.reward == pytest.approx(reward + (10 if solved else 0), abs=1e-9)
            assert outcome.terminal == solved
            compared += 1
            moved += outcome.state.boxes != state.boxes
            state = outcome.state
            if outcome.terminal:
                break
    assert moved > 100


def slid(board: str, move: str) -> str:
    """What a drawn lake becomes if nothing but the edge, a hole or the goal stops a slide."""
    rows = [list(row) for row in board.split("\n")]
    ((r, c),) = ((r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell == "P")
    rows[r][c] = "_"
    while rows[r][c] == "_":
        down, right = r + TOWARDS[move][0], c + TOWARDS[move][1]
        if min(down, right) < 0 or max(down, right) >= len(rows):
            break
        r, c = down, right
    rows[r][c] = {"_": "P", "O": "X", "G": "√"}[rows[r][c]]
    return "\n".join("".join(row) for row in rows)


@pytest.mark.parametrize("size", [3, 6])
def test_five_thousand_slides_agree_in_state_reward_and_end(size: int) -> None:
    world = FrozenLake(size=size, ice="sliding", generator="spa")
    rng = random.Random(size)
    compared = seed = 0
    ends: set[str] = set()
    while compared < 5000:
        state = world.initial_state(seed)
        seed += 1
        for _ in range(20):
            move = rng.choice(LAKE_MOVES)
            (outcome,) = world.outcomes(state, move)
            after = slid(world.render(state), move)
            assert world.render(outcome.state) == after
            assert outcome.reward == after.count("√")
            assert outcome.terminal == ("P" not in after)
            ends |= set(after) & set("X√")
            compared += 1
            state = outcome.state
            if outcome.terminal:
                break
    assert ends == {"X", "√"}


REGIONS = ("1221", "1221", "3443", "3443")
"""Which cells belong together, as the task's prompt says."""


def written(cells: str, givens: str, row: int, col: int, digit: str) -> str:
    """What the cells become if a digit is written under the shifted regions."""
    at = row * 4 + col
    for other, own in enumerate(cells):
        r, c = divmod(other, 4)
        sees = r == row or c == col or REGIONS[r][c] == REGIONS[row][col]
        if sees and own == digit:
            return cells
    return cells if givens[at] != BLANK else cells[:at] + digit + cells[at + 1 :]


def test_ten_thousand_writings_agree_under_shifted_regions() -> None:
    world = Sudoku(clues=6, generator="spa", regions="shifted")
    rng = random.Random(0)
    compared = changed = 0
    for seed in range(100):
        state = world.initial_state(seed)
        for _ in range(100):
            action = rng.choice(world.actions(state))
            (outcome,) = world.outcomes(state, action)
            row, col, value = action
            expected = written(state.cells, state.givens, row - 1, col - 1, str(value))
            assert outcome.state == (state.givens, expected)
            assert outcome.terminal == (BLANK not in expected)
            compared += 1
            changed += outcome.state != state
            if outcome.terminal:
                break
            state = outcome.state
    assert compared > 9000
    assert changed > 500
