"""The published generator of Sudokus, RAGEN's, bit for bit.

That generator (mll-lab-nu/RAGEN, branch dev-1116, ragen/env/sudoku/env.py) shuffles a solved board
and takes cells away in random order, each only if the solution stays unique, until so many clues
are left. It counts solutions from scratch, and goes over the cells up to eight times more if clues
are left over, which changes nothing. This is a new implementation that consumes the same
`random.Random(seed)` and reaches the same boards by a faster test. Conformance is tested on
recorded boards.
"""

from __future__ import annotations

import random

from spa_bench.environments.sudoku_regions import peer_masks, take_away


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
    return take_away(solved, order, clues, peer_masks(box))


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
