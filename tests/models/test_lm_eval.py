"""`lm_eval/NAME`: model classes of lm-eval's registry."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest

from spa_bench.errors import InputError, ModelError
from spa_bench.models.model import Message, ModelOptions, Request, Sampling

lm_eval = pytest.importorskip("lm_eval")

from spa_bench.models.lm_eval import load  # noqa: E402

SAMPLING = Sampling(temperature=1.0, top_p=0.9, new_tokens=5)


class _Class:
    """A model class as lm-eval's are, that records what it is asked."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.lists: list[list[Any]] = []

    @classmethod
    def create_from_arg_obj(cls, arguments: dict[str, Any], more: dict[str, Any]) -> _Class:
        return cls(**arguments, **more)

    def apply_chat_template(self, messages: list[dict[str, str]]) -> str:
        return "".join(f"[{m['role']}]{m['content']}" for m in messages) + "[assistant]"

    def tok_encode(self, text: str) -> list[int]:
        return list(text.encode())

    def generate_until(self, instances: list[Any], disable_tqdm: bool = False) -> list[str]:
        self.lists.append([instance.args for instance in instances])
        return [f"<{index}>" for index, _ in enumerate(instances)]


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> str:
    import lm_eval.models  # noqa: F401
    from lm_eval.api import registry

    real = registry.get_model
    monkeypatch.setattr(registry, "get_model", lambda name: _Class if name == "hf" else real(name))
    return "hf"


def _request(text: str = "hello", new_tokens: int = 5) -> Request:
    sampling = Sampling(1.0, 0.9, new_tokens, ("STOP",))
    return Request((Message("user", text),), "<think>", sampling, seed=1)


def test_an_unknown_class_is_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no model class 'dumy' .*dummy"):
        load(ModelOptions("dumy", "lm_eval/dumy"))


def test_options_that_are_not_for_it_are_refused(registered: str) -> None:
    with pytest.raises(InputError, match="takes one --base-url"):
        load(ModelOptions(registered, "lm_eval/hf", base_urls=("http://a", "http://b")))
    with pytest.raises(InputError, match="prefill: 'ture' is neither true nor false"):
        load(ModelOptions(registered, "lm_eval/hf", args={"prefill": "ture"}))


@pytest.mark.parametrize(("word", "meant"), [("True", True), ("1", True), ("0", False)])
def test_prefill_is_read_as_elsewhere(registered: str, word: str, meant: bool) -> None:
    model = load(ModelOptions(registered, "lm_eval/hf", args={"prefill": word}))
    assert model.capabilities.prefill == meant


def test_a_folder_that_is_not_there_is_told_at_once() -> None:
    model = load(ModelOptions("hf", "lm_eval/hf", args={"pretrained": "/nowhere/at/all"}))
    with pytest.raises(InputError, match="no such folder"):
        asyncio.run(model.start())


def test_the_real_dummy_class_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    # it would look for a tokenizer on the hub, and again and again where there is no network
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    async def ask() -> str:
        model = load(ModelOptions("dummy", "lm_eval/dummy"))
        await model.start()
        try:
            return (await model.generate(_request())).text
        finally:
            await model.close()

    assert asyncio.run(ask()) == "lol"


NAMES = {
    "lm_eval/hf": {},
    "lm_eval/hf/Qwen/Qwen2.5-0.5B": {"pretrained": "Qwen/Qwen2.5-0.5B"},
    "lm_eval/hf/mine": {"pretrained": "/somewhere/of/mine"},
    "lm_eval/hf/gpt-5": {"model": "gpt-5"},
}


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_called_by_its_class_and_its_own_name(name: str) -> None:
    assert load(ModelOptions("hf", "lm_eval/hf", args=NAMES[name])).name == name


@pytest.mark.parametrize("key", ["pretrained", "peft", "lora_local_path"])
def test_identity_tells_folders_of_one_name_apart_and_names_no_path(
    tmp_path: Path, key: str
) -> None:
    for parent, weights in {"a": "one", "b": "two", "copy": "one"}.items():
        (tmp_path / parent / "mine").mkdir(parents=True)
        (tmp_path / parent / "mine" / "pytorch_model.bin").write_text(weights)
    one, two, copy = (
        load(ModelOptions("hf", "lm_eval/hf", args={key: str(tmp_path / parent / "mine")}))
        for parent in ("a", "b", "copy")
    )
    assert one.identity() == copy.identity() != two.identity()
    assert one.name == two.name
    assert str(tmp_path) not in json.dumps(dict(one.identity()))


def test_identity_tells_folders_apart_that_are_written_without_a_dot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = load(ModelOptions("hf", "lm_eval/hf", args={"pretrained": "mine"}))
    assert model.identity()["pretrained"] == "mine"  # a model on a hub
    (tmp_path / "mine").mkdir()
    assert model.identity()["pretrained"]["name"] == "mine"


def test_requests_that_come_together_are_one_list_with_prefill_and_settings(
    registered: str,
) -> None:
    async def ask() -> tuple[list[Any], Any]:
        model = load(ModelOptions(registered, "lm_eval/hf", args={"pretrained": "x", "n": "3"}))
        await model.start()
        replies = await asyncio.gather(*(model.generate(_request(f"r{i}")) for i in range(4)))
        made = model._lm
        await model.close()
        return [reply.text for reply in replies], made

    texts, lm = asyncio.run(ask())
    assert texts == ["<0>", "<1>", "<2>", "<3>"]
    assert lm.arguments == {"pretrained": "x", "n": 3}
    assert len(lm.lists) == 1
    prompt, settings = lm.lists[0][0]
    assert prompt == "[user]r0[assistant]<think>"
    assert settings == {
        "until": ["STOP"],
        "max_gen_toks": 5,
        "temperature": 1.0,
        "do_sample": True,
        "top_p": 0.9,
    }


def test_a_reply_as_long_as_allowed_ended_by_length(registered: str) -> None:
    async def ask(new_tokens: int) -> str:
        model = load(ModelOptions(registered, "lm_eval/hf"))
        await model.start()
        reply = await model.generate(_request(new_tokens=new_tokens))
        await model.close()
        return reply.stop_reason

    assert asyncio.run(ask(3)) == "length"
    assert asyncio.run(ask(4)) == "stop"


@pytest.mark.parametrize("error", [ValueError, SystemExit, StopIteration, KeyboardInterrupt])
def test_whatever_a_class_raises_breaks_the_episode_and_not_the_run(
    registered: str, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error("a bad day")

    monkeypatch.setattr(_Class, "generate_until", fail)

    async def ask() -> None:
        model = load(ModelOptions(registered, "lm_eval/hf"))
        await model.start()
        try:
            await model.generate(_request())
        finally:
            await model.close()

    with pytest.raises(ModelError, match="a bad day"):
        asyncio.run(ask())


@pytest.mark.parametrize("lost", [1, 3])
def test_a_class_that_returns_too_few_texts_breaks_every_episode_and_hangs_none(
    registered: str, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    generate_until = _Class.generate_until
    monkeypatch.setattr(
        _Class, "generate_until", lambda *args, **kw: generate_until(*args, **kw)[lost:]
    )

    async def ask() -> list[Any]:
        model = load(ModelOptions(registered, "lm_eval/hf"))
        await model.start()
        try:
            asked = (model.generate(_request(f"r{i}")) for i in range(3))
            return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 20)
        finally:
            await model.close()

    replies = asyncio.run(ask())
    assert [type(reply) for reply in replies] == [ModelError] * 3
    assert {str(reply) for reply in replies} == {f"lm-eval: {3 - lost} replies to 3 prompts"}


def test_a_class_that_wants_a_name_is_given_the_option_for_it() -> None:
    model = load(ModelOptions("hf", "lm_eval/hf"))
    with pytest.raises(InputError, match=r"; name the model: --model-args pretrained=NAME$"):
        asyncio.run(model.start())


def test_a_class_without_chats_is_shown_the_plain_layout(
    registered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(_Class, "apply_chat_template")

    async def scenario() -> None:
        model = load(ModelOptions(registered, "lm_eval/hf", {"pretrained": "x"}))
        await model.start()
        made = model._lm
        try:
            await model.generate(_request())
        finally:
            await model.close()
        ((prompt, settings),) = made.lists[0]
        assert prompt == "### User:\nhello\n### Assistant:\n<think>"
        assert settings["until"] == ["STOP", "\n### User:", "\n### System:"]

    asyncio.run(scenario())


def test_a_model_that_is_closed_is_given_back(registered: str) -> None:
    model = load(ModelOptions(registered, "lm_eval/hf"))
    made: list[weakref.ref[_Class]] = []

    async def opened() -> None:
        await model.start()
        made.append(weakref.ref(model._lm))
        await model.close()

    asyncio.run(opened())
    gc.collect()
    assert made[0]() is None


def test_a_model_is_used_again_after_it_was_closed(registered: str) -> None:
    model = load(ModelOptions(registered, "lm_eval/hf"))

    async def ask() -> str:
        await model.start()
        try:
            return (await model.generate(_request())).text
        finally:
            await model.close()

    assert [asyncio.run(ask()) for _ in range(2)] == ["<0>", "<0>"]
