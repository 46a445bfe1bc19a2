"""Which cells of a Sudoku see each other, and puzzles that have one solution.

Sets of cells are whole numbers: bit i is cell i, row by row. Digits count from 0 here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal, TypeAlias

BLANK = "."

Regions: TypeAlias = Literal["boxes", "shifted"]
"""What beside rows and columns must hold every digit.

`boxes`: the usual boxes. `shifted`: boxes of the same size that lie one column further to the
right; those that reach over the edge go on at the left, so in 4x4 columns 2 and 3 belong together,
and columns 4 and 1. Shifting the columns back makes it a usual Sudoku, so there are as many puzzles
and they are as hard. (The two long diagonals as regions would hide their own rule: all 48 boards of
4x4 that obey it obey the usual boxes as well, but only 96 of the 288 shifted ones do.)
"""


def unshifted(box: int, regions: Regions) -> tuple[int, ...]:
    """Returns for each cell, row by row, which cell of a board comes there to make boxes usual."""
    size = box * box
    shift = 1 if regions == "shifted" else 0
    return tuple(row * size + (col + shift) % size for row in range(size) for col in range(size))


@cache
def peer_masks(box: int, regions: Regions = "boxes") -> tuple[int, ...]:
    """Returns for each cell the others in its row, column and region."""
    size = box * box
    shift = 1 if regions == "shifted" else 0
    places = [
        (row, col, (row // box, (col - shift) % size // box))
        for row in range(size)
        for col in range(size)
    ]
    return tuple(
        sum(
            1 << other
            for other, (r, c, region) in enumerate(places)
            if other != cell and (r == row or c == col or region == own)
        )
        for cell, (row, col, own) in enumerate(places)
    )


def take_away(
    solved: Sequence[int], order: Sequence[int], clues: int, peers: tuple[int, ...]
) -> str:
    """Takes cells away in `order`, each only if the puzzle keeps its one solution.

    Every solution of the smaller puzzle that is not the known one has another digit in the cell
    just emptied, so it is enough to look for those. To go over the cells again would change
    nothing: what is needed with more clues is needed with fewer.

    Args:
        solved: the digit of each cell.
        order: of the cells.
        clues: how many to leave; more are left where no further cell can be taken.
        peers: what each cell sees.

    Returns:
        The puzzle: digits from 1, and `.` for a blank.
    """
    size = max(solved) + 1
    everywhere = (1 << len(solved)) - 1
    clued = everywhere
    placed = [sum(1 << i for i, own in enumerate(solved) if own == d) for d in range(size)]
    reaches = [reach(where, peers) for where in placed]
    for cell in order:
        if clued.bit_count() <= clues:
            break
        digit, bit = solved[cell], 1 << cell
        left = placed[digit] ^ bit
        reached = reach(left, peers)
        clued ^= bit
        blank = everywhere ^ clued
        candidates = [
            where | (blank & ~covered) for where, covered in zip(placed, reaches, strict=True)
        ]
        candidates[digit] = left | (blank & ~bit & ~reached)
        if _has_solution(candidates, clued, everywhere, peers):
            clued ^= bit
        else:
            placed[digit], reaches[digit] = left, reached
    return "".join(str(d + 1) if clued >> i & 1 else BLANK for i, d in enumerate(solved))


def _has_solution(
    candidates: list[int], settled: int, everywhere: int, peers: tuple[int, ...]
) -> bool:
    """Returns whether a board can be completed; changes `candidates`.

    Args:
        candidates: for each digit, the set of cells where it may still stand.
        settled: the cells whose digit is known and already ruled out around it.
        everywhere: all cells.
        peers: what each cell sees.
    """
    while True:
        once = twice = more = 0
        for where in candidates:
            more |= twice & where
            twice |= once & where
            once |= where
        if once != everywhere:
            return False
        singles = once & ~(twice | settled)
        if not singles:
            break
        for digit, where in enumerate(candidates):
            found = where & singles
            if found:
                # Two singles in each other's way rule each other out here: the next pass sees it.
                candidates[digit] = where & ~reach(found, peers)
        settled |= singles
    if not twice:
        return True
    open_cells = (twice & ~more) or twice
    bit = open_cells & -open_cells
    for digit, where in enumerate(candidates):
        if where & bit:
            trial = [other & ~bit for other in candidates]
            trial[digit] = where
            if _has_solution(trial, settled, everywhere, peers):
                return True
    return False


def reach(cells: int, peers: tuple[int, ...]) -> int:
    """Returns the cells that see any of `cells`."""
    reached = 0
    while cells:
        bit = cells & -cells
        reached |= peers[bit.bit_length() - 1]
        cells ^= bit
    return reached
