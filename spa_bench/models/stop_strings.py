"""Where a reply ends."""

from __future__ import annotations

from collections.abc import Sequence


def cut(text: str, stops: Sequence[str]) -> str:
    """Returns `text` up to the first of the stop strings."""
    return text[
        : min((at for stop in stops if stop and (at := text.find(stop)) >= 0), default=None)
    ]
