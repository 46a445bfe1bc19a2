import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.models import openai_chat, openai_wire
from spa_bench.models.model import Message, ModelOptions, Request, Sampling, Usage
from spa_bench.models.openai_settings import Settings, read_settings
from tests.servers.fault_server import completion

REQUEST = Request(
    messages=(Message("system", "rules"), Message("user", "state")),
    prefill="<think>",
    sampling=Sampling(temperature=0.7, top_p=1.0, new_tokens=400),
    seed=2**63 - 1,
)


def _settings(**args: str) -> Settings:
    urls = ("http://127.0.0.1:8000/v1",)
    return read_settings(ModelOptions(model="m", label="m", args=args, base_urls=urls), {})


def _body(settings: Settings, request: Request) -> dict[str, Any]:
    return dict(openai_chat.call(settings, request).body)


def _read(answer: object, **args: str):
    return openai_chat.call(_settings(**args), REQUEST).read(answer)


def test_a_request_carries_messages_sampling_and_a_seed_of_31_bits():
    body = _body(_settings(), REQUEST)
    assert 0 <= body.pop("seed") < 2**31
    assert body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "rules"},
            {"role": "user", "content": "state"},
        ],
        "temperature": 0.7,
        "top_p": 1.0,
        "max_tokens": 400,
    }


@given(st.integers(0, 2**63 - 1))
def test_a_folded_seed_always_fits_31_bits(seed: int):
    assert 0 <= openai_wire.fold_seed(seed) < 2**31


def test_seeds_that_differ_in_their_high_half_stay_apart():
    assert len({openai_wire.fold_seed(n << 32) for n in range(1000)}) == 1000


def test_arguments_shape_the_request():
    body = _body(
        _settings(
            omit="seed+top_p+temperature",
            max_tokens_field="max_completion_tokens",
            reasoning_tokens="1000",
            extra_body='{"reasoning_effort": "low"}',
        ),
        REQUEST,
    )
    assert set(body) == {"model", "messages", "max_completion_tokens", "reasoning_effort"}
    assert body["max_completion_tokens"] == 1400


@pytest.mark.parametrize(
    ("urls", "temperature", "sent"),
    [
        ((), 1.0, set()),
        ((), 0.7, {"temperature"}),
        (
            ("https://eu.api.openai.com/v1", "http://127.0.0.1:8000/v1"),
            1.0,
            {"temperature", "top_p"},
        ),
    ],
)
def test_at_openai_the_servers_own_defaults_are_not_sent(
    urls: tuple[str, ...], temperature: float, sent: set[str]
):
    options = ModelOptions(model="m", label="m", args={"omit": "seed"}, base_urls=urls)
    request = Request(REQUEST.messages, "", Sampling(temperature, 1.0, 8), 1)
    body = _body(read_settings(options, {"OPENAI_API_KEY": "key"}), request)
    assert body.keys() & {"temperature", "top_p"} == sent


def test_what_is_not_sent_to_openai_can_be_omitted_too():
    options = ModelOptions(model="m", label="m", args={"omit": "seed+top_p"}, base_urls=())
    body = _body(read_settings(options, {"OPENAI_API_KEY": "key"}), REQUEST)
    assert body.keys() == {"model", "messages", "temperature", "max_completion_tokens"}


def test_stop_strings_are_sent_only_where_there_are_some():
    request = Request(REQUEST.messages, "", Sampling(1.0, 1.0, 8, stop=("</answer>",)), 1)
    assert _body(_settings(), request)["stop"] == ["</answer>"]


def test_without_the_capability_a_prefill_is_not_sent():
    assert _body(_settings(), REQUEST)["messages"][-1]["role"] == "user"
    assert not _read(completion("x")).prefilled


def test_a_prefill_ends_the_conversation():
    body = _body(_settings(prefill="true"), REQUEST)
    assert body["messages"][-1] == {"role": "assistant", "content": "<think>"}
    assert "continue_final_message" not in body


def test_vllm_is_told_to_continue_the_last_message():
    body = _body(_settings(prefill="vllm"), REQUEST)
    assert body["messages"][-1] == {"role": "assistant", "content": "<think>"}
    assert body["continue_final_message"] is True
    assert body["add_generation_prompt"] is False


@pytest.mark.parametrize("text", ["<think>so</think>", "so</think>"])
def test_a_repeated_prefill_is_not_part_of_the_reply(text: str):
    reply = _read(completion(text), prefill="true")
    assert reply.prefilled
    assert reply.text == "so</think>"


def test_no_content_is_an_empty_text():
    assert _read(completion(None)).text == ""


def test_a_refusal_is_the_reply():
    assert _read(completion(None, refusal="I cannot.")).text == "I cannot."


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept_apart_from_the_text(name: str):
    reply = _read(completion("Up", **{name: "because"}))
    assert (reply.text, reply.reasoning) == ("Up", "because")


def test_content_in_parts_is_joined_and_its_thinking_kept_apart():
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "U"},
        {"type": "text", "text": "p"},
    ]
    reply = _read(completion(parts))
    assert (reply.text, reply.reasoning) == ("Up", "hm")


def test_half_a_character_cannot_break_the_log():
    reply = _read(completion(json.loads('"a\\ud800b"')))
    assert reply.text.encode() == "a\ufffdb".encode()


@pytest.mark.parametrize(
    ("finish", "stop_reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("MAX_TOKENS", "length"),  # Google
        ("model_length", "length"),  # Mistral
        ("SAFETY", "content_filter"),
        ("tool_calls", "stop"),
        ("eos_token", "stop"),
        (None, "stop"),
        (["?"], "stop"),
    ],
)
def test_stop_reasons(finish: str | None, stop_reason: str):
    assert _read(completion("x", finish)).stop_reason == stop_reason


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        3,
        "text",
        {},
        {"choices": None},
        {"choices": []},
        {"choices": {}},
        {"choices": [None]},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": []}]},
        completion("half a rep", "error"),
        completion("half a rep", "abort"),
        completion("half a rep", "insufficient_system_resource"),  # DeepSeek
    ],
)
def test_what_is_no_completion_is_malformed(answer: object):
    with pytest.raises(openai_wire.MalformedAnswerError):
        _read(answer)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "prompt_tokens",
                "completion_tokens",
                "total_tokens",
                "prompt_tokens_details",
                "completion_tokens_details",
            ]
        ),
        _JSON,
    )
    | _JSON
)
def test_no_usage_however_strange_is_a_crash(value: object):
    usage = openai_wire.read_usage(value)
    for count in (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens):
        assert count is None or (type(count) is int and count >= 0)


@given(_JSON, _JSON, _JSON)
def test_no_message_however_strange_is_a_crash(content: object, reasoning: object, other: object):
    answer = completion("", role=other)
    answer["choices"][0]["message"] |= {"content": content, "reasoning": reasoning, "m": other}
    reply = _read(answer)
    assert isinstance(reply.text, str)
    assert reply.reasoning is None or isinstance(reply.reasoning, str)


def test_usage_with_its_details():
    usage = openai_wire.read_usage(
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 80},
            "completion_tokens_details": {"reasoning_tokens": 30},
        }
    )
    assert usage == Usage(100, 50, 80, 30)


@pytest.mark.parametrize(
    "details", [{"completion_tokens_details": {"reasoning_tokens": 30}}, {}], ids=["told", "untold"]
)
def test_reasoning_that_is_counted_apart_is_added(details: dict):
    usage = openai_wire.read_usage(
        {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 180, **details}
    )
    assert (usage.completion_tokens, usage.reasoning_tokens) == (80, 30)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Usage()),
        ({"prompt_tokens": -1, "completion_tokens": "7"}, Usage()),
        ({"prompt_tokens": True, "completion_tokens": 1.5}, Usage()),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}}, Usage(5)),
        (
            {"completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 6}},
            Usage(),
        ),
    ],
)
def test_counts_that_are_missing_or_contradict_each_other_are_none(fields: dict, expected: Usage):
    assert openai_wire.read_usage(fields) == expected


def test_models_are_listed_with_their_aliases():
    answer = {"data": [{"id": "a", "aliases": ["b", 3]}, {"id": "c"}, {"name": "d"}, "e"]}
    assert openai_wire.listed_models(answer) == [("a", "b"), ("c",)]
    assert openai_wire.listed_models("<html>") is None
