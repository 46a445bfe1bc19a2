"""The `answer` format reads the first complete answer, or leniently the last, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.formats.answer import Answer
from spa_bench.formats.format import Content, ParsedReply, Span

form = Answer()

TWO = "<answer>Up</answer> no <answer>Down</answer>"


def answer(message: str, mode: str) -> str | None:
    span = form.parse(message, mode).answer  # type: ignore[arg-type]
    return None if span is None else message[span.start : span.end]


def test_strict_reads_the_first_answer_and_lenient_the_last() -> None:
    assert (answer(TWO, "strict"), answer(TWO, "lenient")) == ("Up", "Down")


def test_a_span_is_the_text_between_the_tags() -> None:
    assert form.parse("x<answer>Up</answer>", "strict") == ParsedReply(answer=Span(9, 11))


@pytest.mark.parametrize("mode", ["strict", "lenient"])
@pytest.mark.parametrize("message", ["", "Up", "<answer>Up", "Up</answer>", "</answer><answer>"])
def test_half_an_answer_is_none(mode: str, message: str) -> None:
    assert form.parse(message, mode) == ParsedReply()  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["strict", "lenient"])
@given(st.text().filter(lambda text: "<" not in text))
def test_what_is_composed_is_read_back(mode: str, said: str) -> None:
    message = form.compose(Content(answer=said, reasoning="left out"))
    assert message.startswith(form.prefill)
    assert answer(message, mode) == said
    assert len(message) == len("<answer></answer>") + len(said)


def test_it_states_no_beliefs_and_has_its_name() -> None:
    assert (form.name, form.prefill, form.believes) == ("answer", "<answer>", False)
