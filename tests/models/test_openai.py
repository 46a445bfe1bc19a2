"""The policy of the adapter, against a server that fails on demand."""

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from spa_bench.errors import ModelError, ModelGoneError
from spa_bench.evaluation import evaluate_async
from spa_bench.models.model import Message, ModelOptions, Request, Sampling
from spa_bench.models.openai import OpenAIModel, Patience
from spa_bench.models.openai_settings import read_settings
from tests.servers.fault_server import (
    Fault,
    FaultServer,
    hang,
    reply,
    status,
    when,
)

KEY = "sk-proj-0123456789abcdef"
REQUEST = Request((Message("user", "state"),), "", Sampling(1.0, 1.0, 16), seed=7)


class Sleeps(list[float]):
    """Stands for asyncio.sleep: remembers how long, and does not wait."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)
        await asyncio.sleep(0)


def _model(*urls: str, sleeps: Sleeps | None = None, concurrency: int = 8, **args: str):
    options = ModelOptions(
        "tiny", "openai/tiny", args=args, base_urls=urls, concurrency=concurrency
    )
    settings = read_settings(options, {"OPENAI_API_KEY": KEY})
    return OpenAIModel(settings, Patience(), sleep=Sleeps() if sleeps is None else sleeps)


@asynccontextmanager
async def _served(
    *script: Fault, default: Fault | None = None, **options: Any
) -> AsyncIterator[tuple[OpenAIModel, FaultServer]]:
    async with FaultServer(script, default) as server:
        model = _model(server.base_url, **options)
        try:
            yield model, server
        finally:
            await model.close()


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 30))


def _unused_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"


def test_a_reply_with_its_usage():
    async def scenario() -> None:
        async with _served(reply("Up")) as (model, server):
            got = await model.generate(REQUEST)
            assert (got.text, got.stop_reason, got.prefilled) == ("Up", "stop", False)
            assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (20, 5)
            (request,) = server.requests
            assert request.body["messages"] == [{"role": "user", "content": "state"}]
            assert request.headers["authorization"] == f"Bearer {KEY}"

    _run(scenario())


def test_a_server_that_wants_no_key_is_asked_without_one():
    async def scenario() -> None:
        async with FaultServer() as server:
            options = ModelOptions("tiny", "openai/tiny", base_urls=(server.base_url,))
            model = OpenAIModel(read_settings(options, {}))
            await model.generate(REQUEST)
            await model.close()
            assert KEY not in str(server.requests)

    _run(scenario())


def test_a_conversation_too_long_for_the_model_is_its_own_limit_and_is_said_once(
    caplog: pytest.LogCaptureFixture,
):
    async def scenario() -> None:
        fault = status(400, "too long", code="context_length_exceeded")
        async with _served(default=fault) as (model, server):
            for _ in range(3):
                got = await model.generate(REQUEST)
                assert (got.text, got.stop_reason) == ("", "length")
            assert len(server.requests) == 3
        assert len(caplog.records) == 1

    _run(scenario())


def test_a_reply_that_is_all_hidden_reasoning_is_said_once(caplog: pytest.LogCaptureFixture):
    async def scenario() -> None:
        thought = reply(None, "length", reasoning_content="hm ..")
        async with _served(default=thought) as (model, _):
            for _ in range(3):
                assert (await model.generate(REQUEST)).text == ""
        (record,) = caplog.records
        assert "reasoning_tokens=" in record.message

    _run(scenario())


def test_a_server_is_left_alone_for_as_long_as_it_asks():
    async def scenario() -> None:
        sleeps = Sleeps()
        script = [status(429, retry_after="7"), status(503, retry_after="86400"), reply("Up")]
        async with _served(*script, sleeps=sleeps) as (model, _):
            assert (await model.generate(REQUEST)).text == "Up"
            assert sleeps == [7, 60]

    _run(scenario())


def test_a_failed_server_is_left_alone_for_as_long_as_it_asks():
    async def scenario() -> None:
        sleeps = Sleeps()
        script = [status(500, retry_after="7"), status(502, retry_after="86400"), reply("Up")]
        async with _served(*script, sleeps=sleeps) as (model, _):
            assert (await model.generate(REQUEST)).text == "Up"
            assert sleeps == [7, 60]

    _run(scenario())


def test_waits_double_with_jitter_and_are_bounded():
    async def scenario() -> None:
        sleeps = Sleeps()
        async with _served(default=status(500), sleeps=sleeps, tries="10") as (model, _):
            with pytest.raises(ModelError):
                await model.generate(REQUEST)
        for waited, full in zip(sleeps, [0.5, 1, 2, 4, 8, 16, 32, 60, 60], strict=True):
            assert full / 2 <= waited <= full

    _run(scenario())


def test_requests_in_flight_reach_the_limit_and_never_exceed_it():
    async def scenario() -> None:
        full = asyncio.Event()
        async with _served(default=when(full, reply("Up")), concurrency=8) as (model, server):
            waiting = asyncio.gather(*(model.generate(REQUEST) for _ in range(40)))
            await server.holds(8)
            full.set()
            assert [got.text for got in await waiting] == ["Up"] * 40
            assert server.most_in_flight == 8

    _run(scenario())


def test_hundreds_can_be_in_flight():
    async def scenario() -> None:
        full = asyncio.Event()
        async with _served(default=when(full, reply("Up")), concurrency=300) as (model, server):
            waiting = asyncio.gather(*(model.generate(REQUEST) for _ in range(300)))
            await server.holds(300)
            full.set()
            assert len(await waiting) == 300

    _run(scenario())


def test_an_evaluation_may_have_more_in_flight_than_a_model_wishes_for(tmp_path: Path):
    async def scenario() -> None:
        full = asyncio.Event()
        held = when(full, reply("<think></think><answer>Up</answer>"))
        async with FaultServer([reply("Up")], held) as server:
            settings = {"limit": 60, "repeats": 1, "concurrency": 48, "output": tmp_path / "run"}
            run = asyncio.create_task(
                evaluate_async("openai/tiny", "frozenlake", base_urls=server.base_url, **settings)
            )
            await server.holds(48)
            full.set()
            await run
            assert server.most_in_flight == 48

    _run(scenario())


def test_concurrency_falls_to_what_a_server_bears_and_every_request_is_answered():
    async def scenario() -> None:
        async def at_most_four(server: FaultServer, request: Any) -> Any:
            fault = status(429) if server.in_flight > 4 else reply("Up")
            await asyncio.sleep(0)
            return await fault(server, request)

        async with _served(default=at_most_four, concurrency=32) as (model, server):
            got = await asyncio.gather(*(model.generate(REQUEST) for _ in range(200)))
            assert len(got) == 200
            assert server.most_in_flight > 4

    _run(scenario())


def test_a_server_that_is_never_less_overloaded_stops_the_run():
    async def scenario() -> None:
        async with _served(default=status(503, "upstream is down")) as (model, server):
            with pytest.raises(ModelGoneError, match="upstream is down"):
                await asyncio.gather(*(model.generate(REQUEST) for _ in range(8)))
            assert len(server.requests) < 100

    _run(scenario())


def test_waves_of_failures_without_one_answer_stop_the_run():
    async def scenario() -> None:
        async with _served(default=status(500), tries="1", concurrency=8) as (model, _):
            errors = [
                await asyncio.gather(model.generate(REQUEST), return_exceptions=True)
                for _ in range(8)
            ]
            kinds = [type(error) for (error,) in errors]
            assert kinds == [ModelError] * 7 + [ModelGoneError]

    _run(scenario())


def test_an_answer_in_between_keeps_the_run_going():
    async def scenario() -> None:
        async with _served(tries="1", concurrency=8) as (model, server):
            for _ in range(20):
                server.script.append(status(500))
                with pytest.raises(ModelError) as error:
                    await model.generate(REQUEST)
                assert not isinstance(error.value, ModelGoneError)
                await model.generate(REQUEST)

    _run(scenario())


def test_a_server_that_comes_back_is_used_again():
    async def scenario() -> None:
        async with FaultServer() as server:
            url = server.base_url
        port = int(url.split(":")[2].split("/")[0])
        revived = FaultServer([reply("Up")], port=port)
        tried = asyncio.Event()

        async def sleep(_: float) -> None:
            if not tried.is_set():
                tried.set()
                await revived.__aenter__()

        options = ModelOptions("tiny", "openai/tiny", base_urls=(url,))
        model = OpenAIModel(read_settings(options, {}), sleep=sleep)
        assert (await model.generate(REQUEST)).text == "Up"
        assert tried.is_set()
        await model.close()
        await revived.__aexit__()

    _run(scenario())


def test_two_servers_share_the_load():
    async def scenario() -> None:
        full = asyncio.Event()
        held = when(full, reply("Up"))
        async with FaultServer(default=held) as one, FaultServer(default=held) as two:
            model = _model(one.base_url, two.base_url, concurrency=16)
            waiting = asyncio.gather(*(model.generate(REQUEST) for _ in range(16)))
            await asyncio.gather(one.holds(8), two.holds(8))
            assert one.in_flight == two.in_flight == 8
            full.set()
            await waiting
            await model.close()

    _run(scenario())


def test_the_other_server_takes_over_at_once():
    async def scenario() -> None:
        sleeps = Sleeps()
        async with FaultServer() as one:
            model = _model(_unused_url(), one.base_url, sleeps=sleeps, tries="2")
            for _ in range(10):
                assert (await model.generate(REQUEST)).text == "hello"
            await model.close()
        assert sleeps == []

    _run(scenario())


def test_a_rate_limit_of_one_server_is_no_limit_of_the_other():
    async def scenario() -> None:
        busy = status(429, retry_after="50")
        async with FaultServer(default=busy) as one, FaultServer() as two:
            options = ModelOptions("m", "openai/m", base_urls=(one.base_url, two.base_url))
            model = OpenAIModel(read_settings(options, {}))  # it would really wait
            for _ in range(5):
                assert (await model.generate(REQUEST)).text == "hello"
            assert len(one.requests) == 1
            await model.close()

    _run(scenario())


def test_a_cancelled_request_gives_its_slot_back():
    async def scenario() -> None:
        async with _served(hang(), reply("Up"), concurrency=1) as (model, server):
            stuck = asyncio.ensure_future(model.generate(REQUEST))
            await server.holds(1)
            stuck.cancel()
            assert (await model.generate(REQUEST)).text == "Up"

    _run(scenario())
