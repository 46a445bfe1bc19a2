"""SPA's format: what the model sees and what it expects, inside its reasoning.

`<think><observation>..</observation> .. <prediction>..</prediction></think><answer>..</answer>`.
The prediction is the state after all actions of the turn.
"""

from __future__ import annotations

from typing import ClassVar

from spa_bench.formats.format import Content, ParsedReply, ParseMode, Span, between
from spa_bench.formats.think import Think


class WorldModel:
    """Reasoning with an observation and a prediction in it, then the answer.

    The answer is read exactly as in the `think` format: a reply without beliefs is still played.
    """

    name: ClassVar[str] = "world_model"
    prefill: ClassVar[str] = "<think>"
    believes: ClassVar[bool] = True

    _base = Think()

    def parse(self, message: str, mode: ParseMode) -> ParsedReply:
        """Reads the answer, and the first observation and the first prediction of its reasoning."""
        read = self._base.parse(message, mode)
        if read.reasoning is None:
            return read
        return ParsedReply(
            answer=read.answer,
            reasoning=read.reasoning,
            observation=_inside(message, "observation", read.reasoning),
            prediction=_inside(message, "prediction", read.reasoning),
        )

    def compose(self, content: Content) -> str:
        reasoning = f"\n{content.reasoning}\n" if content.reasoning else "\n"
        return (
            f"<think>\n<observation>\n{content.observation}\n</observation>{reasoning}"
            f"<prediction>\n{content.prediction}\n</prediction>\n</think>"
            f"<answer>{content.answer}</answer>"
        )


def _inside(message: str, tag: str, outer: Span) -> Span | None:
    found = between(message, f"<{tag}>", f"</{tag}>", outer.start)
    return found if found is not None and found.end <= outer.end else None
