"""Our own generator of Sudokus: exactly so many clues, one solution, under the board's own regions.

An empty board is filled at random, the tightest cell first, so that every solved board can come up;
then cells are taken away in random order while the solution stays the only one. A puzzle takes as
many actions as it has blanks, no fewer and no more, so `clues` selects the length of the solution.

The boards are a promise: what this file makes of a seed never changes (tests hold some of them). A
better generator gets another name.
"""

from __future__ import annotations

from spa_bench.environments.keyed import Keyed
from spa_bench.environments.sudoku_regions import BLANK, Regions, peer_masks, take_away

_FILLINGS = 200
"""Solved boards tried for one puzzle before it is given up: for 9x9 a few seconds."""

_TRIED = 2_000
"""Cells filled for one of them before another is begun."""


def generate(seed: int, box: int, clues: int, regions: Regions) -> str | None:
    """Returns a puzzle, digits and `.` row by row, or None if none was found.

    Args:
        seed: of the board.
        box: the side of a box, 2 for 4x4, 3 for 9x9.
        clues: how many cells stay filled, exactly.
        regions: as in `Sudoku`.
    """
    parameters = {"generator": "spa", "box": box, "clues": clues, "regions": regions}
    chance = Keyed("sudoku", parameters, seed)
    peers = peer_masks(box, regions)
    for _ in range(_FILLINGS):
        solved = _filled(chance, box * box, peers)
        if solved is None:
            continue
        order = list(range(len(peers)))
        chance.shuffle(order)
        puzzle = take_away(solved, order, clues, peers)
        if len(puzzle) - puzzle.count(BLANK) == clues:
            return puzzle
    return None


def _filled(chance: Keyed, size: int, peers: tuple[int, ...]) -> list[int] | None:
    """Returns a random solved board, or None if the search went astray."""
    # what may stand in each cell, as bits; a board of the search is such a list
    stack = [([(1 << size) - 1] * len(peers), frozenset[int]())]
    for _ in range(_TRIED):
        if not stack:
            return None
        free, filled = stack.pop()
        open_cells = [cell for cell in range(len(peers)) if cell not in filled]
        if not open_cells:
            return [digits.bit_length() - 1 for digits in free]
        cell = min(open_cells, key=lambda cell: free[cell].bit_count())
        digits = [digit for digit in range(size) if free[cell] >> digit & 1]
        chance.shuffle(digits)
        for digit in digits:
            bit = 1 << digit
            left = [
                bit if other == cell else may & ~bit if peers[cell] >> other & 1 else may
                for other, may in enumerate(free)
            ]
            if all(left):
                stack.append((left, filled | {cell}))
    return None
