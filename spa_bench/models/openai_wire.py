"""What all calls of an OpenAI-compatible server have in common, as pure functions on JSON.

`openai_chat` and `openai_completions` say what is asked and how its answer is read. A server's
answer is never trusted: what is missing becomes None, what is absurd is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from spa_bench.models.model import Sampling, StopReason, Usage
from spa_bench.models.openai_settings import Settings

T = TypeVar("T")

_STOP_REASONS: Mapping[object, StopReason] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "max_output_tokens": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
}

_BROKEN_OFF = ("error", "abort", "insufficient_system_resource")
"""Finish reasons by which servers say that the reply is not the model's whole reply."""


class MalformedAnswerError(Exception):
    """An answer of status 200 that is not what was asked for; its text says why."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One thing to ask of a server.

    Attributes:
        path: below the base URL.
        body: the JSON object to send.
        read: makes of the answer's JSON what was asked for.
            Raises MalformedAnswerError if the answer is not that.
    """

    path: str
    body: Mapping[str, Any]
    read: Callable[[object], T]


def sampling_fields(settings: Settings, sampling: Sampling, seed: int) -> dict[str, Any]:
    """Returns the fields that say which model samples and how, less those the user leaves out."""
    # top_p=1 is sent too: vLLM would otherwise take the model's own default, often 0.8.
    fields: dict[str, Any] = {
        "model": settings.model,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": fold_seed(seed),
        settings.max_tokens_field: sampling.new_tokens + settings.reasoning_tokens,
    }
    left_out = set(settings.omit)
    if settings.at_openai:  # 1 is the default there, and some models refuse to be told any
        left_out |= {name for name in ("temperature", "top_p") if fields[name] == 1}
    for name in left_out:
        del fields[name]
    if sampling.stop:
        fields["stop"] = list(sampling.stop)
    return fields


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


def first_choice(answer: object) -> Mapping[str, object]:
    """Returns the first of an answer's choices.

    Raises:
        MalformedAnswerError: if there is none, or the server says that it broke off.
    """
    choices = as_sequence(as_mapping(answer).get("choices"))
    if not choices:
        raise MalformedAnswerError("the answer has no choices")
    choice = as_mapping(choices[0])
    finish = choice.get("finish_reason")
    if finish in _BROKEN_OFF:
        raise MalformedAnswerError(f"the server broke the reply off: finish_reason {finish!r}")
    return choice


def stop_reason(choice: Mapping[str, object]) -> StopReason:
    """Returns why a choice ended; what is unknown counts as the model's own end."""
    finish = choice.get("finish_reason")
    return _STOP_REASONS.get(finish.lower(), "stop") if isinstance(finish, str) else "stop"


def error_within(answer: object) -> tuple[int, object] | None:
    """Returns status and body of an error that a gateway delivers as an answer of status 200."""
    fields = as_mapping(answer)
    error = fields.get("error")
    if not error or fields.get("choices"):
        return None
    code = as_count(as_mapping(error).get("code"))
    return code if code is not None and 400 <= code < 600 else 502, error


def read_usage(value: object) -> Usage:
    """Reads token counts; what is missing or contradicts itself is None."""
    usage = as_mapping(value)
    prompt, written = as_count(usage.get("prompt_tokens")), as_count(usage.get("completion_tokens"))
    cached = as_count(as_mapping(usage.get("prompt_tokens_details")).get("cached_tokens"))
    details = as_mapping(usage.get("completion_tokens_details"))
    reasoning = as_count(details.get("reasoning_tokens"))
    total = as_count(usage.get("total_tokens"))
    if prompt is not None and written is not None:
        # xAI and Gemini count reasoning apart from the completion; the total gives it away.
        apart = max(0, (total or 0) - prompt - written)
        written += apart
        reasoning = (apart or None) if reasoning is None else reasoning
    if cached is not None and prompt is not None and cached > prompt:
        cached = None
    if reasoning is not None and written is not None and reasoning > written:
        written = reasoning = None
    return Usage(prompt, written, cached, reasoning)


def listed_models(answer: object) -> list[tuple[str, ...]] | None:
    """Returns the models of a `/models` answer, each with all its names; None if it is none."""
    data: object = as_mapping(answer).get("data")
    if not isinstance(data, list):
        return None
    models: list[tuple[str, ...]] = []
    for entry in map(as_mapping, cast("list[object]", data)):
        names: list[object] = [entry.get("id"), *as_sequence(entry.get("aliases"))]
        models.append(tuple(dict.fromkeys(name for name in names if isinstance(name, str))))
    return [names for names in models if names]


def server_kind(answer: object) -> str:
    """Returns what a `/models` answer says of its server: vllm, sglang, llamacpp, .. or ''."""
    for entry in as_sequence(as_mapping(answer).get("data")):
        owner = as_mapping(entry).get("owned_by")
        return owner if isinstance(owner, str) else ""
    return ""


def as_text(value: object) -> str:
    """Returns a string, or the text parts of a list of parts, without lone surrogates."""
    parts = [as_mapping(part).get("text") for part in as_sequence(value)]
    text = value if isinstance(value, str) else "".join(p for p in parts if isinstance(p, str))
    try:
        text.encode()
    except UnicodeEncodeError:  # JSON can spell half a character; no log could be written of it
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def as_count(value: object) -> int | None:
    """Returns a number of tokens: whole, at least 0, and no larger than the log can hold."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < 2**53 else None


def as_mapping(value: object) -> Mapping[str, object]:
    """Returns a JSON object, or an empty one for anything else."""
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def as_sequence(value: object) -> Sequence[object]:
    """Returns a JSON array, or an empty one for anything else."""
    return cast("Sequence[object]", value) if isinstance(value, list) else ()
