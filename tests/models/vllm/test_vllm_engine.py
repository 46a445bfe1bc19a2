"""The adapter with a real engine, in float32, beside transformers with the same weights."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hf_tiny import forced_logprobs
from worlds import sokoban_task

from spa_bench.errors import InputError, ModelError, ModelGoneError
from spa_bench.models import hf, vllm
from spa_bench.models.model import Message, ModelOptions, Reply, Sampling, Scorer
from spa_bench.models.ranking import likeliest
from spa_bench.probes import perplexity
from tests.models.vllm.live import MESSAGES, NEEDS_VLLM, TOLERANCE, Live, ask, options

pytestmark = NEEDS_VLLM

TEXT = "<think>the box is on the left</think><answer>Up || Left</answer>"


@pytest.fixture(scope="module")
def net(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def beside(folder: Path) -> Iterator[Live]:
    live = Live(hf.load(ModelOptions(str(folder), "nano", dtype="float32", device="cpu")))
    yield live
    live.close()


@pytest.fixture(scope="module")
def live(folder: Path, engine_args: dict[str, str]) -> Iterator[Live]:
    live = Live(vllm.load(options(folder, engine_args)))
    yield live
    live.close()
    assert not multiprocessing.active_children()


def test_a_reply_is_whole(live: Live) -> None:
    (reply,) = live.replies(ask(new_tokens=200))
    assert reply.prompt_ids is not None
    assert reply.completion_ids is not None
    assert reply.prefilled
    assert reply.stop_reason == "stop"
    assert reply.completion_ids[-1] == 257  # the end of a turn is among the tokens, not the text
    assert reply.text.endswith("</answer>")
    assert reply.usage.prompt_tokens == len(reply.prompt_ids)
    assert reply.usage.completion_tokens == len(reply.completion_ids)


def test_identity_names_the_engine_and_the_dtype_it_has(live: Live) -> None:
    assert live.model.identity() | {"engine": "vllm", "dtype": "float32"} == live.model.identity()


def test_prompts_are_those_of_hf(live: Live, beside: Live) -> None:
    for messages in (MESSAGES, MESSAGES[1:]):
        (one,) = live.replies(ask(messages=messages))
        (other,) = beside.replies(ask(messages=messages))
        assert one.prompt_ids == other.prompt_ids


@pytest.mark.parametrize("sampling", [(1.0, 1.0), (0.7, 0.9), (0.0, 1.0)])
def test_logprobs_are_those_of_transformers(
    sampling: tuple[float, float], live: Live, net: Any
) -> None:
    for reply in live.replies(*(ask(i, sampling=Sampling(*sampling, 24)) for i in range(4))):
        assert reply.prompt_ids is not None
        assert reply.completion_ids is not None
        expected = forced_logprobs(net, reply.prompt_ids, reply.completion_ids)
        assert reply.logprobs == pytest.approx(expected, abs=TOLERANCE)


def test_a_seed_says_the_reply_whoever_else_asks(live: Live) -> None:
    sampling = Sampling(2.0, 1.0, 24)  # hot: a small model that is sure of itself says one thing
    requests = [ask(2**62 + seed, sampling=sampling) for seed in range(12)]
    together = live.replies(*requests)
    alone = [live.replies(request)[0] for request in requests[:3]]
    assert [one.completion_ids for one in together[:3]] == [one.completion_ids for one in alone]
    assert len({one.completion_ids for one in together}) > 6


def test_a_later_turn_extends_the_tokens_and_reads_only_what_is_new(live: Live) -> None:
    (first,) = live.replies(ask(7, episode="one", new_tokens=200))
    assert first.prompt_ids is not None
    assert first.completion_ids is not None
    sent = first.prompt_ids + first.completion_ids
    messages = (*MESSAGES, Message("assistant", "<think>" + first.text), Message("user", "Turn 2"))
    (second,) = live.replies(ask(8, episode="one", messages=messages, token_prefix=sent))
    assert second.prompt_ids is not None
    assert second.prompt_ids[: len(sent)] == sent
    assert second.usage.cached_tokens is not None
    # Whole blocks of 32 are kept; the last token of the reply was never read.
    assert second.usage.cached_tokens >= (len(sent) - 1) // 32 * 32


def test_a_stop_string_ends_a_reply_and_is_not_in_its_text(live: Live) -> None:
    (free,) = live.replies(ask(3, new_tokens=60))
    stop = free.text[15:17]
    (reply,) = live.replies(ask(3, sampling=Sampling(1.0, 1.0, 60, (stop,))))
    assert reply.text == free.text[: free.text.index(stop)]
    assert reply.stop_reason == "stop"
    assert reply.completion_ids is not None
    assert free.completion_ids is not None
    assert len(reply.completion_ids) < len(free.completion_ids)


def test_a_reply_stops_at_the_context_window(live: Live) -> None:
    def about(size: int) -> tuple[Message, ...]:
        return (Message("user", "?" * size),)

    (short,) = live.replies(ask(messages=about(10), new_tokens=1))
    assert short.prompt_ids is not None
    size = 10 + 2048 - len(short.prompt_ids) - 3
    (full,) = live.replies(ask(messages=about(size), sampling=Sampling(1.0, 1.0, 99)))
    assert full.prompt_ids is not None
    assert full.completion_ids is not None
    assert len(full.prompt_ids) == 2045
    assert len(full.completion_ids) == 3
    assert full.stop_reason == "length"


def test_a_prompt_beyond_the_window_is_the_models_limit_not_a_failure(live: Live) -> None:
    (reply,) = live.replies(ask(messages=(Message("user", "?" * 2100),)))
    assert (reply.text, reply.stop_reason, reply.completion_ids) == ("", "length", ())


def test_more_prompts_than_are_read_at_once_have_seeds_too(live: Live) -> None:
    # Read in pieces, such a prompt would end an engine on a CPU.
    requests = [
        ask(seed, messages=(Message("user", "?" * (1500 + seed)),), new_tokens=2)
        for seed in range(4)
    ]
    assert [one.usage.completion_tokens for one in live.replies(*requests)] == [2] * 4


def test_scores_are_those_of_transformers(live: Live, net: Any) -> None:
    rows = [(tuple(range(1, 9 + n)), tuple(range(50, 60 + 2 * n))) for n in range(8)]

    async def scores() -> list[tuple[float, ...]]:
        return await asyncio.gather(*(live.model.score(*row) for row in rows))

    for row, scored in zip(rows, live.run(lambda _: scores()), strict=True):
        assert scored == pytest.approx(forced_logprobs(net, *row), abs=TOLERANCE)


@pytest.mark.parametrize("prefill", ["", "<think>", "<think>the b"])
def test_a_text_scores_as_with_hf(prefill: str, live: Live, beside: Live) -> None:
    assert isinstance(live.model, Scorer)
    one, other = (
        each.run(lambda it: it.score_text(MESSAGES, prefill, TEXT.removeprefix(prefill)))
        for each in (live, beside)
    )
    assert [token.text for token in one] == [token.text for token in other]
    expected = [token.logprob for token in other]
    assert [token.logprob for token in one] == pytest.approx(expected, abs=TOLERANCE)


def test_perplexity_is_that_of_hf(live: Live, beside: Live) -> None:
    task = sokoban_task()
    one, other = (
        each.run(lambda it: perplexity.perplexity(it, task, 2)) for each in (live, beside)
    )
    for style, measured in one.styles.items():
        assert measured.tokens == other.styles[style].tokens
        assert measured.per_token == pytest.approx(other.styles[style].per_token, rel=TOLERANCE)


def test_a_ranking_is_that_of_hf(live: Live, beside: Live) -> None:
    choices = tuple(f"<answer>{name}</answer>" for name in ("Up", "Down", "Left", "Right"))
    request = ask(prefill="<answer>", choices=choices)
    one, other = (each.run(lambda it: likeliest(it, request)) for each in (live, beside))
    assert one.text == other.text
    assert one.choice_logprobs == pytest.approx(other.choice_logprobs, abs=10 * TOLERANCE)


def test_what_cannot_be_scored_is_said(live: Live) -> None:
    async def bad() -> None:
        assert await live.model.score((1,), ()) == ()
        with pytest.raises(ModelError, match="prompt"):
            await live.model.score((), (1,))
        with pytest.raises(ModelError, match="2047 tokens"):
            await live.model.score((1,) * 1000, (2,) * 1048)

    live.run(lambda _: bad())


def test_what_vllm_does_not_sample_with_is_said(live: Live) -> None:
    with pytest.raises(InputError, match="temperature"):
        live.replies(ask(sampling=Sampling(3.0, 1.0, 4)))


def test_a_request_that_is_dropped_does_not_hold_up_the_next(live: Live) -> None:
    async def drop() -> Reply:
        task = asyncio.create_task(live.model.generate(ask(new_tokens=1000)))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await live.model.generate(ask(new_tokens=4))

    assert live.run(lambda _: drop()).usage.completion_tokens == 4


def test_a_model_that_is_not_running_says_so(folder: Path) -> None:
    with pytest.raises(ModelGoneError, match="start"):
        asyncio.run(vllm.load(options(folder, {})).generate(ask()))
