"""Tables of the docs, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from spa_bench.results.tabulated import tabulated


def markdown(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Returns a table as GitHub reads it, its cells as they are given."""
    return tabulated(headers, rows, "github")
