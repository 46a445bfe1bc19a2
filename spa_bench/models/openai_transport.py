"""The `openai` client as spa-bench uses it: over aiohttp, without its own retries, with a bound
on the size of an answer. Importing this module imports the client library: do so late."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient, Omit, Timeout

LARGEST_ANSWER = 20_000_000
"""Bytes of one answer; a reply of 100,000 tokens has about half a million."""


_HEADERS: dict[str, str | Omit] = {
    # an answer that arrives compressed could not be bounded by counting its bytes
    "Accept-Encoding": "identity",
    # the library would tell every server what machine it runs on
    **{
        f"X-Stainless-{what}": Omit()
        for what in ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
    },
}


class UnboundedError(Exception):
    """A server sends more than any reply can be, or what may become that; its text says which."""


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        async for chunk in self._stream:
            received += len(chunk)
            if received > LARGEST_ANSWER:
                raise UnboundedError(f"the answer is larger than {LARGEST_ANSWER // 1_000_000} MB")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Unread(_Bounded):
    """A body that nobody needs; closed like any other."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        return
        yield


async def _bound(response: httpx2.Response) -> None:
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    bounded = _Bounded
    if response.headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        # A megabyte may unpack to a thousand; nobody asked for it.
        if response.is_success:
            raise UnboundedError(
                "the answer is compressed, though the request asks for it as it is"
            )
        del response.headers["content-encoding"]  # the status of an error says enough
        bounded = _Unread
    response.stream = bounded(response.stream)


def open_client(base_url: str, key: str | None, connections: int, connect: float) -> AsyncOpenAI:
    """Returns a client for one server.

    Args:
        base_url: up to and without `/chat/completions`.
        key: None for a server that wants none.
        connections: that may be open at a time.
        connect: seconds to wait for a connection; all other waiting is bounded by the caller.
    """
    # uvicorn, and with it vLLM, closes connections that were idle for 5 seconds.
    transport = DefaultAioHttpClient(
        limits=httpx2.Limits(max_connections=connections, keepalive_expiry=4.0),
        event_hooks={"response": [_bound]},
        follow_redirects=False,
    )
    return AsyncOpenAI(
        base_url=base_url,
        # The library insists on a key; servers that want none ignore it.
        api_key=key or "none",
        max_retries=0,
        timeout=Timeout(None, connect=connect),
        http_client=transport,
        default_headers=cast(dict[str, str], _HEADERS),  # its types do not say what it documents
    )
