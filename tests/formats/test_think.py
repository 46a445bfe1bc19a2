"""The `think` format reads what the paper's code reads, in linear time, and never raises."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spa_bench.formats.format import Content, ParsedReply, Span, split_actions
from spa_bench.formats.think import Think

PAPER = re.compile(r"<think>(.*?)</think>\s*<answer>(.*?)</answer>", re.DOTALL)
"""The expression of the paper's public code; `search` takes its first match."""

PIECES = ["<think>", "</think>", "<answer>", "</answer>", "<answer", "</", ">", "<", " ", "\n"]
PIECES += ["\t", "\x85", "\u2028", "\x1c", "\u3000", "\u200b", "||", "Up", "a", "</think><answer>"]

soups = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)

think = Think()


def spans_of_the_paper(message: str) -> ParsedReply:
    match = PAPER.search(message)
    if match is None:
        return ParsedReply()
    return ParsedReply(answer=Span(*match.span(2)), reasoning=Span(*match.span(1)))


def text(message: str, span: Span | None) -> str | None:
    return None if span is None else message[span.start : span.end]


@settings(max_examples=1000, deadline=None)
@given(soups)
@example("<think><think></think><answer></answer>")
@example("<think></think><answer></think> <answer></answer>")
@example("</answer><think></think><answer><think></think>\n<answer>x</answer>")
def test_strict_reads_what_the_papers_expression_reads(message: str) -> None:
    assert think.parse(message, "strict") == spans_of_the_paper(message)


@given(st.text())
def test_strict_reads_what_the_papers_expression_reads_in_any_text(message: str) -> None:
    whole = f"<think>{message}</think>{message}<answer>{message}</answer>{message}"
    assert think.parse(whole, "strict") == spans_of_the_paper(whole)


@settings(max_examples=300, deadline=None)
@given(soups, st.sampled_from(["strict", "lenient"]))
def test_spans_lie_inside_the_message_and_hold_no_closing_tag(message: str, mode: str) -> None:
    parsed = think.parse(message, mode)  # type: ignore[arg-type]
    for span, closing in ((parsed.answer, "</answer>"), (parsed.reasoning, None)):
        if span is not None:
            assert 0 <= span.start <= span.end <= len(message)
            assert closing is None or closing not in message[span.start : span.end]


@given(st.text())
def test_nothing_raises(message: str) -> None:
    for mode in ("strict", "lenient"):
        assert isinstance(think.parse(message, mode), ParsedReply)


MANY = 10_000_000
ADVERSARIAL = {
    "openings": "<think>" * (MANY // 7),
    "closings and space": "</think> " * (MANY // 9),
    "one closing, then space": "<think></think>" + " " * MANY,
    "bridges that never close": "<think>" + "</think><answer>" * (MANY // 16),
    "openings and bridges": "<think></think> <answer" * (MANY // 23),
    "answers that never open": "</answer>" * (MANY // 9),
    "answers that never close": "<answer>" * (MANY // 8),
    "thoughts after the answer": "</answer>" + "<think><answer>" * (MANY // 15),
    "brackets": "<" * MANY,
    "separators": "<think></think><answer>" + "||" * (MANY // 2),
}


@pytest.mark.parametrize("mode", ["strict", "lenient"])
@pytest.mark.parametrize("kind", ADVERSARIAL)
def test_ten_megabytes_made_to_be_slow_are_read_in_one_pass(kind: str, mode: str) -> None:
    # a reader that is quadratic, as the paper's expression is, would not come back from this
    parsed = think.parse(ADVERSARIAL[kind], mode)  # type: ignore[arg-type]
    assert parsed.answer is None


class Counting(str):
    """A text that counts how many characters its own searches may have looked at."""

    looked_at = 0

    def find(self, sub: str, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        found = super().find(sub, start, len(self) if end is None else end)
        self.looked_at += (len(self) if found < 0 else found + len(sub)) - start
        return found

    def rfind(self, sub: str, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        last = len(self) if end is None else end
        found = super().rfind(sub, start, last)
        self.looked_at += last - max(found, 0)
        return found


@pytest.mark.parametrize("mode", ["strict", "lenient"])
@given(st.lists(st.sampled_from(PIECES), min_size=200, max_size=300).map("".join))
@settings(max_examples=50, deadline=None)
def test_searches_pass_over_a_message_at_most_four_times(mode: str, message: str) -> None:
    counting = Counting(message)
    think.parse(counting, mode)  # type: ignore[arg-type]
    assert counting.looked_at <= 4 * len(message)


# -- lenient ------------------------------------------------------------------------------------

LENIENT = {
    "<answer>Up</answer>": "Up",
    "<think>a</think> so <answer>Up</answer>": "Up",
    "<answer>Up</answer><answer>Down</answer>": "Down",
    "<answer>Up</answer> and <answer>Down": "Up",
    "<answer>Up<answer>Down</answer>": "Down",
    "<answer>Up</answer></answer>": "Up",
    "Up</answer>": None,
    "<answer>Up": None,
    "</answer><answer>": None,
    "": None,
}


@pytest.mark.parametrize("message", LENIENT)
def test_lenient_reads_the_last_complete_answer(message: str) -> None:
    assert text(message, think.parse(message, "lenient").answer) == LENIENT[message]


@settings(max_examples=300, deadline=None)
@given(soups)
def test_lenient_finds_an_answer_wherever_strict_does(message: str) -> None:
    if think.parse(message, "strict").answer is not None:
        assert think.parse(message, "lenient").answer is not None


# -- compose --------------------------------------------------------------------------------------

plain = st.text().filter(lambda text: "<" not in text)


@given(answer=plain, reasoning=plain)
@pytest.mark.parametrize("mode", ["strict", "lenient"])
def test_what_is_composed_is_read_back(mode: str, answer: str, reasoning: str) -> None:
    message = think.compose(Content(answer=answer, reasoning=reasoning))
    parsed = think.parse(message, mode)  # type: ignore[arg-type]
    assert (text(message, parsed.answer), text(message, parsed.reasoning)) == (answer, reasoning)


def test_what_is_composed_begins_with_the_prefill() -> None:
    assert think.compose(Content(answer="Up")).startswith(think.prefill)


def test_it_states_no_beliefs_and_has_its_name() -> None:
    assert (think.name, think.prefill, think.believes) == ("think", "<think>", False)


def test_what_is_not_said_is_left_empty() -> None:
    assert think.compose(Content(answer="Up")) == "<think></think><answer>Up</answer>"


@given(st.lists(plain.filter(lambda t: t.strip() == t != "" and "|" not in t)))
def test_actions_joined_by_the_separator_are_split_again(actions: list[str]) -> None:
    assert split_actions(" || ".join(actions)) == actions


@given(st.text())
def test_no_split_action_is_empty_or_padded(answer: str) -> None:
    assert all(action and action == action.strip() for action in split_actions(answer))
