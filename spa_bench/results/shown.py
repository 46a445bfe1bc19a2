"""How shares and counts are written: shares in percent with their interval, a dash for nothing."""

from __future__ import annotations

import math
from typing import Protocol


class Share(Protocol):
    """A share and, as far as it is known, its interval; what is not known is None or NaN."""

    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def counted(number: int, noun: str) -> str:
    """Returns a number of things, such as `1 episode` or `3 episodes`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def missing(value: float | None) -> bool:
    """Returns whether there is nothing to say."""
    return value is None or math.isnan(value)


def percent(value: float | None, sign: bool = False) -> str:
    """Returns a share in per cent, such as `37.5`, or `+37.5` with its sign."""
    if value is None or math.isnan(value):
        return "-"
    return f"{100 * value:{'+' if sign else ''}.1f}"


def whole_percent(share: float) -> str:
    """Returns the share of something that happened, such as `37%`, or `<1%`: never `0%`."""
    return f"{round(100 * share) or '<1'}%"


def with_interval(share: Share | None, sign: bool = False) -> str:
    """Returns a share in per cent, with its interval where known: `37.5 [32.4, 42.9]`."""
    if share is None or missing(share.value):
        return "-"
    value = percent(share.value, sign)
    return value if missing(share.low) else f"{value} [{percent(share.low)}, {percent(share.high)}]"


def no_formula(text: str) -> str:
    """Returns a text that a spreadsheet will not compute."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
