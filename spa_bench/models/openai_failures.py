"""What a failed call means: try again, slow down, give up on it, or stop the run.

Every failure becomes one line for people. Servers' own words are quoted, but first cleaned: no
key, no control characters, no page of HTML.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias, cast

from spa_bench.models.openai_settings import KEY_VARIABLE, OMITTABLE

Kind: TypeAlias = Literal[
    "overload",
    "timeout",
    "unreachable",
    "transient",
    "malformed",
    "refused",
    "gone",
    "too_long",
    "filtered",
]
"""overload: fewer requests, later. timeout: no complete answer in time. unreachable: no connection
at all. transient, malformed: may work another time. refused: this request never will. gone: no
request will. too_long, filtered: the model's own doing, not the server's: the conversation is
longer than it can read, or its filter refuses the prompt."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call has no reply.

    Attributes:
        message: one line, without the server's address.
        status: of HTTP, where there was one.
        retry_after: seconds the server asks to wait.
    """

    kind: Kind
    message: str
    status: int | None = None
    retry_after: float | None = None

    @property
    def may_be_paid(self) -> bool:
        """Whether the model may have written a reply, which was lost on its way or is unreadable.

        Nobody asks money for a refusal, nor for a call that never arrived.
        """
        lost = self.status is None or self.status in _LOST
        return lost and self.kind != "unreachable"


_WORDS = 300
"""Characters quoted of what a server says."""

_OVERLOADED = (429, 503, 529)
_PASSING = (408, 409, 425)
"""As every status from 500 on, but for 501: what is not implemented will not be."""
_LOST = (502, 504, 520, 524)
"""A gateway did not get an answer, which may have been written all the same."""

_FOR_EVERYBODY = (401, 402, 403, 404, 405, 410)

_NO_QUOTA = re.compile(r"insufficient_quota|credit balance", re.IGNORECASE)
_QUOTA = re.compile(r"exceeded your current quota", re.IGNORECASE)
_LATER = re.compile(r"retry|try again|per (minute|hour|day)", re.IGNORECASE)
"""Google says the same of a minute's quota as of an account's: only the first may be tried anew."""
_LIMIT = re.compile(
    r"max_(completion_|new_|output_)?tokens\b.{0,60}"
    r"(must be|too large|at most|less than|valid range|maximum|>)",
    re.IGNORECASE,
)
_CONVERSATION = re.compile(r"\b(inputs?|prompt|messages?|context length)\b", re.IGNORECASE)
"""A limit on replies that does not depend on these is refused whatever the conversation is."""
OUTPUT_LIMIT = "max_tokens or model output limit was reached"
"""Of OpenAI's reasoning models, whose reasoning took all there was."""
_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|string_above_max_length"
    r"|(context|input|prompt|sequence)[ _](length|size|window|limit)"
    r"|(input|prompt|request|messages?)\b.{0,60}\b(is|are) too (long|large)"
    r"|input token count|inputs?\W{1,3}tokens?.{0,40}(exceed|must)|maximum number of tokens allowed"
    rf"|longer than the (model|maximum)|{OUTPUT_LIMIT}",
    re.IGNORECASE,
)
_BY_NAME = r"content_filter|content management policy|content_policy|data_inspection_failed"
_WORD, _PROMPT = r"(moderation|flagged)", r"\b(input|prompt|messages?)\b"
_FILTERED = re.compile(
    rf"{_BY_NAME}|{_PROMPT}.{{0,80}}{_WORD}|{_WORD}.{{0,80}}{_PROMPT}", re.IGNORECASE
)
"""A moderation without a prompt may as well be that of an account."""
_UNSUPPORTED = re.compile(
    r"unsupported|not (yet )?(supported|allowed|permitted)"
    r"|(does not|doesn't|cannot) (support|be|both)"
    r"|unrecognized|unknown|deprecated|extra (inputs|fields)|only the default|incompatible",
    re.IGNORECASE,
)
_LOWER = "ask for fewer tokens: --model-args reasoning_tokens=, or a task's limits.new_tokens"
_FIELDS = (*OMITTABLE, "max_tokens", "max_completion_tokens", "prefill")


def from_status(status: int, body: object, headers: Mapping[str, str], key: str | None) -> Failure:
    """Reads an answer of any status but 200.

    Args:
        status: of HTTP.
        body: its JSON, the `error` inside it, or text.
        headers: with names in lower case, or a mapping that does not mind.
        key: to be scrubbed.
    """
    words = _words(body, key)
    message = f"{status}{': ' + _cut(words) if words else ''}"
    everything = f"{words} {_code(body)}"
    if status in (400, 413, 422):
        if _LIMIT.search(everything) and not _CONVERSATION.search(everything):
            return Failure("gone", f"{message}; {_LOWER}", status)
        if _TOO_LONG.search(everything):
            return Failure("too_long", message, status)
    if status in (400, 403, 422) and _FILTERED.search(everything):
        return Failure("filtered", message, status)
    wait = retry_after(headers)
    if status == 429 and _spent(everything, wait):
        return Failure("gone", f"no quota left ({message})", status)
    if status in _OVERLOADED:
        return Failure("overload", message, status, wait)
    if status in _PASSING or (status >= 500 and status != 501):
        return Failure("transient", message, status, wait)
    if status in (401, 403):
        verb = "refuses" if status == 401 else "forbids this to"
        key_state = f"{verb} the key in" if key else "wants a key; none is in"
        return Failure("gone", f"the server {key_state} {KEY_VARIABLE} ({message})", status)
    if status in (400, 422):
        hint = _unsupported(body, everything)
        if hint:
            return Failure("gone", f"{message}; {hint}", status)
    if 300 <= status < 400:
        target = clean(headers.get("location", "somewhere else"), key)
        return Failure("gone", f"the address redirects to {target}: use that one", status)
    return Failure("gone" if status in _FOR_EVERYBODY else "refused", message, status)


def from_exception(error: Exception, key: str | None) -> Failure:
    """Reads what the client library raised.

    Raises:
        Exception: the error itself, if it does not come from the server or the network.
    """
    import aiohttp
    import httpx2
    import openai

    from spa_bench.models.openai_transport import UnboundedError

    if isinstance(error, openai.APIStatusError):
        return from_status(error.status_code, error.body, error.response.headers, key)
    chain = _chain(error)
    for cause in chain:
        if isinstance(cause, UnboundedError):
            return Failure("refused", str(cause))
    for cause in chain:
        if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return Failure("unreachable", f"cannot connect ({_why(cause, key)})")
    for cause in chain:
        if isinstance(cause, aiohttp.ServerTimeoutError | TimeoutError):
            return Failure("timeout", "the server fell silent")
    network = (openai.APIConnectionError, aiohttp.ClientError, httpx2.HTTPError, OSError)
    if isinstance(error, network):
        return Failure("transient", f"the connection broke ({_why(chain[-1], key)})")
    # the last three come of a charset that is no encoding of text, such as base64
    odd = (ValueError, ArithmeticError, RecursionError, AssertionError, TypeError, LookupError)
    if isinstance(error, (openai.OpenAIError, *odd)):
        return Failure("malformed", f"the answer is not what it claims ({_why(error, key)})")
    raise error


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Returns the seconds a server asks to wait, by any of its three ways to say so."""
    text = headers.get("retry-after-ms", "").strip()
    if _NUMBER.fullmatch(text):
        return float(text) / 1000
    text = headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


_NUMBER = re.compile(r"\d{1,9}(\.\d*)?")
_KEYLIKE = re.compile(r"\b(sk|pk|rk|xai|gsk|hf)[-_][\w*.-]{6,}|\bBearer\s+\S+", re.IGNORECASE)


def clean(text: str, key: str | None) -> str:
    """Returns text fit to be printed: one line, without keys, cut to 300 characters."""
    return _cut(_line(text, key))


def _line(text: str, key: str | None) -> str:
    if key:
        text = text.replace(key, "[key]")
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:20_000]).split())
    return _KEYLIKE.sub("[key]", line)


def _cut(line: str) -> str:
    return line if len(line) <= _WORDS else line[: _WORDS - 3] + "..."


def _spent(everything: str, wait: float | None) -> bool:
    """Returns whether a 429 is for want of money, which no waiting mends."""
    if _NO_QUOTA.search(everything):
        return True
    return bool(_QUOTA.search(everything)) and wait is None and not _LATER.search(everything)


def _words(body: object, key: str | None) -> str:
    """Returns the sentence in an error body, or all of it, as one line of any length."""
    for _ in range(3):
        if not isinstance(body, Mapping):
            break
        fields = cast("Mapping[str, object]", body)
        body = fields.get("message") or fields.get("error") or fields.get("detail") or str(fields)
    if isinstance(body, str):
        return _line(re.sub(r"<[^<>]{1,200}>", " ", body[:20_000]), key)
    return "" if body is None else _line(json.dumps(body, default=str), key)


def _code(body: object) -> str:
    """Returns the machine-readable parts of an error body."""
    if not isinstance(body, Mapping):
        return ""
    fields = cast("Mapping[str, object]", body)
    names = ("code", "type", "param")
    own = " ".join(str(fields[name]) for name in names if isinstance(fields.get(name), str))
    return f"{own} {_code(fields.get('error'))}"


def _unsupported(body: object, everything: str) -> str:
    """Returns what to do if the server does not know a field that every request has."""
    named = [name for name in _FIELDS if re.search(rf"\b{name}\b", everything)]
    omittable = [name for name in named if name in OMITTABLE]
    bounded = bool(omittable) and "must be" in everything  # TGI wants a top_p below 1
    if not bounded and not _UNSUPPORTED.search(everything):
        return ""
    if omittable:
        if "both" in everything:  # one of them is one too many
            omittable = omittable[-1:]
        return (
            f"leave it out with --model-args omit={'+'.join(omittable)} (joined by + to what is"
            " left out already)"
        )
    if named and named[0].startswith("max_"):
        other = "max_completion_tokens" if named[0] == "max_tokens" else "max_tokens"
        return f"try --model-args max_tokens_field={other}"
    return "is --model-args prefill right for this server?" if named else ""


def _chain(error: BaseException) -> list[BaseException]:
    """Returns an error and what caused it, outermost first."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain


def _why(error: BaseException, key: str | None) -> str:
    reason = getattr(error, "os_error", error)
    if isinstance(reason, ConnectionError) and reason.errno:
        return os.strerror(reason.errno)
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return clean(str(text), key)
