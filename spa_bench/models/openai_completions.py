"""`/completions`: the conversation goes out as plain text, its continuation comes back.

For base models and for servers without chats. The text is that of `plain_layout`, the same that
`hf/` shows to a model without a chat template. Since a reply is a continuation, it continues any
prefill; and a server that echoes its prompt with log-probabilities can score a given text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from spa_bench.errors import InputError
from spa_bench.models import plain_layout
from spa_bench.models.model import Message, Reply, Request, ScoredToken
from spa_bench.models.openai_settings import Settings
from spa_bench.models.openai_wire import (
    Call,
    MalformedAnswerError,
    as_mapping,
    as_sequence,
    as_text,
    first_choice,
    read_usage,
    sampling_fields,
    stop_reason,
)
from spa_bench.models.stop_strings import cut

_PATH = "/completions"


def call(settings: Settings, request: Request) -> Call[Reply]:
    """Returns what to ask for a request."""
    stops = (*request.sampling.stop, *plain_layout.STOPS)
    sampling = replace(request.sampling, stop=stops)
    body = {
        **sampling_fields(settings, sampling, request.seed),
        "prompt": plain_layout.render(request.messages) + request.prefill,
        **({"logprobs": 1} if settings.logprobs else {}),
        **settings.extra_body,
    }
    return Call(
        _PATH,
        body,
        partial(_read, stops=stops, prefilled=bool(request.prefill), logprobs=settings.logprobs),
    )


def score_call(
    settings: Settings, messages: Sequence[Message], prefill: str, text: str
) -> Call[tuple[ScoredToken, ...]]:
    """Returns what to ask for the log-probabilities of `text`, as `Scorer` says."""
    body = {
        "model": settings.model,
        "prompt": plain_layout.render(messages) + prefill + text,
        "max_tokens": 0,
        "echo": True,
        "logprobs": 1,
        **settings.extra_body,
    }
    return Call(_PATH, body, partial(_read_scores, text=text))


def _read(answer: object, stops: Sequence[str], prefilled: bool, logprobs: bool) -> Reply:
    choice = first_choice(answer)
    if not isinstance(choice.get("text"), str):
        raise MalformedAnswerError("the answer has no text")
    return Reply(
        # Some servers leave the stop string in.
        text=cut(as_text(choice["text"]), stops),
        stop_reason=stop_reason(choice),
        usage=read_usage(as_mapping(answer).get("usage")),
        prefilled=prefilled,
        logprobs=tuple(token.logprob for token in _tokens(choice)) if logprobs else None,
    )


def _read_scores(answer: object, text: str) -> tuple[ScoredToken, ...]:
    choice = first_choice(answer)
    if not as_text(choice.get("text")).endswith(text):
        raise InputError(
            "the server does not give back a text with its log-probabilities (echo), so it cannot"
            " score: vLLM and SGLang can, llama.cpp cannot; hf/ can, too"
        )
    scored: list[ScoredToken] = []
    spelt = 0
    for token in reversed(_tokens(choice, skip_first=True)):
        if spelt >= len(text):
            break
        scored.append(token)
        spelt += len(token.text)
    scored.reverse()
    if not "".join(token.text for token in scored).endswith(text):
        raise MalformedAnswerError("the tokens of the answer do not spell the text")
    return tuple(scored)


def _tokens(choice: Mapping[str, object], *, skip_first: bool = False) -> list[ScoredToken]:
    """Returns the tokens of a choice.

    Args:
        skip_first: the first token of an echoed prompt has no log-probability.

    Raises:
        MalformedAnswerError: if there are none, or they are not what they should be.
    """
    logprobs = as_mapping(choice.get("logprobs"))
    if not logprobs and choice.get("text"):
        raise MalformedAnswerError("the answer has no log-probabilities")
    if "content" in logprobs:  # llama.cpp writes them as chats do
        entries = [as_mapping(entry) for entry in as_sequence(logprobs["content"])]
        pairs = [(entry.get("token"), entry.get("logprob")) for entry in entries]
    else:
        texts, values = (as_sequence(logprobs.get(name)) for name in ("tokens", "token_logprobs"))
        pairs = list(zip(texts, values, strict=False))
    tokens: list[ScoredToken] = []
    for text, value in pairs[skip_first:]:
        logprob = _number(value)
        if not isinstance(text, str) or math.isnan(logprob):
            raise MalformedAnswerError("a token of the answer has no log-probability")
        tokens.append(ScoredToken(text, logprob))
    return tokens


def _number(value: object) -> float:
    """Returns a number that a server wrote; NaN for what is none, or has hundreds of digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
