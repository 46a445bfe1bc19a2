"""The published generator of lakes, RAGEN's, bit for bit.

That generator (RAGEN-AI/RAGEN, ragen/env/frozen_lake/utils.py) draws a lake, a start and a goal
from the numpy generator that gymnasium's seeding makes of the seed, until start and goal differ
and a path joins them. This is a new implementation that consumes the same stream. Conformance is
tested on recorded boards.
"""

from __future__ import annotations

import numpy as np


def generate(seed: int, size: int, p_frozen: float) -> list[str]:
    """Returns the lake as rows of `P_OG`: player, ice, hole, goal.

    Args:
        seed: not negative.
        size: rows and columns, at least 2.
        p_frozen: the probability that a cell is ice, in (0, 1]; start and goal never are holes.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    # The original draws cells by `choice` with weights p and 1 - p: a cell is a hole where its
    # uniform number is not below the first of the cumulated, normalised weights.
    threshold = p_frozen / (p_frozen + (1 - p_frozen))
    while True:
        cells = ["O" if u >= threshold else "_" for u in rng.random(size * size).tolist()]
        start_row, start_col = rng.integers(size, size=2).tolist()
        goal_row, goal_col = rng.integers(size, size=2).tolist()
        start, goal = start_row * size + start_col, goal_row * size + goal_col
        if start == goal:
            continue
        cells[start], cells[goal] = "P", "G"
        if _joined(cells, size, start, goal):
            return ["".join(cells[row * size : (row + 1) * size]) for row in range(size)]


def _joined(cells: list[str], size: int, start: int, goal: int) -> bool:
    """Returns whether the goal can be walked to without stepping into a hole."""
    seen, frontier = {start}, [start]
    while frontier:
        here = frontier.pop()
        if here == goal:
            return True
        col = here % size
        for there in (
            here - size,
            here + size,
            here - 1 if col else -1,
            here + 1 if col < size - 1 else -1,
        ):
            if 0 <= there < size * size and cells[there] != "O" and there not in seen:
                seen.add(there)
                frontier.append(there)
    return False
