"""What the tables of the docs have in common: shares in per cent, intervals, Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from tabulate import tabulate

from benchmarks.figures import known


class Estimate(Protocol):
    """A share and, where it is known, its interval."""

    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table as GitHub reads it, its cells as they are given."""
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def percent(value: float | None) -> str:
    """Returns a share in per cent, such as `37.5`; a dash where there is none."""
    return "-" if math.isnan(known(value)) else f"{100 * known(value):.1f}"


def interval(estimate: Estimate, sign: bool = False) -> str:
    """Returns a share with its interval, such as `37.5 [32.4, 42.9]`, as far as they are known."""
    value, low, high = (100 * known(x) for x in (estimate.value, estimate.low, estimate.high))
    if math.isnan(value):
        return "-"
    shown = f"{value:{'+' if sign else ''}.1f}"
    return shown if math.isnan(low) else f"{shown} [{low:.1f}, {high:.1f}]"
