"""Tables of the docs, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate


def markdown(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Returns a table as GitHub reads it, its cells as they are given."""
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)
