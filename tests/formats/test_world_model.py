"""The `world_model` format: beliefs inside the reasoning, and an answer that does not need them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.formats.format import Content, ParsedReply, Span
from spa_bench.formats.think import Think
from spa_bench.formats.world_model import WorldModel

form = WorldModel()

SEEN, EXPECTED = "<observation>a</observation>", "<prediction>b</prediction>"

MODES = pytest.mark.parametrize("mode", ["strict", "lenient"])


def parts(message: str, mode: str) -> tuple[str | None, ...]:
    """Returns answer, reasoning, observation and prediction as texts."""
    read = form.parse(message, mode)  # type: ignore[arg-type]
    spans = (read.answer, read.reasoning, read.observation, read.prediction)
    return tuple(None if span is None else message[span.start : span.end] for span in spans)


@MODES
def test_beliefs_are_read_out_of_the_reasoning(mode: str) -> None:
    reasoning = f"{SEEN} so {EXPECTED}"
    message = f"<think>{reasoning}</think><answer>Up</answer>"
    assert parts(message, mode) == ("Up", reasoning, "a", "b")


@MODES
def test_of_several_beliefs_the_first_counts(mode: str) -> None:
    second = SEEN.replace("a", "z") + EXPECTED.replace("b", "z")
    message = f"<think>{SEEN}{EXPECTED}{second}</think><answer>Up</answer>"
    assert parts(message, mode)[2:] == ("a", "b")


@MODES
@pytest.mark.parametrize(
    "message",
    [
        f"{SEEN}{EXPECTED}<think></think><answer>Up</answer>",
        f"<think></think><answer>Up</answer>{SEEN}{EXPECTED}",
        "<think><observation>a<prediction>b</think><answer>Up</answer></observation></prediction>",
        "<think>a</observation>b</prediction></think><answer>Up</answer>",
        "<think></think><answer>Up</answer>",
    ],
    ids=["before", "after", "closed outside", "never opened", "none"],
)
def test_without_beliefs_in_the_reasoning_the_answer_is_still_read(mode: str, message: str) -> None:
    answer, reasoning, observation, prediction = parts(message, mode)
    assert answer == "Up"
    assert reasoning is not None
    assert (observation, prediction) == (None, None)


def test_a_belief_may_fill_the_reasoning_to_its_last_character() -> None:
    assert parts(f"<think>{EXPECTED}</think><answer></answer>", "strict")[3] == "b"
    found = form.parse(f"<think>{SEEN}</think><answer></answer>", "strict").observation
    assert found == Span(20, 21)


def test_lenient_reads_an_answer_without_reasoning() -> None:
    message = f"{SEEN}<answer>Up</answer>"
    assert parts(message, "lenient") == ("Up", None, None, None)
    assert form.parse(message, "strict") == ParsedReply()


@MODES
@given(st.text(alphabet="<>/thinkanswerobservationprediction ab\n", max_size=200))
def test_answers_are_those_of_the_think_format(mode: str, message: str) -> None:
    base = Think().parse(message, mode)  # type: ignore[arg-type]
    read = form.parse(message, mode)  # type: ignore[arg-type]
    assert (read.answer, read.reasoning) == (base.answer, base.reasoning)


@MODES
@pytest.mark.parametrize("reasoning", ["", "because"])
def test_what_is_composed_is_read_back(mode: str, reasoning: str) -> None:
    content = Content("Up", reasoning, observation="##\n#P", prediction="#P\n##")
    message = form.compose(content)
    assert message.startswith(form.prefill)
    answer, thought, observation, prediction = parts(message, mode)
    assert (answer, observation, prediction) == ("Up", "\n##\n#P\n", "\n#P\n##\n")
    assert thought is not None
    between = thought.split("</observation>")[1].split("<prediction>")[0]
    assert between == (f"\n{reasoning}\n" if reasoning else "\n")


def test_what_is_not_said_is_left_empty() -> None:
    assert form.compose(Content(answer="Up")) == (
        "<think>\n<observation>\n\n</observation>\n<prediction>\n\n</prediction>\n</think>"
        "<answer>Up</answer>"
    )


def test_it_states_beliefs_and_has_its_name() -> None:
    assert (form.name, form.prefill, form.believes) == ("world_model", "<think>", True)
