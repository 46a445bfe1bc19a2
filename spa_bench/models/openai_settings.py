"""What a user says about a model behind an OpenAI-compatible server, checked once.

`--model-args` (all optional):
    api=completions     ask `/completions` in place of `/chat/completions`, for base models and
                        servers without chats: the conversation goes out as plain text.
    logprobs=true       with api=completions: replies come with their log-probabilities.
    prefill=true|vllm   the server continues an assistant message that has begun. `true` just ends
                        the conversation with it: llama.cpp, LMDeploy, gateways to Claude models
                        that can. `vllm` says `continue_final_message`, too: vLLM, SGLang, TGI,
                        which would otherwise begin a new message after it. OpenAI's own models
                        cannot. Tried on llama.cpp and vLLM.
    omit=seed+top_p     parameters the server refuses: of temperature, top_p, seed.
    max_tokens_field=   max_tokens or max_completion_tokens; the default is what OpenAI's own
                        servers want there, and max_tokens elsewhere.
    reasoning_tokens=N  tokens to allow for hidden reasoning, on top of a task's new_tokens.
    extra_body={..}     JSON object, merged into every request: {"reasoning_effort": "low"}.
    timeout=600         seconds a complete answer may take.
    tries=8             how often a request that failed for the server's reasons is asked at all.

Without --base-url the server is that of OPENAI_BASE_URL, or else OpenAI's own. The key stands in
OPENAI_API_KEY, is read from nowhere else, and is sent to every server of the run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar, cast
from urllib.parse import urlsplit

from spa_bench.errors import InputError, nearest
from spa_bench.models import plain_layout
from spa_bench.models.model import ModelOptions

OPENAI_URL = "https://api.openai.com/v1"
KEY_VARIABLE = "OPENAI_API_KEY"

DEFAULT_CONCURRENCY = 32
"""Requests in flight at each server, unless the user says otherwise."""

OMITTABLE = ("temperature", "top_p", "seed")

Api: TypeAlias = Literal["chat", "completions"]
PrefillMode: TypeAlias = Literal["false", "true", "vllm"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Settings:
    """A checked `ModelOptions`.

    Attributes:
        key: never shown; None where the user has none.
        at_openai: all servers are OpenAI's own.
    """

    model: str
    label: str
    base_urls: tuple[str, ...]
    concurrency: int
    key: str | None = field(repr=False)
    api: Api = "chat"
    logprobs: bool = False
    prefill: PrefillMode = "false"
    omit: tuple[str, ...] = ()
    at_openai: bool = False
    max_tokens_field: str = "max_tokens"
    reasoning_tokens: int = 0
    extra_body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    timeout: float = 600.0
    tries: int = 8

    def identity(self) -> dict[str, Any]:
        """Returns what changes the answers; keys and addresses do not."""
        common = {"model": self.model, "omit": list(self.omit), "extra_body": dict(self.extra_body)}
        if self.api == "completions":
            return common | {"api": self.api, "layout": plain_layout.NAME}
        return common | {"prefill": self.prefill, "reasoning_tokens": self.reasoning_tokens}


def read_settings(options: ModelOptions, environ: Mapping[str, str] = os.environ) -> Settings:
    """Checks what the user said.

    Raises:
        InputError: for anything unknown, contradictory or missing.
    """
    if not options.model:
        raise InputError("which model? Write it after the slash, such as openai/gpt-5")
    for flag in ("batch_size", "device", "dtype", "adapter"):
        if getattr(options, flag) is not None:
            raise InputError(f"--{flag.replace('_', '-')} is the server's business, not openai/'s")
    concurrency = options.concurrency
    if concurrency is not None and concurrency < 1:
        raise InputError(f"--concurrency {concurrency}: at least 1")
    urls = options.base_urls or (environ.get("OPENAI_BASE_URL") or OPENAI_URL,)
    base_urls = tuple(dict.fromkeys(_base_url(url) for url in urls))
    at_openai = all(map(is_openai, base_urls))
    args = dict(options.args)
    _refuse_unknown(args)
    api: Api = _read(args, "api", _api, "chat")
    for name in _ONLY_OF["chat" if api == "completions" else "completions"]:
        if name in args:
            raise InputError(f"--model-args {name}={args[name]}: not with api={api}")
    return Settings(
        model=options.model,
        label=options.label,
        base_urls=base_urls,
        concurrency=concurrency or DEFAULT_CONCURRENCY * len(base_urls),
        key=_key(environ, base_urls),
        api=api,
        logprobs=_read(args, "logprobs", _truth, False),
        prefill=_read(args, "prefill", _prefill, "false"),
        omit=_read(args, "omit", _omit, ()),
        at_openai=at_openai,
        max_tokens_field=_read(args, "max_tokens_field", _field, _default_field(api, at_openai)),
        reasoning_tokens=_read(args, "reasoning_tokens", _whole(0), 0),
        extra_body=_read(args, "extra_body", _extra_body, {}),
        timeout=_read(args, "timeout", _seconds, 600.0),
        tries=_read(args, "tries", _whole(1), 8),
    )


def is_openai(base_url: str) -> bool:
    """Returns whether this is OpenAI's own server."""
    host = urlsplit(base_url).hostname or ""
    return host == "openai.com" or host.endswith(".openai.com")


_ONLY_OF: Mapping[Api, tuple[str, ...]] = {
    # A completion continues any prefill, has one name for its limit, and hides no reasoning.
    "chat": ("prefill", "max_tokens_field", "reasoning_tokens"),
    "completions": ("logprobs",),
}

_ARGS = (
    "api",
    "logprobs",
    "prefill",
    "omit",
    "max_tokens_field",
    "reasoning_tokens",
    "extra_body",
    "timeout",
    "tries",
)

_TAKEN = (
    "model",
    "messages",
    "prompt",
    "echo",
    "logprobs",
    "n",
    "stream",
    "stop",
    "max_tokens",
    "max_completion_tokens",
    *OMITTABLE,
)
"""Request fields that the task and the harness decide."""


def _refuse_unknown(args: Mapping[str, str]) -> None:
    for name in args:
        if name in _ARGS:
            continue
        if "key" in name.lower() or name.lower() in ("token", "password", "authorization"):
            raise InputError(
                f"--model-args {name}: a key on the command line ends up in logs; put it into the"
                f" environment variable {KEY_VARIABLE}"
            )
        if name == "base_url":
            raise InputError("--model-args base_url: say --base-url instead")
        raise InputError(
            f"openai/ has no model argument {name!r}{nearest(name, _ARGS)};"
            f" there are {', '.join(_ARGS)}"
        )


def _key(environ: Mapping[str, str], base_urls: tuple[str, ...]) -> str | None:
    key = environ.get(KEY_VARIABLE, "").strip()
    if not key:
        if any(map(is_openai, base_urls)):
            raise InputError(
                f"OpenAI's servers want a key: put it into the environment variable {KEY_VARIABLE}"
                " (or name another server with --base-url)"
            )
        return None
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"{KEY_VARIABLE} holds characters that no key has: set it again")
    return key


def _base_url(text: str) -> str:
    if "," in text:
        raise InputError("--base-url holds a comma: give --base-url once for each server")
    url = text.strip().rstrip("/").removesuffix("/completions").removesuffix("/chat")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"--base-url {url}: {error}") from None
    if parts.username is not None or parts.password is not None:
        raise InputError(
            f"--base-url holds a user name or password: put the key into {KEY_VARIABLE} instead"
        )
    if parts.scheme not in ("http", "https") or not host:
        raise InputError(f"--base-url {url}: needs the form http://HOST:PORT/v1")
    if parts.query or parts.fragment:
        raise InputError(f"--base-url {parts.scheme}://{parts.netloc}{parts.path}: no ? or # in it")
    return url


def _read(args: Mapping[str, str], name: str, parse: Callable[[str], _T], default: _T) -> _T:
    if name not in args:
        return default
    try:
        return parse(args[name].strip())
    except ValueError as error:
        raise InputError(f"--model-args {name}={args[name]}: {error}") from None


def _prefill(text: str) -> PrefillMode:
    mode = text.lower()
    if mode not in ("false", "true", "vllm"):
        raise ValueError("none of false, true, vllm")
    return mode


def _omit(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split("+") if name.strip()]
    for name in names:
        if name not in OMITTABLE:
            raise ValueError(
                f"{name!r} cannot be left out{nearest(name, OMITTABLE)}; {', '.join(OMITTABLE)}"
                " can, joined by +"
            )
    return tuple(name for name in OMITTABLE if name in names)


def _api(text: str) -> Api:
    if text not in ("chat", "completions"):
        raise ValueError("neither chat nor completions")
    return text


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("neither true nor false")
    return text.lower() == "true"


def _default_field(api: Api, at_openai: bool) -> str:
    return "max_completion_tokens" if api == "chat" and at_openai else "max_tokens"


def _field(text: str) -> str:
    if text not in ("max_tokens", "max_completion_tokens"):
        raise ValueError("neither max_tokens nor max_completion_tokens")
    return text


def _extra_body(text: str) -> dict[str, Any]:
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError('not a JSON object such as {"reasoning_effort": "low"}')
    body = cast("dict[str, Any]", value)
    for name in body:
        if name in _TAKEN:
            raise ValueError(f"{name!r} is not free: the task or another option decides it")
    return body


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError("not a positive number of seconds")
    return seconds


def _whole(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise ValueError(f"not a whole number of at least {least}")
        return int(text)

    return parse
