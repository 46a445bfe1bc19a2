"""Between the protocol of models and the JSON of `/chat/completions`: pure functions.

A server's answer is never trusted: what is missing becomes None, what is absurd is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from spa_bench.models.model import Reply, Request, StopReason, Usage
from spa_bench.models.openai_settings import Settings

_STOP_REASONS: Mapping[object, StopReason] = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}

_BROKEN_OFF = ("error", "abort")
"""Finish reasons by which servers say that the reply is not the model's whole reply."""


class MalformedAnswerError(Exception):
    """An answer of status 200 that is no chat completion; its text says why."""


def request_body(settings: Settings, request: Request) -> dict[str, Any]:
    """Returns the JSON object to send."""
    sampling = request.sampling
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    # top_p=1 is sent too: vLLM would otherwise take the model's own default, often 0.8.
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": messages,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": fold_seed(request.seed),
        settings.max_tokens_field: sampling.new_tokens + settings.reasoning_tokens,
    }
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    for name in settings.omit:
        del body[name]
    if continues(settings, request):
        messages.append({"role": "assistant", "content": request.prefill})
        if settings.prefill == "vllm":
            body |= {"continue_final_message": True, "add_generation_prompt": False}
    return {**body, **settings.extra_body}


def continues(settings: Settings, request: Request) -> bool:
    """Returns whether the server is asked to continue the request's prefill."""
    return settings.prefill != "false" and bool(request.prefill)


def fold_seed(seed: int) -> int:
    """Returns the seed in 31 bits, which is what every server can read."""
    return (seed ^ seed >> 32) & 0x7FFFFFFF


def decoded(answer: object) -> object:
    """Returns the JSON of an answer that its server did not declare as JSON.

    Raises:
        MalformedAnswerError: if it is none.
    """
    if not isinstance(answer, str):
        return answer
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        raise MalformedAnswerError("the answer is not JSON") from None


def read_reply(answer: object, settings: Settings, request: Request) -> Reply:
    """Reads a chat completion.

    Raises:
        MalformedAnswerError: if it is none.
    """
    choices = _mapping(answer).get("choices")
    if not isinstance(choices, list) or not choices:
        raise MalformedAnswerError("the answer has no choices")
    choice = _mapping(cast("list[object]", choices)[0])
    message = _mapping(choice.get("message"))
    if not message:
        raise MalformedAnswerError("the answer has no message")
    finish = choice.get("finish_reason")
    if finish in _BROKEN_OFF:
        raise MalformedAnswerError(f"the server broke the reply off: finish_reason {finish!r}")
    content = message.get("content")
    text = _text(content) or _text(message.get("refusal"))
    prefilled = continues(settings, request)
    if prefilled and settings.prefill == "true":
        # llama.cpp repeats the prefill in its reply, others do not.
        text = text.removeprefix(request.prefill)
    reasoning = (
        _text(message.get("reasoning_content"))  # DeepSeek, llama.cpp, SGLang
        or _text(message.get("reasoning"))  # vLLM, OpenRouter, Groq
        or "".join(_text(_mapping(part).get("thinking")) for part in _sequence(content))  # Mistral
    )
    return Reply(
        text=text,
        stop_reason=_STOP_REASONS.get(finish, "stop") if isinstance(finish, str) else "stop",
        usage=read_usage(_mapping(answer).get("usage")),
        prefilled=prefilled,
        reasoning=reasoning or None,
    )


def error_within(answer: object) -> tuple[int, object] | None:
    """Returns status and body of an error that a gateway delivers as an answer of status 200."""
    fields = _mapping(answer)
    error = fields.get("error")
    if not error or fields.get("choices"):
        return None
    code = _count(_mapping(error).get("code"))
    return code if code is not None and 400 <= code < 600 else 502, error


def read_usage(value: object) -> Usage:
    """Reads token counts; what is missing or contradicts itself is None."""
    usage = _mapping(value)
    prompt, written = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    cached = _count(_mapping(usage.get("prompt_tokens_details")).get("cached_tokens"))
    details = _mapping(usage.get("completion_tokens_details"))
    reasoning, total = _count(details.get("reasoning_tokens")), _count(usage.get("total_tokens"))
    if prompt is not None and written is not None and reasoning and total is not None:
        # xAI and Gemini count reasoning apart from the completion; the total gives it away.
        written += reasoning if total == prompt + written + reasoning else 0
    if cached is not None and prompt is not None and cached > prompt:
        cached = None
    if reasoning is not None and written is not None and reasoning > written:
        written = reasoning = None
    return Usage(prompt, written, cached, reasoning)


def listed_models(answer: object) -> list[tuple[str, ...]] | None:
    """Returns the models of a `/models` answer, each with all its names; None if it is none."""
    data: object = _mapping(answer).get("data")
    if not isinstance(data, list):
        return None
    models: list[tuple[str, ...]] = []
    for entry in map(_mapping, cast("list[object]", data)):
        names: list[object] = [entry.get("id"), *_sequence(entry.get("aliases"))]
        models.append(tuple(dict.fromkeys(name for name in names if isinstance(name, str))))
    return [names for names in models if names]


def server_kind(answer: object) -> str:
    """Returns what a `/models` answer says of its server: vllm, sglang, llamacpp, .. or ''."""
    for entry in _sequence(_mapping(answer).get("data")):
        owner = _mapping(entry).get("owned_by")
        return owner if isinstance(owner, str) else ""
    return ""


def _text(value: object) -> str:
    """Returns a string, or the text parts of a list of parts, without lone surrogates."""
    parts = [_mapping(part).get("text") for part in _sequence(value)]
    text = value if isinstance(value, str) else "".join(p for p in parts if isinstance(p, str))
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can spell half a character; no log could be written of it
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _count(value: object) -> int | None:
    # A bool is an int, too.
    return value if isinstance(value, int) and type(value) is int and value >= 0 else None


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def _sequence(value: object) -> Sequence[object]:
    return cast("Sequence[object]", value) if isinstance(value, list) else ()
