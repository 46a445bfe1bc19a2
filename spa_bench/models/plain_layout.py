"""How a conversation is shown to a model that knows no chat: base models, completions servers.

`### System:`, `### User:` and `### Assistant:` stand on lines of their own, each followed by its
message; a reply ends at the next such line. Every adapter that needs such a layout uses this one.
"""

from __future__ import annotations

from collections.abc import Sequence

from spa_bench.models.model import Message

NAME = "plain/1"
"""Of the layout, in the identity of a run; another layout needs another name."""

STOPS = ("\n### User:", "\n### System:")
"""End a reply: a base model would go on and play the user too."""


def folded(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Returns the messages with the system's at the beginning of the first of the user's.

    For chat templates that know no system message.
    """
    if not messages or messages[0].role != "system":
        return tuple(messages)
    system, first, *others = messages
    return Message("user", f"{system.content}\n\n{first.content}"), *others


def render(messages: Sequence[Message], *, reply: bool = True) -> str:
    """Returns the conversation as text; with `reply`, up to where a reply begins."""
    lines = [f"### {m.role.capitalize()}:\n{m.content}\n" for m in messages]
    return "".join(lines) + ("### Assistant:\n" if reply else "")
