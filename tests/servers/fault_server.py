"""A local OpenAI-compatible server that fails on demand, for tests of whatever talks to one.

Each request, for a chat or a completion, takes the next `Fault` of the script, or the default when
the script is spent:

    async with FaultServer([status(429, retry_after="7"), reset(), reply("hello")]) as server:
        ...  # server.base_url, server.requests, server.most_in_flight

`in_thread(server)` runs it beside synchronous code, such as a command in a subprocess.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import re
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiohttp import web

Fault: TypeAlias = Callable[["FaultServer", web.Request], Awaitable[web.StreamResponse]]
"""Answers one request: well, badly or not at all."""


@dataclass(frozen=True)
class Received:
    """One request for a chat or a completion that arrived."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]


def completion(text: str | None = "hello", finish: str | None = "stop", **message: Any) -> dict:
    """Returns a chat completion as an OpenAI-compatible server spells it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": text, **message},
            }
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
    }


def reply(text: str | None = "hello", finish: str | None = "stop", **message: Any) -> Fault:
    """No fault: a chat completion."""
    return answer(completion(text, finish, **message))


def text_completion(text: str | None = "hello", finish: str | None = "stop", **choice: Any) -> dict:
    """Returns what `/v1/completions` answers; `choice` are further fields of its one choice."""
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "finish_reason": finish, "text": text, **choice}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25},
    }


def continuation(text: str | None = "hello", finish: str | None = "stop", **choice: Any) -> Fault:
    """No fault: a text completion."""
    return answer(text_completion(text, finish, **choice))


def echo() -> Fault:
    """No fault: the prompt comes back, a word a token, each less likely than the one before."""

    async def act(server: FaultServer, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        assert body["echo"]
        tokens = re.findall(r"\s*\S+|\s+$", body["prompt"])
        values = [None, *(-0.5 * at for at in range(1, len(tokens)))]
        logprobs = {"tokens": tokens, "token_logprobs": values, "text_offset": []}
        return web.json_response(text_completion(body["prompt"], "length", logprobs=logprobs))

    return act


def answer(value: Any, content_type: str = "application/json") -> Fault:
    """Any JSON with status 200."""
    return raw(json.dumps(value).encode(), content_type)


def raw(body: bytes, content_type: str = "application/json") -> Fault:
    """Any bytes with status 200."""

    async def act(server: FaultServer, request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Type": content_type})

    return act


def status(
    code: int, message: str = "no", /, *, retry_after: str | None = None, **fields: Any
) -> Fault:
    """An error as OpenAI spells it; `fields` are further ones inside it, such as `code`."""

    async def act(server: FaultServer, request: web.Request) -> web.StreamResponse:
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        body = {"error": {"message": message, **fields}}
        return web.json_response(body, status=code, headers=headers)

    return act


def plain_status(code: int, body: str, **headers: str) -> Fault:
    """An error page, as a proxy in front of a server sends it."""

    async def act(server: FaultServer, request: web.Request) -> web.StreamResponse:
        return web.Response(text=body, status=code, content_type="text/html", headers=headers)

    return act


def reset() -> Fault:
    """The connection is torn down without an answer."""

    async def act(server: FaultServer, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return act


def cut(body: bytes = b'{"choices": [') -> Fault:
    """The connection is torn down in the middle of the answer."""

    async def act(server: FaultServer, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(body) + 1000
        await response.prepare(request)
        await response.write(body)
        assert request.transport is not None
        request.transport.abort()
        return response

    return act


def no_http(line: bytes = b"SSH-2.0-server\r\n") -> Fault:
    """Something other than a web server answers."""

    async def act(server: FaultServer, request: web.Request) -> web.StreamResponse:
        assert isinstance(request.transport, asyncio.Transport)
        request.transport.write(line)
        request.transport.close()
        return web.Response()

    return act


def drip(seconds: float = 0.01) -> Fault:
    """A blank now and then, for ever: never silent for long, never done."""

    async def act(server: FaultServer, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while not server.stopping.is_set():
                await response.write(b" ")
                await asyncio.sleep(seconds)
        return response

    return act


def bomb(size: int) -> Fault:
    """Blanks that were packed to a thousandth of their size, though nobody asked for that."""
    body = gzip.compress(b" " * size, compresslevel=1)

    async def act(server: FaultServer, request: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        return web.Response(body=body, headers=headers)

    return act


def headers_of(size: int) -> Fault:
    """A good answer under a header of so many bytes."""

    async def act(server: FaultServer, request: web.Request) -> web.StreamResponse:
        response = await reply()(server, request)
        response.headers["X-Noise"] = "x" * size
        return response

    return act


def hang(after: bytes | None = None) -> Fault:
    """No answer ever; or its first bytes, and then nothing until the server stops."""

    async def act(server: FaultServer, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        if after is not None:
            await response.prepare(request)
            await response.write(after)
        await server.stopping.wait()
        return response

    return act


def flood(size: int, *, declared: bool) -> Fault:
    """A body of many bytes, its length declared beforehand or not."""

    async def act(server: FaultServer, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        if declared:
            response.content_length = size
        await response.prepare(request)
        chunk = b" " * 1_000_000
        with contextlib.suppress(ConnectionError):
            for _ in range(0, size, len(chunk)):
                await response.write(chunk)
        return response

    return act


def when(event: asyncio.Event, then: Fault) -> Fault:
    """Another fault, once an event has happened."""

    async def act(server: FaultServer, request: web.Request) -> web.StreamResponse:
        await event.wait()
        return await then(server, request)

    return act


class FaultServer:
    """The server, as an asynchronous context manager.

    Args:
        script: what happens to the first requests, in the order of their arrival.
        default: what happens to all later ones.
        models: what `/v1/models` lists, or what happens to a request for it.
        port: 0 is any free one.
    """

    def __init__(
        self,
        script: Iterable[Fault] = (),
        default: Fault | None = None,
        models: Sequence[str] | Fault = ("tiny", "tinier"),
        port: int = 0,
    ) -> None:
        self.script = deque(script)
        self.default = default or reply()
        self.models = models
        self.requests: list[Received] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.stopping = asyncio.Event()
        self._arrivals: list[tuple[int, asyncio.Future[None]]] = []
        self._port = port
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    async def __aenter__(self) -> FaultServer:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/v1/models", self._list)
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_post("/v1/completions", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def holds(self, count: int) -> None:
        """Waits until so many requests are in flight."""
        if self.in_flight < count:
            arrived = asyncio.get_running_loop().create_future()
            self._arrivals.append((count, arrived))
            await arrived

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if callable(self.models):
            return await self.models(self, request)
        data = [{"id": name, "object": "model"} for name in self.models]
        return web.json_response({"object": "list", "data": data})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        for count, arrived in self._arrivals:
            if self.in_flight >= count and not arrived.done():
                arrived.set_result(None)
        try:
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.requests.append(Received(request.path, await request.json(), headers))
            fault = self.script.popleft() if self.script else self.default
            return await fault(self, request)
        finally:
            self.in_flight -= 1


@contextlib.contextmanager
def in_thread(server: FaultServer) -> Iterator[FaultServer]:
    """Runs a server in a thread of its own until the block ends.

    Raises:
        RuntimeError: if it does not start.
    """
    started, finish = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with server:
            started.set()
            await finish.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    if not started.wait(10):
        raise RuntimeError("the fault server did not start")
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(finish.set)
        thread.join(10)
        loop.close()
