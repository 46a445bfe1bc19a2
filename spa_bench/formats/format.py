"""The shape of a reply: which tags a model is asked for, and what is read out of them.

Parsers never raise and run in linear time: whatever a model writes becomes a `ParsedReply`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, TypeAlias

ParseMode: TypeAlias = Literal["strict", "lenient"]

SEPARATOR = "||"
"""What stands between two actions of one answer."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a reply: characters `start` up to, not including, `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """What a format found in a reply; None for each part that is not there.

    Spans count in the whole assistant message, prefill included, so that training can replace
    or mask exactly these characters.
    """

    answer: Span | None = None
    reasoning: Span | None = None
    observation: Span | None = None
    prediction: Span | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What a reply shall say; `Format.compose` writes it. Used by baselines and by training."""

    answer: str
    reasoning: str = ""
    observation: str = ""
    prediction: str = ""


class Format(Protocol):
    """One reply format. Implementations are stateless."""

    name: ClassVar[str]
    prefill: ClassVar[str]
    """How every assistant message begins; written for the model where the backend can."""
    believes: ClassVar[bool]
    """Whether a reply states what the model sees and what it expects."""

    def parse(self, message: str, mode: ParseMode) -> ParsedReply:
        """Reads a whole assistant message. Never raises; linear in the length of `message`."""
        ...

    def compose(self, content: Content) -> str:
        """Returns a whole, well-formed assistant message that says `content`."""
        ...


def split_actions(answer: str) -> list[str]:
    """Returns the actions named in an answer, stripped, empty ones left out."""
    return [piece for part in answer.split(SEPARATOR) if (piece := part.strip())]


def numbered(actions: Sequence[str]) -> str:
    """Returns a plan that names its actions in order, such as `1. Left 2. Up`."""
    return " ".join(f"{number}. {action}" for number, action in enumerate(actions, start=1))


def between(message: str, opening: str, closing: str, start: int = 0) -> Span | None:
    """Returns the text between the first `opening` at or after `start` and its next `closing`."""
    left = message.find(opening, start)
    if left < 0:
        return None
    left += len(opening)
    right = message.find(closing, left)
    return None if right < 0 else Span(left, right)


def last_between(message: str, opening: str, closing: str) -> Span | None:
    """Returns the text of the last complete pair of tags, with no tag inside it."""
    left = message.rfind(opening, 0, max(message.rfind(closing), 0))
    if left < 0:
        return None
    left += len(opening)
    return Span(left, message.find(closing, left))


_THINK_THEN_ANSWER = re.compile(r"</think>\s*<answer>")


def think_then_answer(message: str) -> tuple[Span, Span] | None:
    """Returns reasoning and answer as the paper's code reads them, or None.

    The first `<think>` whose `</think>` is followed, white space aside, by `<answer>`, and the
    next `</answer>` after it. White space between the two tags is scanned once, so a message
    costs time linear in its length.
    """
    opened = message.find("<think>")
    if opened < 0:
        return None
    opened += len("<think>")
    bridge = _THINK_THEN_ANSWER.search(message, opened)
    if bridge is None:
        return None
    closed = message.find("</answer>", bridge.end())
    if closed < 0:
        return None
    return Span(opened, bridge.start()), Span(bridge.end(), closed)
