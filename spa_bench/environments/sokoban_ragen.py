"""The published board generator of RAGEN (RAGEN-AI/RAGEN, ragen/env/sokoban/utils.py), bit for bit.

That generator draws from two global streams, Python's `random` and `numpy.random`, both seeded
with the board's seed, and searches depth first for the start that is hardest to undo. This is a
new implementation over two local streams that consumes them in the same order. Conformance is
tested on recorded boards. Where the original raises, it continues from a seed taken from
`hash(str(seed))`, which differs between processes: such a seed has no published board.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import NamedTuple

import numpy as np

_MASKS = (
    ((1, 0), (1, 1), (1, 2)),
    ((0, 1), (1, 1), (2, 1)),
    ((1, 0), (1, 1), (2, 1)),
    ((1, 0), (1, 1), (2, 0), (2, 1)),
    ((1, 1), (1, 2), (2, 1)),
)
"""Cells a step of the random walk opens, within the 3x3 around the walker."""

_WALK = ((1, 0), (0, 1), (-1, 0), (0, -1))
_TURN_PROBABILITY = 0.35
_TRIES = 4
_STATE_LIMIT = 300_000


class _Room(NamedTuple):
    """A room during the search, over cells numbered row by row; box i belongs to target i."""

    player: int
    boxes: tuple[int, ...]


@lru_cache(maxsize=4096)  # tasks share the paper's boards, and a board takes milliseconds
def generate(
    seed: int, rows: int, cols: int, boxes: int, search_depth: int
) -> tuple[str, ...] | None:
    """Returns the board as rows of `#_O√XPS`, or None where the published generator raises.

    Args:
        seed: between 0 and 2**32 - 1.
        search_depth: of the search for the start position.
    """
    rng, np_rng = random.Random(seed), np.random.RandomState(seed)
    for _ in range(_TRIES):
        floor = _dig(rng, rows, cols, steps=int(1.7 * (rows + cols)))
        placed = _place(np_rng, floor, boxes)
        if placed is None:
            return None
        player, targets = placed
        start = _hardest_start(floor, cols, player, targets, search_depth)
        displacement = sum(
            _distance(target, box, cols) for target, box in zip(targets, start.boxes, strict=True)
        )
        if displacement > 0:
            moved = _stroll(rng, floor, cols, start, 0.8 if displacement == 1 else 0.5)
            return _draw(floor, rows, cols, moved, targets)
    return None


def _dig(rng: random.Random, rows: int, cols: int, steps: int) -> frozenset[int]:
    """Returns the floor cells opened by a random walk."""
    opened: set[tuple[int, int]] = set()
    direction = rng.sample(_WALK, 1)[0]
    row, col = rng.randint(1, rows - 1), rng.randint(1, cols - 1)
    for _ in range(steps):
        if rng.random() < _TURN_PROBABILITY:
            direction = rng.sample(_WALK, 1)[0]
        row = max(min(row + direction[0], rows - 2), 1)
        col = max(min(col + direction[1], cols - 2), 1)
        mask = rng.sample(_MASKS, 1)[0]
        opened.update((row - 1 + r, col - 1 + c) for r, c in mask)
    return frozenset(r * cols + c for r, c in opened if 0 < r < rows - 1 and 0 < c < cols - 1)


def _place(
    np_rng: np.random.RandomState, floor: frozenset[int], boxes: int
) -> tuple[int, tuple[int, ...]] | None:
    """Returns the player's cell and the targets in row order, or None if there is no room."""
    free = sorted(floor)
    if len(free) <= boxes + 1:
        return None
    player = free.pop(np_rng.randint(len(free)))
    targets = [free.pop(np_rng.randint(len(free))) for _ in range(boxes)]
    return player, tuple(sorted(targets))


def _hardest_start(
    floor: frozenset[int], cols: int, player: int, targets: tuple[int, ...], depth: int
) -> _Room:
    """Plays backwards (the player pulls boxes off their targets) and returns the best room found.

    The score of a room is box changes x total displacement, and 0 where a target is covered. The
    search is depth first in the order up, down, left, right and visits no room twice; what counts
    as the same room ignores which box is which.
    """
    best = _Room(player, targets)
    best_score = -1
    explored: set[tuple[int, frozenset[int], frozenset[int]]] = set()
    target_set = frozenset(targets)
    # A box that has been pulled is marked differently from one that has not, also where it
    # has come back onto a target: the original tells such rooms apart, and so must the search.
    stack = [(_Room(player, targets), frozenset[int](), 0, -1, depth)]
    while stack:
        room, pulled, changes, last, left = stack.pop()
        left -= 1
        if left <= 0 or len(explored) >= _STATE_LIMIT:
            continue
        occupied = frozenset(room.boxes)
        key = (room.player, occupied, pulled)
        if key in explored:
            continue
        covered = not target_set.isdisjoint(occupied) or room.player in target_set
        score = 0
        if not covered:
            score = changes * sum(
                _distance(t, b, cols) for t, b in zip(targets, room.boxes, strict=True)
            )
        if score > best_score:
            best, best_score = room, score
        explored.add(key)
        for step in (1, -1, cols, -cols):  # last in, first out
            ahead, behind = room.player + step, room.player - step
            if ahead not in floor or ahead in occupied:
                continue
            if behind not in occupied:
                stack.append((_Room(ahead, room.boxes), pulled, changes, last, left))
                continue
            index = room.boxes.index(behind)
            boxes = (*room.boxes[:index], room.player, *room.boxes[index + 1 :])
            now_pulled = (pulled - {behind}) | {room.player}
            stack.append((_Room(ahead, boxes), now_pulled, changes + (index != last), index, left))
    return best


def _stroll(
    rng: random.Random, floor: frozenset[int], cols: int, room: _Room, probability: float
) -> _Room:
    """Walks the player up to three cells away, never back, so that it does not start at a box."""
    if rng.random() > probability:
        return room
    player, seen = room.player, {room.player}
    for step in range(3):
        free = [
            player + d
            for d in (-cols, cols, -1, 1)
            if player + d in floor and player + d not in room.boxes and player + d not in seen
        ]
        if not free:
            break
        player = rng.choice(free)
        seen.add(player)
        if step == 2 or rng.random() > 0.5:
            break
    return _Room(player, room.boxes)


def _distance(a: int, b: int, cols: int) -> int:
    return abs(a // cols - b // cols) + abs(a % cols - b % cols)


def _draw(
    floor: frozenset[int], rows: int, cols: int, room: _Room, targets: tuple[int, ...]
) -> tuple[str, ...]:
    cells = ["_" if cell in floor else "#" for cell in range(rows * cols)]
    for target in targets:
        cells[target] = "O"
    for box in room.boxes:
        cells[box] = "√" if box in targets else "X"
    cells[room.player] = "S" if room.player in targets else "P"
    return tuple("".join(cells[row * cols : (row + 1) * cols]) for row in range(rows))
