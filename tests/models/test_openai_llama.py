"""The adapter against llama.cpp's real server with a real model (135 million parameters)."""

import asyncio
from collections.abc import Iterator

import pytest
from real_model import smollm2

from benchmarks.llama_server import LlamaServer, serving
from spa_bench.errors import InputError, ModelGoneError
from spa_bench.models.model import Message, ModelOptions, Request, Sampling, Scorer
from spa_bench.models.openai import OpenAIModel, Patience, load
from spa_bench.models.openai_settings import read_settings

pytest.importorskip("xllamacpp")


@pytest.fixture(scope="module")
def llama() -> Iterator[LlamaServer]:
    gguf, _ = smollm2()
    with serving(gguf, parallel=4, context=1024) as server:
        yield server


def _options(server: LlamaServer, model: str = "", **args: str) -> ModelOptions:
    name = model or server.model
    return ModelOptions(name, f"openai/{name}", args, (server.base_url,), concurrency=8)


def _request(text: str, prefill: str = "", new_tokens: int = 16, seed: int = 1) -> Request:
    sampling = Sampling(temperature=0.0, top_p=1.0, new_tokens=new_tokens)
    return Request((Message("user", text),), prefill, sampling, seed)


def test_eight_at_a_time_are_answered_with_their_usage(llama: LlamaServer):
    async def scenario() -> None:
        model = load(_options(llama))
        await model.start()
        try:
            asked = [_request(f"Count on: {n}", new_tokens=8, seed=n) for n in range(8)]
            replies = await asyncio.gather(*(model.generate(request) for request in asked))
        finally:
            await model.close()
        for reply in replies:
            assert reply.text.strip()
            assert reply.stop_reason in ("stop", "length")
            assert reply.usage.prompt_tokens
            assert reply.usage.completion_tokens
            assert reply.usage.completion_tokens <= 8

    asyncio.run(scenario())


def test_a_prefill_is_continued_and_not_repeated(llama: LlamaServer):
    async def scenario() -> None:
        model = load(_options(llama, prefill="true"))
        await model.start()
        prefill = "One, two, three,"
        try:
            reply = await model.generate(_request("Count to nine in words.", prefill))
        finally:
            await model.close()
        assert model.capabilities.prefill
        assert reply.prefilled
        assert not reply.text.startswith(prefill)
        assert reply.text.lstrip().startswith("four")

    asyncio.run(scenario())


def test_thinking_that_a_task_asks_for_stays_in_the_reply(llama: LlamaServer):
    async def scenario() -> None:
        model = load(_options(llama, prefill="true"))
        prefill = "<think>I push the box.</think><answer>"
        try:
            reply = await model.generate(_request("Which way?", prefill, new_tokens=8))
        finally:
            await model.close()
        assert reply.prefilled
        assert reply.reasoning is None
        assert reply.text

    asyncio.run(scenario())


def test_a_reply_cut_at_its_limit_says_so(llama: LlamaServer):
    async def scenario() -> None:
        model = load(_options(llama))
        try:
            reply = await model.generate(_request("Tell a long story.", new_tokens=3))
        finally:
            await model.close()
        assert reply.stop_reason == "length"
        assert reply.usage.completion_tokens == 3

    asyncio.run(scenario())


def test_more_than_the_context_is_a_truncated_reply(llama: LlamaServer):
    async def scenario() -> None:
        model = load(_options(llama))
        try:
            reply = await model.generate(_request("again and " * 2000))
        finally:
            await model.close()
        assert (reply.text, reply.stop_reason) == ("", "length")

    asyncio.run(scenario())


def test_the_same_server_completes_plain_text(llama: LlamaServer):
    async def scenario() -> None:
        model = load(_options(llama, api="completions", logprobs="true"))
        await model.start()
        try:
            reply = await model.generate(_request("Count to nine.", "One, two, three,", 8))
        finally:
            await model.close()
        assert reply.prefilled
        assert reply.text.startswith(" four")
        assert reply.usage.prompt_tokens
        assert reply.usage.completion_tokens
        assert reply.logprobs is not None
        assert len(reply.logprobs) == reply.usage.completion_tokens
        assert max(reply.logprobs) <= 0

    asyncio.run(scenario())


def test_a_completion_ends_before_a_stop_string(llama: LlamaServer):
    async def scenario() -> None:
        model = load(_options(llama, api="completions"))
        sampling = Sampling(temperature=0.0, top_p=1.0, new_tokens=16, stop=("six",))
        asked = Request((Message("user", "Count to nine."),), "One, two, three,", sampling, 1)
        try:
            reply = await model.generate(asked)
        finally:
            await model.close()
        assert (reply.text, reply.stop_reason) == (" four, five, ", "stop")

    asyncio.run(scenario())


def test_llama_cpp_cannot_score_and_says_so(llama: LlamaServer):
    async def scenario() -> None:
        model = load(_options(llama, api="completions"))
        assert isinstance(model, Scorer)
        try:
            with pytest.raises(InputError, match=r"llama\.cpp cannot"):
                await model.score_text((Message("user", "Hi"),), "", "Up and down")
        finally:
            await model.close()

    asyncio.run(scenario())


def test_a_wrong_name_is_refused_with_the_right_one(llama: LlamaServer):
    # llama.cpp itself would answer under any name.
    with pytest.raises(InputError, match=f"ask for openai/{llama.model}"):
        asyncio.run(load(_options(llama, model="SmolLM3")).start())


def test_a_server_killed_in_the_middle_stops_the_run(llama: LlamaServer):
    async def scenario(server: LlamaServer) -> None:
        patience = Patience(first_wait=0.01, longest_wait=0.02)
        args = {"tries": "4", "extra_body": '{"ignore_eos": true}'}  # none ends by itself
        model = OpenAIModel(read_settings(_options(server, **args), {}), patience)
        await model.start()
        try:
            playing = [
                asyncio.ensure_future(model.generate(_request("Tell.", new_tokens=500, seed=n)))
                for n in range(8)
            ]
            await model.generate(_request("Hi", new_tokens=1))
            server.kill()
            results = await asyncio.gather(*playing, return_exceptions=True)
        finally:
            await model.close()
        assert [type(result) for result in results] == [ModelGoneError] * 8
        assert "start the server again" in str(results[0])

    with serving(smollm2()[0], parallel=9, context=1024) as own:
        asyncio.run(scenario(own))
