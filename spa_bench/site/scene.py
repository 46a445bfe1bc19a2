"""How a world is drawn: the part of a board that stays, and the facts that move on it.

Boards are drawn in the browser, from facts, so that what a model believes is drawn just like what
is true. Worlds that are not known here are shown as the text that models see.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Any, Literal, TypeAlias

from spa_bench.environments.environment import AnyEnvironment
from spa_bench.environments.frozenlake import FrozenLake
from spa_bench.environments.sokoban import Sokoban
from spa_bench.environments.sudoku import Sudoku
from spa_bench.environments.sudoku_regions import unshifted
from spa_bench.runner.record import LoggedFacts

Cell: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is drawn below the facts.

    Attributes:
        world: which drawing; `text` shows each state as it was written for the model.
        rows, cols: cells; 0 for `text`.
        origin: the number of the first row and column in positions.
        ground: a string a row: `#` a wall, `.` ground; of Sudoku the digits given.
        regions: a string a row, one letter a region, where digits must not repeat in a region.
        symbols: how digits are written, from 1.
    """

    world: Literal["sokoban", "frozenlake", "sudoku", "text"]
    rows: int = 0
    cols: int = 0
    origin: int = 0
    ground: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    symbols: str = ""


TEXT = Scene(world="text")


def scene_of(environment: AnyEnvironment, start: Any) -> Scene:
    """Returns what is drawn below the facts of an episode that began in `start`."""
    match environment:
        case Sokoban():
            rows = start.room.replace("O", ".").replace("_", ".").split("\n")
            return Scene(world="sokoban", rows=len(rows), cols=len(rows[0]), ground=tuple(rows))
        case FrozenLake():
            size = environment.size
            return Scene(world="frozenlake", rows=size, cols=size, ground=("." * size,) * size)
        case Sudoku():
            size = environment.size
            cells = range(0, size * size, size)
            regions = _regions(environment)
            return Scene(
                world="sudoku",
                rows=size,
                cols=size,
                origin=1,
                ground=tuple(start.givens[i : i + size] for i in cells),
                regions=tuple(regions[i : i + size] for i in cells),
                symbols=environment.symbols[:size],
            )
        case _:
            return TEXT


def differing(believed: LoggedFacts, true: LoggedFacts) -> list[Cell]:
    """Returns the positions of which a belief says something wrong, or wrongly nothing.

    Only kinds of objects that the belief speaks of are marked: coordinates of Sudoku, say, name
    the empty cells and leave out the digits.
    """
    places: set[Cell] = set()
    for kind, said in believed.items():
        wrong = {tuple(place) for place in said} ^ {tuple(place) for place in true.get(kind, [])}
        # a log may hold anything that is JSON
        places |= {
            (row, col)
            for row, col, *_ in (place for place in wrong if len(place) >= 2)
            if isinstance(row, int) and isinstance(col, int)
        }
    return sorted(places)


def _regions(environment: Sudoku) -> str:
    """Returns a letter for each cell, row by row: equal for cells of one region."""
    size, box = environment.size, isqrt(environment.size)
    letters = [""] * size**2
    for usual, cell in enumerate(unshifted(box, environment.regions)):
        row, col = divmod(usual, size)
        letters[cell] = "abcdefghi"[row // box * box + col // box]
    return "".join(letters)
