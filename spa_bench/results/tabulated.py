"""Tables of results, to be read in a terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate


def tabulated(
    headers: Sequence[str], rows: Iterable[Sequence[object]], style: str = "simple"
) -> str:
    """Returns a table, its cells as they are given.

    Args:
        style: tabulate's. In `github`, Markdown, a bar in a cell is escaped, so that no name of a
            model adds a column.
    """
    cells = [list(row) for row in rows]
    if style == "github":
        cells = [[str(cell).replace("|", "\\|") for cell in row] for row in cells]
    return tabulate(cells, headers=headers, tablefmt=style, disable_numparse=True)
