"""What to do instead, for arguments that look right to somebody and that we do not take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HINTS: Mapping[str, str] = {
    "Got unexpected extra argument": "an option takes one value: --tasks sokoban,frozenlake",
}
"""How a complaint about arguments begins, and what to do about it."""


def with_hint(error: Any) -> str:
    """Returns what a UsageError of typer's says, with our hint where there is one."""
    message: str = error.format_message()
    hint = next((hint for start, hint in HINTS.items() if message.startswith(start)), None)
    return f"{message}; {hint}" if hint else message
