"""The published generator of Sudokus, RAGEN's, bit for bit.

That generator (mll-lab-nu/RAGEN, branch dev-1116, ragen/env/sudoku/env.py) shuffles a solved board
and takes cells away in random order, each only if the solution stays unique, until so many clues
are left. This is a new implementation that consumes the same `random.Random(seed)` and reaches the
same boards by a faster test. Conformance is tested on recorded boards.
"""

from __future__ import annotations

import random
from functools import cache

BLANK = "."


def generate(seed: int, box: int, clues: int) -> str:
    """Returns a puzzle with one solution: digits and `.`, row by row.

    Where no further cell can be taken away it has more clues than asked for.

    Args:
        seed: of Python's generator.
        box: the side of a box, 2 for 4x4, 3 for 9x9.
        clues: how many cells are to stay filled.
    """
    rng = random.Random(seed)
    size = box * box
    solved = _solved_board(rng, box)
    order = list(range(size * size))
    rng.shuffle(order)
    return _take_away(solved, order, box, clues)


def _solved_board(rng: random.Random, box: int) -> list[int]:
    """Returns the digits, from 0, of a shuffled standard board."""
    size = box * box
    rows, cols = _line_order(rng, box), _line_order(rng, box)
    digits = list(range(size))
    rng.shuffle(digits)
    return [digits[(row * box + row // box + col) % size] for row in rows for col in cols]


def _line_order(rng: random.Random, box: int) -> list[int]:
    bands = list(range(box))
    rng.shuffle(bands)
    lines: list[int] = []
    for band in bands:
        within = list(range(band * box, (band + 1) * box))
        rng.shuffle(within)
        lines += within
    return lines


def _take_away(solved: list[int], order: list[int], box: int, clues: int) -> str:
    """Takes cells away in `order` as long as the puzzle keeps its one solution.

    The original counts solutions from scratch. But every solution of the smaller puzzle that is
    not the known one has another digit in the cell just emptied, so it is enough to look for
    those. The original also goes over the cells up to eight times more if clues are left over;
    that changes nothing, since what is needed with more clues is needed with fewer.
    """
    peers = peer_masks(box)
    size = box * box
    everywhere = (1 << (size * size)) - 1
    clued = everywhere
    placed = [sum(1 << i for i, own in enumerate(solved) if own == d) for d in range(size)]
    reach = [_reach(where, peers) for where in placed]
    for cell in order:
        if clued.bit_count() <= clues:
            break
        digit, bit = solved[cell], 1 << cell
        left = placed[digit] ^ bit
        reached = _reach(left, peers)
        clued ^= bit
        blank = everywhere ^ clued
        candidates = [
            where | (blank & ~covered) for where, covered in zip(placed, reach, strict=True)
        ]
        candidates[digit] = left | (blank & ~bit & ~reached)
        if _has_solution(candidates, clued, everywhere, peers):
            clued ^= bit
        else:
            placed[digit], reach[digit] = left, reached
    return "".join(str(d + 1) if clued >> i & 1 else BLANK for i, d in enumerate(solved))


def _has_solution(
    candidates: list[int], settled: int, everywhere: int, peers: tuple[int, ...]
) -> bool:
    """Returns whether a board can be completed; changes `candidates`.

    Args:
        candidates: for each digit, the set of cells (bits) where it may still stand.
        settled: the cells whose digit is known and already ruled out around it.
        everywhere: all cells.
        peers: for each cell, the cells that share a row, column or box with it.
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
                candidates[digit] = where & ~_reach(found, peers)
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


def _reach(cells: int, peers: tuple[int, ...]) -> int:
    """Returns the cells that see any of `cells`."""
    reached = 0
    while cells:
        bit = cells & -cells
        reached |= peers[bit.bit_length() - 1]
        cells ^= bit
    return reached


@cache
def peer_masks(box: int) -> tuple[int, ...]:
    """Returns for each cell, row by row, the others in its row, column and box, as bits."""
    size = box * box
    places = [divmod(i, size) for i in range(size * size)]
    return tuple(
        sum(
            1 << j
            for j, (r, c) in enumerate(places)
            if (r, c) != (row, col)
            and (r == row or c == col or (r // box, c // box) == (row // box, col // box))
        )
        for row, col in places
    )
