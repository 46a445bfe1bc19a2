"""First contact with a server: everything that would fail for every episode is said here.

First `/models`, to know what there is; then one short request like all that follow, because only
that tells whether key, model and parameters are accepted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from spa_bench.errors import InputError, nearest
from spa_bench.models import openai_failures, openai_wire
from spa_bench.models.model import Message, Reply, Request, Sampling
from spa_bench.models.openai_failures import Failure
from spa_bench.models.openai_settings import Settings, is_openai
from spa_bench.models.openai_wire import Call

if TYPE_CHECKING:
    from spa_bench.models.openai import Server

_LIST_SECONDS = 10.0
_CONNECT_SECONDS = 5.0
_PROBE_SECONDS = 30.0
"""A server that loads the model at its first request may take longer: it is then believed."""

PROBE = Request(
    # With a system message, as every task has one: some chat templates refuse it.
    messages=(Message("system", "Be brief."), Message("user", "Say hello.")),
    prefill="Hello",
    sampling=Sampling(temperature=1.0, top_p=1.0, new_tokens=16),
    seed=0,
)

_CONTINUE_WITH = {"vllm": "vllm", "sglang": "vllm", "llamacpp": "true"}


async def check(server: Server, settings: Settings, probe: Call[Reply]) -> None:
    """Makes sure that a server will answer.

    Args:
        probe: what asks it for a short reply.

    Raises:
        InputError: if it will not, with what to do.
    """
    listed = await _list(server, settings)
    models = openai_wire.listed_models(listed) or []
    names = [name for model in models for name in model]
    anything = any("*" in name for name in names)  # LiteLLM passes on whatever it is asked for
    if len(models) == 1 and not anything and not _served(settings.model, names):
        # A server of one model often answers under any name: llama.cpp does.
        raise InputError(
            f"{server.url} serves only {names[0]!r}, not {settings.model!r}: ask for"
            f" openai/{names[0]}"
        )
    wanted = _CONTINUE_WITH.get(openai_wire.server_kind(listed))
    if settings.api == "chat" and wanted and settings.prefill not in ("false", wanted):
        # Nothing in a reply would tell: the server would begin anew and the reply look like one.
        raise InputError(
            f"{server.url} continues a message only with --model-args prefill={wanted}, not"
            f" prefill={settings.prefill}"
        )
    result = await server.post(probe, _PROBE_SECONDS)
    if isinstance(result, Reply) or result.kind in ("overload", "timeout", "transient", "filtered"):
        return  # it is there; what may pass is left to the tries of every request
    if result.kind == "too_long":
        if openai_failures.OUTPUT_LIMIT in result.message:
            return  # the reasoning took all there was, which is little here
        raise InputError(
            f"{server.url}: {result.message}; it refuses two short messages: serve it with more"
            " context, or ask for fewer tokens with --model-args reasoning_tokens="
        )
    if result.kind == "unreachable":
        raise InputError(_down(server.url, result))
    if result.status in (400, 404) and not _served(settings.model, names):
        raise InputError(_no_model(server.url, settings, names, result))
    if settings.api == "chat" and "chat template" in result.message:
        raise InputError(
            f"{server.url}: {result.message}: for a model without chats, add --model-args"
            " api=completions"
        )
    raise InputError(f"{server.url}: {result.message}")


async def _list(server: Server, settings: Settings) -> object:
    """Returns the answer of `/models`; None where there is no such thing."""
    from openai import Timeout

    try:
        async with asyncio.timeout(_LIST_SECONDS):
            return await server.client.get(
                "/models",
                cast_to=object,
                options={"timeout": Timeout(None, connect=_CONNECT_SECONDS)},
            )
    except TimeoutError:
        raise InputError(
            f"{server.url} accepts connections but does not answer: is that the right port, and is"
            " the model loaded?"
        ) from None
    except Exception as error:
        result = openai_failures.from_exception(error, settings.key)
        if result.kind in ("unreachable", "timeout"):
            raise InputError(_down(server.url, result)) from None
        if result.status == 503:
            raise InputError(
                f"{server.url} is not ready ({result.message}): try again when it is"
            ) from None
        return None


def _served(model: str, names: list[str]) -> bool:
    """Returns whether a name is listed, in Google's or Ollama's spelling too."""
    return bool({model, f"models/{model}", f"{model}:latest"}.intersection(names))


def _down(url: str, failure: Failure) -> str:
    if is_openai(url):
        return f"{url}: {failure.message}: is there a network? Another server needs --base-url"
    return f"no server answers at {url}: {failure.message}; start it, or correct --base-url"


def _no_model(url: str, settings: Settings, names: list[str], failure: Failure) -> str:
    said = f"{url} has no model {settings.model!r}{nearest(settings.model, names)}"
    if not names:
        path = "" if url.rstrip("/").endswith("/v1") else "; or does the address lack /v1?"
        what = "chat completions" if settings.api == "chat" else "completions"
        return f"{said}, or no {what} ({failure.message}){path}"
    listed = ", ".join(sorted(names)[:10]) + (", ..." if len(names) > 10 else "")
    return f"{said}; it has {listed} ({failure.message})"
