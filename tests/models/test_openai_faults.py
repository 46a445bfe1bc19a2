"""Every row of docs/faults.md: what a server may do wrong, and what comes of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import spa_bench
from spa_bench.errors import ModelError, ModelGoneError
from spa_bench.models.model import Reply, StopReason, Usage
from tests.models.test_openai import KEY, REQUEST, _model, _run, _served, _unused_url
from tests.servers.fault_server import (
    Fault,
    answer,
    bomb,
    completion,
    cut,
    drip,
    flood,
    hang,
    headers_of,
    no_http,
    plain_status,
    raw,
    reply,
    reset,
    status,
)

DOCS = Path(spa_bench.__file__).parents[1] / "docs" / "faults.md"


@dataclass(frozen=True)
class Scored:
    """The reply that stands for an answer."""

    text: str
    stop_reason: StopReason = "stop"
    usage: Usage = field(default_factory=lambda: Usage(20, 5))


def _usage(**fields: Any) -> Fault:
    return answer({**completion("Up"), "usage": fields})


HUGE = 100_000_000

# Asked again, and given up with the reason after some tries: what may pass.
AGAIN: dict[str, Fault] = {
    "resets the connection": reset(),
    "breaks off in the middle of the body": cut(),
    "never answers": hang(),
    "hangs in the middle of the body": hang(after=b'{"choices": ['),
    "sends a byte now and then, for ever": drip(),
    "answers in another protocol than HTTP": no_http(),
    "sends headers of a megabyte": headers_of(1_000_000),
    "408": status(408),
    "409": status(409),
    "425": status(425),
    "500": status(500),
    "502, with a page of HTML": plain_status(502, "<html><h1>Bad gateway</h1></html>"),
    "503, with a compressed page": plain_status(503, "packed?", **{"Content-Encoding": "gzip"}),
    "504": status(504),
    "520 to 524": status(522),
    "another 5xx than 501": status(530),
    "429": status(429),
    "503": status(503),
    "529": status(529),
    "invalid JSON": raw(b'{"choices": [{'),
    "bytes that are no text": raw(b"\xff\xfe\x00"),
    "a page of HTML with status 200": raw(b"<html>welcome</html>", "text/html"),
    "a stream that nobody asked for": raw(b'data: {"choices": []}\n\n', "text/event-stream"),
    "an empty body": raw(b""),
    "JSON nested a hundred thousand deep": raw(b"[" * 100_000),
    "`null`, or a list": answer(None),
    "no choices": answer({"choices": []}),
    "a choice without a message": answer({"choices": [{"finish_reason": "stop"}]}),
    "an error inside a 200": answer({"error": {"message": "provider failed", "code": 502}}),
    "`finish_reason` error or abort": answer(completion("half", "error")),
    "`finish_reason` insufficient_system_resource": answer(
        completion("half", "insufficient_system_resource")
    ),
    "429, the minute's quota is spent": status(
        429, "You exceeded your current quota. Please retry in 36s."
    ),
}

# Given up at once: the episode is broken and owed again, the run goes on.
GIVEN_UP: dict[str, tuple[Fault, str]] = {
    "400": (status(400, "no such thing"), "400: no such thing"),
    "413": (status(413, "no such thing"), "413: no such thing"),
    "422": (status(422, "no such thing"), "422: no such thing"),
    "501, or another status not named here": (status(501), "501: no"),
    "a body of 100 MB, announced": (flood(HUGE, declared=True), "larger than 20 MB"),
    "a body of 100 MB, not announced": (flood(HUGE, declared=False), "larger than 20 MB"),
    "a compressed body, such as 100 MB packed small": (bomb(HUGE), "is compressed"),
}

# The run stops at once, with what to do; finished episodes stay.
STOPS: dict[str, Fault] = {
    "401": status(401, f"Incorrect API key provided: {KEY}"),
    "402": status(402, "Insufficient credits"),
    "403": status(403),
    "404": status(404, "The model does not exist"),
    "405": status(405),
    "410": status(410),
    "429, the quota is spent": status(
        429, "Exceeded your current quota", code="insufficient_quota"
    ),
    "400, no reply may be so long": status(400, "max_tokens is too large: 20000"),
    "400, a parameter is not supported": status(400, "Unsupported value: 'top_p' must be 1"),
    "a redirect": plain_status(308, "", Location="https://elsewhere.example/v1"),
}

# A reply like any other, and scored.
SCORED: dict[str, tuple[Fault, Scored]] = {
    "400, the conversation is too long": (
        status(400, "too long", code="context_length_exceeded"),
        Scored("", "length", Usage()),
    ),
    "413, the conversation is too long": (
        status(413, "the prompt is too long: 210000 tokens"),
        Scored("", "length", Usage()),
    ),
    "400, a filter refuses the prompt": (
        status(400, "no", code="content_filter"),
        Scored("", "content_filter", Usage()),
    ),
    "403, a filter refuses the prompt": (
        status(403, "your input was flagged by moderation"),
        Scored("", "content_filter", Usage()),
    ),
    "stops at the token limit": (reply("<think>", "length"), Scored("<think>", "length")),
    "stops by a content filter": (reply(None, "content_filter"), Scored("", "content_filter")),
    "an unknown `finish_reason`, or none": (reply("Up", "magic"), Scored("Up")),
    "`content` is null": (reply(None), Scored("")),
    "`content` is a list of parts": (reply([{"type": "text", "text": "Up"}]), Scored("Up")),  # type: ignore[arg-type]
    "a `refusal` in place of content": (reply(None, refusal="I cannot."), Scored("I cannot.")),
    "half a character": (raw(b'{"choices": [{"message": {"content": "\\ud800"}}]}'),
                         Scored("\ufffd", usage=Usage())),
    "JSON that is not declared as JSON": (answer(completion("Up"), "text/plain"), Scored("Up")),
    "no usage": (answer({**completion("Up"), "usage": None}), Scored("Up", usage=Usage())),
    "usage that contradicts itself": (
        _usage(prompt_tokens=20, completion_tokens=5, prompt_tokens_details={"cached_tokens": 21},
               completion_tokens_details={"reasoning_tokens": 6}),
        Scored("Up", usage=Usage(20)),
    ),
    "usage that is no number of tokens": (
        _usage(prompt_tokens=-1, completion_tokens=10**30),
        Scored("Up", usage=Usage()),
    ),
    "more choices than one": (
        answer({**completion("Up"), "choices": completion("Up")["choices"] * 3}),
        Scored("Up"),
    ),
}  # fmt: skip


def _patience(fault: str, seconds: str) -> str:
    """How long to wait for an answer: not long where the fault is that there is none."""
    silent = fault.startswith(("never answers", "hangs", "sends a byte"))
    return seconds if silent else "30"


@pytest.mark.parametrize("name", AGAIN)
def test_what_may_pass_is_asked_again(name: str):
    async def scenario() -> None:
        timeout = _patience(name, "0.5")
        async with _served(AGAIN[name], reply("Up"), timeout=timeout) as (model, server):
            assert (await model.generate(REQUEST)).text == "Up"
            assert len(server.requests) == 2

    _run(scenario())


@pytest.mark.parametrize("name", AGAIN)
def test_what_does_not_pass_is_one_clear_line_after_a_bounded_number_of_tries(name: str):
    async def scenario() -> None:
        fault, timeout = AGAIN[name], _patience(name, "0.1")
        async with _served(default=fault, tries="3", timeout=timeout) as (model, server):
            with pytest.raises(ModelError, match="tries") as error:
                await model.generate(REQUEST)
            tries = re.search(r"after (\d+) tries", str(error.value))
            assert tries is not None
            assert 2 <= int(tries[1]) <= 16
            assert len(server.requests) <= 16  # on a busy machine a try may end before it is heard
            assert server.base_url in str(error.value)
            assert str(error.value).isprintable()
            assert len(str(error.value)) < 500

    _run(scenario())


@pytest.mark.parametrize("name", GIVEN_UP)
def test_what_cannot_be_answered_is_given_up_at_once_and_alone(name: str):
    async def scenario() -> None:
        fault, words = GIVEN_UP[name]
        async with _served(fault, reply("Up")) as (model, server):
            with pytest.raises(ModelError, match=words) as error:
                await model.generate(REQUEST)
            assert not isinstance(error.value, ModelGoneError)
            assert str(error.value).isprintable()
            assert len(server.requests) == 1
            assert (await model.generate(REQUEST)).text == "Up"

    _run(scenario())


@pytest.mark.parametrize("name", STOPS)
def test_what_hits_every_request_stops_the_run_at_once(name: str):
    async def scenario() -> None:
        async with _served(default=STOPS[name]) as (model, server):
            with pytest.raises(ModelGoneError) as error:
                await model.generate(REQUEST)
            assert KEY not in str(error.value)
            assert str(error.value).isprintable()
            assert len(server.requests) == 1

    _run(scenario())


@pytest.mark.parametrize("name", SCORED)
def test_what_the_model_does_is_its_reply(name: str):
    async def scenario() -> None:
        fault, expected = SCORED[name]
        async with _served(default=fault) as (model, server):
            got = await model.generate(REQUEST)
            assert got == Reply(expected.text, expected.stop_reason, expected.usage)
            assert len(server.requests) == 1

    _run(scenario())


REFUSES = "refuses connections"  # the one fault that a server need not be there for


def test_a_server_that_refuses_connections_stops_the_run_and_says_how_to_go_on():
    async def scenario() -> None:
        model = _model(_unused_url(), tries="3")
        with pytest.raises(ModelGoneError, match=r"cannot connect .* --resume"):
            await model.generate(REQUEST)
        await model.close()

    _run(scenario())


def test_a_page_tells_what_happens_for_each_of_these_faults():
    told: dict[str, set[str]] = {}
    heading = ""
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif row := re.match(r"\| (?!what the server|---)([^|]+?) \|", line):
            told.setdefault(heading, set()).add(row[1])
    assert told == {
        "Asked again": {REFUSES, *AGAIN},
        "Given up": set(GIVEN_UP),
        "The run stops": set(STOPS),
        "Scored": set(SCORED),
    }
