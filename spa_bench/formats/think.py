"""The paper's base format: `<think>..</think><answer>..</answer>`."""

from __future__ import annotations

from typing import ClassVar

from spa_bench.formats.format import (
    Content,
    ParsedReply,
    ParseMode,
    between,
    last_between,
    think_then_answer,
)


class Think:
    """Reasoning, then the answer.

    `strict` reads the first think-answer pair, adjacent, as the paper's code does, but for tags
    inside the answer: that code deletes them before it splits it, here they are part of an
    action's name. `lenient` reads the last complete answer, with or without reasoning.
    """

    name: ClassVar[str] = "think"
    prefill: ClassVar[str] = "<think>"
    believes: ClassVar[bool] = False

    def parse(self, message: str, mode: ParseMode) -> ParsedReply:
        if mode == "strict":
            found = think_then_answer(message)
            return ParsedReply() if found is None else ParsedReply(found[1], found[0])
        return ParsedReply(
            last_between(message, "<answer>", "</answer>"),
            between(message, "<think>", "</think>"),
        )

    def compose(self, content: Content) -> str:
        return f"<think>{content.reasoning}</think><answer>{content.answer}</answer>"
