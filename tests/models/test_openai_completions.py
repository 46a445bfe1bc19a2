"""`/v1/completions`: the conversation as plain text, and texts scored by echo."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.errors import InputError, ModelError, ModelGoneError
from spa_bench.models import openai, openai_completions, openai_wire, plain_layout
from spa_bench.models.model import Message, ModelOptions, Request, Sampling, Scorer
from spa_bench.models.openai_settings import Settings, read_settings
from tests.models.test_openai import _run
from tests.servers.fault_server import (
    Fault,
    FaultServer,
    continuation,
    echo,
    reset,
    status,
    text_completion,
)

MESSAGES = (Message("system", "rules"), Message("user", "state"))
REQUEST = Request(MESSAGES, "<think>", Sampling(0.7, 0.9, 16, stop=("</answer>",)), seed=7)
PROMPT = "### System:\nrules\n### User:\nstate\n### Assistant:\n<think>"


def _options(*urls: str, **args: str) -> ModelOptions:
    urls = urls or ("http://127.0.0.1:1/v1",)
    return ModelOptions("tiny", "openai/tiny", {"api": "completions", **args}, urls)


def _settings(**args: str) -> Settings:
    return read_settings(_options(**args), {})


@asynccontextmanager
async def _served(
    *script: Fault, **args: str
) -> AsyncIterator[tuple[openai.CompletionsModel, FaultServer]]:
    async with FaultServer(script) as server:
        model = openai.load(_options(server.base_url, **args))
        assert isinstance(model, openai.CompletionsModel)
        try:
            yield model, server
        finally:
            await model.close()


def _read(answer: object, **args: str):
    return openai_completions.call(_settings(**args), REQUEST).read(answer)


def _scores(answer: object, text: str = "Up"):
    return openai_completions.score_call(_settings(), MESSAGES, "", text).read(answer)


def test_the_conversation_goes_out_as_the_plain_layout_and_the_prefill():
    async def scenario() -> None:
        async with _served(continuation("so</think>", "length")) as (model, server):
            reply = await model.generate(REQUEST)
            (request,) = server.requests
            assert request.path == "/v1/completions"
            assert request.body["prompt"] == PROMPT == plain_layout.render(MESSAGES) + "<think>"
            assert request.body["stop"] == ["</answer>", "\n### User:", "\n### System:"]
            assert request.body["max_tokens"] == 16
            assert "messages" not in request.body
            assert (reply.text, reply.stop_reason) == ("so</think>", "length")
            assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (20, 5)
            assert reply.prefilled
            assert reply.logprobs is None

    _run(scenario())


def test_every_prefill_is_continued():
    assert openai.load(_options()).capabilities.prefill


def test_a_stop_string_that_a_server_leaves_in_is_cut_off():
    assert _read(text_completion("Up\n### User:\nnext")).text == "Up"


def test_logprobs_come_if_they_are_asked_for():
    assert openai_completions.call(_settings(logprobs="true"), REQUEST).body["logprobs"] == 1
    logprobs = {"tokens": ["U", "p"], "token_logprobs": [-0.5, -2]}
    assert _read(text_completion("Up", logprobs=logprobs), logprobs="true").logprobs == (-0.5, -2)
    chats = {"content": [{"token": "Up", "logprob": -1.5}]}  # llama.cpp
    assert _read(text_completion("Up", logprobs=chats), logprobs="true").logprobs == (-1.5,)
    assert _read(text_completion("", logprobs=None), logprobs="true").logprobs == ()


def test_a_server_without_logprobs_is_refused_at_first_contact():
    async def scenario() -> None:
        async with _served(continuation("hello"), logprobs="true") as (model, _):
            with pytest.raises(InputError, match="no log-probabilities"):
                await model.start()

    _run(scenario())


@pytest.mark.parametrize(
    ("args", "match"),
    [
        ({"prefill": "true"}, "prefill=true: not with api=completions"),
        ({"reasoning_tokens": "9"}, "not with api=completions"),
        ({"api": "chat", "logprobs": "true"}, "logprobs=true: not with api=chat"),
        ({"api": "complete"}, "neither chat nor completions"),
        ({"logprobs": "5"}, "neither true nor false"),
        ({"extra_body": '{"prompt": "x"}'}, "'prompt' is not free"),
    ],
)
def test_arguments_that_cannot_be_are_said(args: dict[str, str], match: str):
    with pytest.raises(InputError, match=match):
        _settings(**args)


def test_the_address_may_name_the_endpoint():
    settings = read_settings(_options("http://127.0.0.1:1/v1/completions"), {})
    assert settings.base_urls == ("http://127.0.0.1:1/v1",)


def test_the_two_ways_of_asking_are_two_models():
    completions = _settings().identity()
    chat = read_settings(ModelOptions("tiny", "x", {}, ("http://127.0.0.1:1/v1",)), {}).identity()
    assert completions["api"] == "completions"
    assert completions["layout"] == "plain/1"
    assert "api" not in chat


def test_a_model_without_chats_points_to_completions():
    async def scenario() -> None:
        said = "default chat template is no longer allowed"
        async with FaultServer([status(400, said)]) as server:
            model = openai.load(ModelOptions("tiny", "openai/tiny", {}, (server.base_url,)))
            with pytest.raises(InputError, match="api=completions"):
                await model.start()

    _run(scenario())


def test_a_given_text_is_scored_by_echo():
    async def scenario() -> None:
        async with _served(echo()) as (model, server):
            assert isinstance(model, Scorer)
            scored = await model.score_text(MESSAGES, "go", " Up and Down")
            (request,) = server.requests
            assert request.body["max_tokens"] == 0
            assert request.body["prompt"].endswith("### Assistant:\ngo Up and Down")
            assert [token.text for token in scored] == [" Up", " and", " Down"]
            values = [token.logprob for token in scored]
            assert values == [values[0], values[0] - 0.5, values[0] - 1]

    _run(scenario())


def test_a_token_across_the_beginning_counts_with_the_text():
    async def scenario() -> None:
        async with _served(echo()) as (model, _):
            scored = await model.score_text(MESSAGES, "go U", "p and Down")
            assert [token.text for token in scored] == [" Up", " and", " Down"]

    _run(scenario())


def test_an_empty_text_costs_no_call():
    async def scenario() -> None:
        async with _served() as (model, server):
            assert await model.score_text(MESSAGES, "go", "") == ()
            assert not server.requests

    _run(scenario())


def test_a_server_that_ignores_echo_is_refused():
    async def scenario() -> None:
        async with _served(continuation("")) as (model, _):
            with pytest.raises(InputError, match="echo"):
                await model.score_text(MESSAGES, "", "Up")

    _run(scenario())


def test_scoring_is_as_patient_as_generating():
    async def scenario() -> None:
        async with _served(status(429), reset(), echo()) as (model, _):
            model._sleep = lambda seconds: asyncio.sleep(0)
            assert await model.score_text(MESSAGES, "go", " Up")

    _run(scenario())


def test_a_text_beyond_the_context_cannot_be_scored():
    async def scenario() -> None:
        async with _served(status(400, "maximum context length is 8 tokens")) as (model, _):
            with pytest.raises(ModelError, match="context length") as error:
                await model.score_text(MESSAGES, "", "Up")
            assert not isinstance(error.value, ModelGoneError)

    _run(scenario())


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {},
        {"tokens": ["x", "Up"]},
        {"tokens": ["x", "Up"], "token_logprobs": [None, None]},
        {"tokens": ["x", "Up"], "token_logprobs": [None, math.nan]},
        {"tokens": ["x", "Up"], "token_logprobs": [None, -(10**400)]},
        {"tokens": ["x", "Up"], "token_logprobs": [None, True]},
        {"tokens": ["x", 7], "token_logprobs": [None, -1]},
        {"tokens": ["x", "Down"], "token_logprobs": [None, -1]},
    ],
)
def test_log_probabilities_that_are_none_are_malformed(logprobs: Any):
    with pytest.raises(openai_wire.MalformedAnswerError):
        _scores(text_completion("xUp", logprobs=logprobs))


json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
keyed = st.fixed_dictionaries(
    {}, optional={"choices": st.lists(st.fixed_dictionaries({"text": json, "logprobs": json}))}
)


@given(json | keyed)
def test_no_answer_however_strange_is_a_crash(answer: object):
    for read in (lambda: _read(answer, logprobs="true"), lambda: _scores(answer)):
        with suppress(openai_wire.MalformedAnswerError, InputError):
            read()
