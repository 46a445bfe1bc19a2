"""Symmetries of boards, for board keys that are equal where boards are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations, product


def rotations_and_reflections(grid: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yields the eight images (group D4) of a rectangle of symbols, one string a row."""
    image = tuple(grid)
    for _ in range(4):
        yield image
        yield image[::-1]
        image = tuple("".join(column) for column in zip(*image[::-1], strict=True))


def sudoku_permutations(box: int) -> Iterator[tuple[int, ...]]:
    """Yields the rearrangements of cells under which every Sudoku stays a Sudoku.

    Rows may change places within their band and bands as a whole, columns and stacks likewise,
    and rows with columns: 2 * (box!)**(2 * box + 2) of them, 128 for 4x4 and 3,359,232 for 9x9.

    Args:
        box: the side of a box, 2 for 4x4.

    Yields:
        For each cell of the image, row by row, the cell of the board that comes to lie there.
    """
    size = box * box
    orders = list(_line_orders(box))
    for rows in orders:
        for cols in orders:
            yield tuple(row * size + col for row in rows for col in cols)
            yield tuple(row * size + col for col in cols for row in rows)


def _line_orders(box: int) -> Iterator[tuple[int, ...]]:
    within = list(permutations(range(box)))
    for bands in within:
        for choice in product(within, repeat=box):
            yield tuple(
                band * box + line
                for band, lines in zip(bands, choice, strict=True)
                for line in lines
            )
