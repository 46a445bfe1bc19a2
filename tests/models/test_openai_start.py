"""What the first contact says, before any episode."""

import asyncio
from typing import Any

import pytest

from spa_bench.errors import InputError
from spa_bench.models.model import ModelOptions
from spa_bench.models.openai import OpenAIModel
from spa_bench.models.openai_settings import read_settings
from tests.models.test_openai import KEY, _run, _unused_url
from tests.servers.fault_server import Fault, FaultServer, answer, plain_status, raw, reply, status


async def _start(*urls: str, model: str = "tiny", key: str | None = KEY, **args: str) -> None:
    environ = {"OPENAI_API_KEY": key} if key else {}
    options = ModelOptions(model, f"openai/{model}", args=args, base_urls=urls)
    started = OpenAIModel(read_settings(options, environ))
    try:
        await started.start()
    finally:
        await started.close()


def _starts(*script: Fault, models: Any = ("tiny", "tinier"), **options: Any) -> FaultServer:
    server = FaultServer(script, models=models)

    async def scenario() -> None:
        async with server:
            await _start(server.base_url, **options)

    _run(scenario())
    return server


def _refuses(match: str, *script: Fault, **options: Any) -> str:
    with pytest.raises(InputError, match=match) as error:
        _starts(*script, **options)
    text = str(error.value)
    assert KEY not in text
    assert text.isprintable()
    return text


def test_a_server_with_the_model_starts_after_one_short_request():
    server = _starts()
    (probe,) = server.requests
    assert probe.body["max_tokens"] == 16


def test_no_server_is_said_with_its_address():
    url = _unused_url()
    with pytest.raises(InputError, match=f"no server answers at {url}: cannot connect"):
        asyncio.run(_start(url))


def test_one_of_two_servers_down_is_an_error_that_names_it():
    async def scenario() -> None:
        down = _unused_url()
        async with FaultServer() as server:
            with pytest.raises(InputError, match=down):
                await _start(server.base_url, down)

    _run(scenario())


@pytest.mark.parametrize("where", ["models", "chat"])
def test_a_wrong_key_is_said_without_showing_it(where: str):
    wrong = status(401, f"Incorrect API key provided: {KEY}", code="invalid_api_key")
    options: dict[str, Any] = {"models": wrong} if where == "models" else {}
    text = _refuses("refuses the key in OPENAI_API_KEY", wrong, **options)
    assert "[key]" in text


def test_a_missing_key_is_said():
    refused = status(401)
    _refuses("none is in OPENAI_API_KEY", refused, models=refused, key=None)


def test_a_server_that_lists_its_models_to_others_alone_is_asked():
    _starts(reply(), models=status(401))


def test_a_gateway_that_passes_on_any_name_is_asked():
    _starts(reply(), models=("*",))


def test_a_server_that_refuses_a_short_conversation_as_too_long_is_no_place_to_play():
    message = "'max_tokens' is too large: 4016. The maximum context length is 4096 tokens"
    _refuses("refuses two short messages.*reasoning_tokens=", status(400, message))


def test_a_model_whose_reasoning_takes_the_few_tokens_of_a_probe_is_there():
    _starts(status(400, "Could not finish: max_tokens or model output limit was reached"))


def test_a_model_that_does_not_exist_is_said_with_the_nearest():
    missing = status(404, "The model `tinny` does not exist", code="model_not_found")
    text = _refuses(r"has no model 'tinny' \(did you mean tiny", missing, model="tinny")
    assert "it has tinier, tiny" in text


def test_a_gateway_that_says_400_for_a_missing_model_is_understood():
    _refuses(r"did you mean tiny", status(400, "tinny is not a valid model ID"), model="tinny")


def test_a_server_of_one_model_is_not_asked_for_another():
    text = _refuses("serves only 'one', not 'tiny': ask for openai/one", models=("one",))
    assert "tiny" in text


@pytest.mark.parametrize("listed", ["models/tiny", "tiny:latest"])
def test_names_in_the_spelling_of_google_and_ollama_are_the_same(listed: str):
    _starts(models=(listed,))


def test_a_model_that_is_not_listed_but_answers_is_accepted():
    _starts(reply(), model="my-deployment")


@pytest.mark.parametrize(
    "models",
    [
        status(404),
        status(405),
        status(403, "missing scope api.model.read"),
        status(500),
        raw(b"<html>", "text/html"),
        raw(b"{"),
        ["one", "two"],
    ],
)
def test_where_models_cannot_be_listed_one_request_tells(models: Any):
    assert len(_starts(models=models).requests) == 1


def test_without_a_list_a_missing_model_or_path_is_said():
    _refuses("has no model 'tiny'.* or no chat completions", status(404), models=status(404))


def test_a_refused_parameter_is_said_before_the_first_episode():
    refusal = status(400, "Unsupported value: 'temperature' does not support 1.0")
    _refuses("omit=temperature", refusal)


def test_a_template_without_a_system_role_is_said_before_the_first_episode():
    _refuses("System role not supported", status(400, "System role not supported"))


def test_a_server_that_still_loads_is_said():
    _refuses("is not ready", models=status(503, "Loading model"))


def test_a_page_instead_of_answers_is_said():
    page = raw(b"<html>welcome</html>", "text/html")
    _refuses("the answer is not JSON", page, models=page)


def test_a_redirect_is_said_with_its_target():
    elsewhere = plain_status(308, "", Location="https://h/v1")
    _refuses("redirects to https://h/v1", elsewhere, models=elsewhere)


@pytest.mark.parametrize("fault", [status(429), status(500), status(503), status(529)])
def test_what_may_pass_does_not_keep_a_run_from_starting(fault: Fault):
    _starts(fault)


def test_the_first_request_is_like_all_that_follow():
    args = {"prefill": "vllm", "omit": "seed", "extra_body": '{"top_k": 5}'}
    (probe,) = _starts(**args).requests
    assert probe.body["continue_final_message"] is True
    assert probe.body["top_k"] == 5
    assert "seed" not in probe.body


@pytest.mark.parametrize(
    ("owner", "mode", "right"),
    [("vllm", "true", "vllm"), ("sglang", "true", "vllm"), ("llamacpp", "vllm", "true")],
)
def test_a_server_known_to_continue_messages_the_other_way_is_said(
    owner: str, mode: str, right: str
):
    models = answer({"data": [{"id": "tiny", "owned_by": owner}]})
    _refuses(f"only with --model-args prefill={right}", models=models, prefill=mode)
    _starts(models=models, prefill=right)
    _starts(models=models)
