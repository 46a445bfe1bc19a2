import os
import subprocess
import sys

import pytest

from spa_bench.errors import InputError
from spa_bench.models.model import ModelOptions
from spa_bench.models.openai import load
from spa_bench.models.openai_settings import Settings, read_settings

URL = "http://127.0.0.1:8000/v1"
SECRET = "sk-proj-0123456789abcdef"


def _settings(urls: tuple[str, ...] = (URL,), key: str | None = None, **args: str) -> Settings:
    environ = {} if key is None else {"OPENAI_API_KEY": key}
    options = ModelOptions(model="tiny", label="openai/tiny", args=args, base_urls=urls)
    return read_settings(options, environ)


def test_importing_the_adapter_imports_neither_openai_nor_aiohttp():
    code = (
        "import sys, spa_bench.models.openai;"
        "sys.exit(any(m in sys.modules for m in ('openai', 'aiohttp', 'httpx2')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", ["api_key", "key", "openai_api_key", "token", "Authorization"])
def test_a_key_on_the_command_line_is_refused_without_being_shown(name: str):
    options = ModelOptions("tiny", "openai/tiny", args={name: SECRET}, base_urls=(URL,))
    with pytest.raises(InputError, match="OPENAI_API_KEY") as refusal:
        read_settings(options, {})
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["http://user:hush@127.0.0.1/v1", "https://:hush@example.org", "http://hush@h/v1"]
)
def test_a_password_in_the_address_is_refused_without_being_shown(url: str):
    with pytest.raises(InputError, match="OPENAI_API_KEY") as refusal:
        _settings((url,))
    assert "hush" not in str(refusal.value)


def test_keys_and_addresses_are_neither_in_the_identity_nor_in_the_repr():
    settings = _settings(key=SECRET)
    assert settings.key == SECRET
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings.identity())
    assert URL not in str(settings.identity())


def test_what_changes_answers_changes_the_identity():
    plain = _settings().identity()
    for args in (
        {"prefill": "true"},
        {"omit": "seed"},
        {"reasoning_tokens": "100"},
        {"extra_body": '{"reasoning_effort": "low"}'},
    ):
        assert _settings(**args).identity() != plain
    assert _settings(timeout="5", tries="2").identity() == plain


def test_an_unknown_argument_suggests_the_nearest():
    with pytest.raises(InputError, match=r"'time_out' \(did you mean timeout"):
        _settings(time_out="5")
    with pytest.raises(InputError, match="--base-url"):
        _settings(base_url=URL)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prefill", "maybe"),
        ("omit", "seed+sed"),
        ("max_tokens_field", "tokens"),
        ("reasoning_tokens", "-1"),
        ("extra_body", "{"),
        ("extra_body", "[]"),
        ("extra_body", '{"temperature": 0}'),
        ("timeout", "0"),
        ("timeout", "nan"),
        ("timeout", "soon"),
        ("tries", "0"),
        ("tries", "1.5"),
    ],
)
def test_a_bad_value_is_an_input_error_that_names_the_argument(name: str, value: str):
    with pytest.raises(InputError, match=f"--model-args {name}="):
        _settings(**{name: value})


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://h/v1", "http://", "http://h:x/v1", "h"])
def test_an_address_that_is_none_is_an_input_error(url: str):
    with pytest.raises(InputError, match="--base-url"):
        _settings((url,))


def test_several_addresses_in_one_are_refused_and_told_apart():
    with pytest.raises(InputError, match="give --base-url once for each server"):
        _settings((f"{URL},http://h:1/v1",))


def test_addresses_are_normalised_and_each_counts_once():
    settings = _settings((URL, f"{URL}/", f"{URL}/chat/completions", "http://h:1/v1"))
    assert settings.base_urls == (URL, "http://h:1/v1")
    assert settings.concurrency == 64


def test_openai_itself_wants_a_key_and_others_do_not():
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        _settings(())
    assert _settings((), key=SECRET).max_tokens_field == "max_completion_tokens"
    assert _settings().key is None
    assert _settings().max_tokens_field == "max_tokens"


def test_a_server_in_the_environment_is_used_where_none_is_named():
    options = ModelOptions(model="tiny", label="openai/tiny")
    settings = read_settings(options, {"OPENAI_BASE_URL": URL})
    assert settings.base_urls == (URL,)


def test_a_key_with_a_line_break_at_its_end_is_read_and_one_inside_is_refused():
    assert _settings(key=f"{SECRET}\n").key == SECRET
    with pytest.raises(InputError) as refusal:
        _settings(key=f"{SECRET}\nX: y")
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    "options",
    [
        ModelOptions(model="", label="openai/", base_urls=(URL,)),
        ModelOptions(model="m", label="openai/m", base_urls=(URL,), batch_size=4),
        ModelOptions(model="m", label="openai/m", base_urls=(URL,), device="cpu"),
        ModelOptions(model="m", label="openai/m", base_urls=(URL,), dtype="bfloat16"),
        ModelOptions(model="m", label="openai/m", base_urls=(URL,), adapter="./lora"),
        ModelOptions(model="m", label="openai/m", base_urls=(URL,), concurrency=0),
    ],
)
def test_what_a_server_cannot_honour_is_refused(options: ModelOptions):
    with pytest.raises(InputError):
        load(options)


def test_capabilities_follow_the_arguments(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "environ", {})
    args = {"prefill": "vllm", "omit": "seed"}
    plain = load(ModelOptions(model="m", label="openai/m", base_urls=(URL,)))
    special = load(ModelOptions(model="m", label="openai/m", base_urls=(URL,), args=args))
    assert (plain.capabilities.prefill, plain.capabilities.seed) == (False, True)
    assert (special.capabilities.prefill, special.capabilities.seed) == (True, False)
    assert not plain.capabilities.logprobs
