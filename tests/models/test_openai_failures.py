import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.models.openai_failures import clean, from_exception, from_status, retry_after

KEY = "sk-proj-0123456789abcdef"


def _failure(status: int, message: str, **fields: str):
    return from_status(status, {"message": message, **fields}, {}, KEY)


# The words that servers really use, as they are documented or were seen.
TOO_LONG = [
    {"message": "too much", "code": "context_length_exceeded"},  # OpenAI
    {  # llama.cpp, seen
        "message": "request (18031 tokens) exceeds the available context size (1024 tokens), try"
        " increasing it",
        "type": "exceed_context_size_error",
    },
    {  # vLLM
        "message": "This model's maximum context length is 4096 tokens. However, you requested"
        " 4500 tokens (4100 in the messages, 400 in the completion)."
    },
    {"message": "The input (5000 tokens) is longer than the model's context length (4096 tokens)."},
    {"message": "prompt is too long: 210000 tokens > 200000 maximum"},  # Anthropic
    {  # Google
        "message": "The input token count (1100000) exceeds the maximum number of tokens allowed"
        " (1048576)."
    },
    {"message": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096"},
    {  # vLLM
        "message": "'max_tokens' or 'max_completion_tokens' is too large: 4400. This model's"
        " maximum context length is 4096 tokens and your request has 60 input tokens."
    },
    {  # OpenAI's reasoning models
        "message": "Could not finish the message because max_tokens or model output limit was"
        " reached."
    },
]


@pytest.mark.parametrize("body", TOO_LONG)
def test_a_conversation_longer_than_the_context_is_the_models_own_limit(body: dict):
    assert from_status(400, body, {}, None).kind == "too_long"


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens is too large: 20000. This model supports at most 16384 completion tokens.",
        "`max_completion_tokens` must be less than or equal to `8192`, the maximum value for"
        " `max_completion_tokens` is less than the `context_window` for this model",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
        "max_tokens: 20000 > 8192, which is the maximum allowed number of output tokens",
    ],
)
def test_a_limit_that_no_request_may_have_ends_the_run_and_is_no_lost_game(message: str):
    failure = _failure(400, message)
    assert failure.kind == "gone"
    assert "reasoning_tokens=" in failure.message


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "The response was filtered due to the prompt triggering content management policy"),
        (403, "Your chosen model requires moderation and your input was flagged"),
    ],
)
def test_a_prompt_that_a_filter_refuses_is_the_models_own_doing(status: int, message: str):
    assert _failure(status, message).kind == "filtered"


@pytest.mark.parametrize(
    "message",
    [
        "Your account has been flagged for suspicious activity.",
        "your organization is under moderation review",
    ],
)
@pytest.mark.parametrize(("status", "kind"), [(403, "gone"), (400, "refused")])
def test_an_account_that_is_blocked_is_no_lost_game(message: str, status: int, kind: str):
    assert _failure(status, message).kind == kind


@pytest.mark.parametrize(
    ("status", "paid"),
    [(502, True), (504, True), (524, True), (429, False), (500, False), (521, False)],
)
def test_a_reply_that_a_gateway_lost_may_be_paid(status: int, paid: bool):
    assert _failure(status, "no").may_be_paid is paid


@pytest.mark.parametrize("error", [AssertionError(), TypeError("codec"), LookupError("charset")])
def test_a_charset_that_is_no_encoding_of_text_is_an_odd_answer(error: Exception):
    assert from_exception(error, None).kind == "malformed"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, "overload"), (503, "overload"), (529, "overload")]
    + [(code, "transient") for code in (408, 409, 425, 500, 502, 504, 507, 520, 522, 524, 530)]
    + [(code, "gone") for code in (301, 308, 401, 402, 403, 404, 405)]
    + [(code, "refused") for code in (400, 413, 422, 418, 501)],
)
def test_what_a_status_means(status: int, kind: str):
    assert _failure(status, "no").kind == kind


def test_a_spent_quota_is_no_overload():
    failure = _failure(429, "You exceeded your current quota", code="insufficient_quota")
    assert failure.kind == "gone"
    assert "quota" in failure.message


def test_a_quota_of_the_minute_is_overload_though_it_is_named_as_a_spent_one():
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more"
        f" information on this error, head to our documentation.{' * Quota exceeded' * 20} Please"
        " retry in 36.2s."
    )
    assert _failure(429, message).kind == "overload"
    plain = {"error": {"message": "You exceeded your current quota"}}
    assert from_status(429, plain, {"retry-after": "1"}, None).kind == "overload"
    assert from_status(429, plain, {}, None).kind == "gone"
    limit = "Rate limit reached for model x. Visit our site at /settings/billing for more."
    assert _failure(429, limit).kind == "overload"


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        (
            "Unsupported value: 'temperature' does not support 0.7 with this model. Only the"
            " default (1) value is supported.",
            "omit=temperature",
        ),
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
            " 'max_completion_tokens' instead.",
            "max_tokens_field=max_completion_tokens",
        ),
        ("`temperature` and `top_p` cannot both be specified", "omit=top_p"),
        ("Unrecognized request argument supplied: seed", "omit=seed"),
        ("Input validation error: `top_p` must be > 0.0 and < 1.0", "omit=top_p"),
        ("Assistant response prefill is incompatible with enable_thinking.", "prefill"),
    ],
)
def test_a_parameter_the_server_does_not_know_fails_everything_and_says_what_to_do(
    message: str, advice: str
):
    failure = _failure(400, message)
    assert failure.kind == "gone"
    assert advice in failure.message


def test_the_error_names_the_variable_of_the_key():
    assert "refuses the key in OPENAI_API_KEY" in _failure(401, "bad key").message
    assert "none is in OPENAI_API_KEY" in from_status(401, None, {}, None).message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": "9" * 400}, None),
    ],
)
def test_how_long_a_server_asks_to_wait(headers: dict[str, str], seconds: float | None):
    assert retry_after(headers) == seconds


@given(st.text(max_size=50))
def test_no_wish_to_wait_however_strange_is_a_crash(text: str):
    seconds = retry_after({"retry-after": text})
    assert seconds is None or seconds >= 0


@given(st.text(), st.text(), st.integers(0, 500))
def test_no_key_survives_cleaning(before: str, after: str, padding: int):
    assert KEY not in clean(before + "x" * padding + KEY + after, KEY)


def test_cleaned_text_is_one_short_printable_line():
    line = clean("\x1b[31mred\x1b[0m\r\n\x00 and\u202e more " + "y" * 1000, None)
    assert line.isprintable()
    assert len(line) == 300


def test_what_looks_like_a_key_is_not_shown_either():
    line = clean("Incorrect API key provided: sk-abcd****wxyz; Bearer abcdef", None)
    assert "wxyz" not in line
    assert "abcdef" not in line


@pytest.mark.parametrize(
    "body",
    [
        {"message": f"bad {KEY}"},
        {"error": {"message": f"bad {KEY}"}},
        {"detail": [{"loc": ["body"], "msg": KEY}]},
        {"object": "error", KEY: 3},
        [KEY],
        KEY,
        f"<html><h1>502</h1>{KEY}</html>",
        json.dumps({"a": KEY}),
        {"message": {"message": {"message": {"message": KEY}}}},
        {"message": "m", "code": KEY, "param": KEY},
    ],
)
def test_no_shape_of_error_shows_the_key(body: object):
    for status in (301, 400, 401, 404, 429, 500, 503):
        assert KEY not in from_status(status, body, {"location": KEY}, KEY).message


@given(st.integers(300, 599), st.recursive(st.none() | st.text() | st.integers(), st.lists))
def test_no_error_however_strange_is_a_crash(status: int, body: object):
    assert from_status(status, body, {}, None).message.isprintable()
    assert from_status(status, {"error": body}, {}, None).message.isprintable()
