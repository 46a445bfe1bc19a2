"""Our own generator of lakes: solvable under the lake's own rule, length selectable.

Lakes, starts and goals are drawn until the shortest way to the goal has a length that was asked
for. The way is searched by the environment itself, so it counts slides as its rule does, and on
slippery ice it is the shortest with luck.

The boards are a promise: what this file makes of a seed never changes (tests hold some of them). A
better generator gets another name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from spa_bench.environments.keyed import Keyed

_WORK = 300_000
"""Cells of all lakes tried for one board before it is given up: a second or two."""


def generate(
    seed: int,
    size: int,
    ice: str,
    p_frozen: float,
    shortest: Callable[[Sequence[str]], int | None],
    min_solution: int | None,
    max_solution: int | None,
) -> list[str] | None:
    """Returns the lake as rows of `P_OG`: player, ice, hole, goal; or None if none was found.

    Args:
        seed: of the board.
        size: rows and columns, at least 2.
        ice: as in `FrozenLake`: lakes on different ice are drawn apart.
        p_frozen: the probability that a cell is ice; start and goal never are holes.
        shortest: returns the least number of actions to the goal of a lake, None if there is no
            way.
        min_solution: the shortest way has at least so many actions.
        max_solution: and at most so many.
    """
    chance = Keyed(
        "frozenlake",
        {
            "generator": "spa",
            "size": size,
            "ice": ice,
            "p_frozen": float(p_frozen),
            "min_solution": min_solution,
            "max_solution": max_solution,
        },
        seed,
    )
    for _ in range(max(1, _WORK // size**2)):
        cells = ["_" if chance.chance(p_frozen) else "O" for _ in range(size * size)]
        start = chance.below(size * size)
        goal = (start + 1 + chance.below(size * size - 1)) % (size * size)
        cells[start], cells[goal] = "P", "G"
        rows = ["".join(cells[row * size : (row + 1) * size]) for row in range(size)]
        length = shortest(rows)
        if length is None or length < (min_solution or 1):
            continue
        if max_solution is None or length <= max_solution:
            return rows
    return None
