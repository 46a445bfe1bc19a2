"""The shortest format: `<answer>..</answer>`, no reasoning asked for."""

from __future__ import annotations

from typing import ClassVar

from spa_bench.formats.format import Content, ParsedReply, ParseMode, between, last_between


class Answer:
    """The answer alone. `strict` reads the first complete answer, `lenient` the last."""

    name: ClassVar[str] = "answer"
    prefill: ClassVar[str] = "<answer>"
    believes: ClassVar[bool] = False

    def parse(self, message: str, mode: ParseMode) -> ParsedReply:
        find = between if mode == "strict" else last_between
        return ParsedReply(answer=find(message, "<answer>", "</answer>"))

    def compose(self, content: Content) -> str:
        return f"<answer>{content.answer}</answer>"
