"""What to do instead, for arguments that look right to somebody and that we do not take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HINTS: Mapping[str, str] = {
    "Got unexpected extra argument": "an option takes one value: --tasks sokoban,frozenlake",
    **{
        f"No such command {name!r}": f"did you mean spa-bench leaderboard {name}?"
        for name in ("pack", "verify", "build", "export", "publish")
    },
    # options of lm-eval's, as in docs/models.md
    "No such option: --log-samples": "the run folder always has every reply, in episodes.jsonl",
    "No such option: --output-path": "write --output RUN",
    "No such option: --apply-chat-template": (
        "a model's chat template is always applied; --model-args chat_template=none omits it"
    ),
    "No such option: --num-fewshot": "no examples are added; a task file can have its own prompt",
    "No such option: --predict-only": (
        "replies are scored as they are played; `spa-bench results RUN` scores the log again"
    ),
    "No such option: --wandb-args": "log the run folder's results.json yourself",
    "Invalid value for '--batch-size'": "without this option it is chosen for you",
}
"""How a complaint about arguments begins, and what to do about it."""


def with_hint(error: Any) -> str:
    """Returns what a UsageError of typer's says, with our hint where there is one."""
    message: str = error.format_message()
    hint = next((hint for start, hint in HINTS.items() if message.startswith(start)), None)
    if hint is None:
        return message
    error.possibilities = None  # options that are merely spelt alike
    return f"{error.format_message().rstrip('.')} ({hint})"
