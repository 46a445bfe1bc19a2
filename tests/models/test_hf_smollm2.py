"""The hf backend with a real model: SmolLM2-135M-Instruct, dequantised from Q4_1."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import hf_tiny
import pytest
import torch
from real_model import smollm2

from spa_bench.models import hf
from spa_bench.models.model import Message, ModelOptions, Reply, Request, Sampling

CAPITALS = ["France", "Italy", "Spain", "Japan", "Egypt", "Peru", "Norway", "Greece"]


@pytest.fixture(scope="module")
def folder() -> Path:
    return smollm2()[1]


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, Any]:
    """One visit to the model in float32, so that its weights are read once."""
    return asyncio.run(asyncio.wait_for(visit(folder), 300))


async def visit(folder: Path) -> dict[str, Any]:
    one = hf.load(ModelOptions(model=str(folder), label="smollm2", device="cpu", dtype="float32"))
    await one.start()
    try:
        return {
            "identity": one.identity(),
            "capitals": await asyncio.gather(*(one.generate(capital(c)) for c in CAPITALS)),
            "turns": await turns(one),
            "scores": await scores(one),
        }
    finally:
        await one.close()


def capital(country: str) -> Request:
    messages = (
        Message("system", "You are a helpful assistant."),
        Message("user", f"What is the capital of {country}?"),
    )
    return Request(messages, f"The capital of {country} is", Sampling(0.0, 1.0, 6), 0)


async def turns(one: hf.HFModel) -> list[Reply]:
    messages = (Message("system", "You play a game."), Message("user", "Say a word."))
    prefix, replies = None, list[Reply]()
    for turn in range(3):
        sampling = Sampling(1.0, 0.95, (40, 5, 10)[turn])
        reply = await one.generate(
            Request(messages, "<think>", sampling, turn, token_prefix=prefix)
        )
        assert reply.prompt_ids is not None
        assert reply.completion_ids is not None
        replies.append(reply)
        prefix = reply.prompt_ids + reply.completion_ids
        answer = Message("assistant", "<think>" + reply.text)
        messages = (*messages, answer, Message("user", "Another one."))
    return replies


async def scores(one: hf.HFModel) -> tuple[Any, Any]:
    rows = [(tuple(range(100, 110 + n)), tuple(range(2000, 2008 + n % 5))) for n in range(32)]
    alone = [await one.score(*row) for row in rows[::11]]
    together = await asyncio.gather(*(one.score(*row) for row in rows))
    return alone, together[::11]


def test_the_command_prints_the_model_file_and_the_folder() -> None:
    gguf, folder = smollm2()
    assert gguf.suffix == ".gguf"
    assert gguf.is_file()
    assert (folder / "chat_template.jinja").is_file()
    assert "dequantised from Q4_1" in (folder / "README.md").read_text()


def test_it_knows_some_capitals(said: dict[str, Any]) -> None:
    texts = [reply.text for reply in said["capitals"]]
    assert "Paris" in texts[0]
    assert "Rome" in texts[1]
    assert "Madrid" in texts[2]
    assert "Tokyo" in texts[3]


def test_three_turns_are_one_unbroken_row_of_tokens(said: dict[str, Any]) -> None:
    for earlier, later in itertools.pairwise(said["turns"]):
        sent = earlier.prompt_ids + earlier.completion_ids
        assert later.prompt_ids[: len(sent)] == sent


def test_given_tokens_score_the_same_alone_and_among_32(said: dict[str, Any]) -> None:
    alone, together = said["scores"]
    for one, other in zip(alone, together, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_logprobs_are_those_of_one_plain_call(said: dict[str, Any], folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    net = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    for reply in (*said["turns"], *said["capitals"][:2]):
        expected = hf_tiny.forced_logprobs(net, reply.prompt_ids, reply.completion_ids)
        assert reply.logprobs == pytest.approx(expected, abs=1e-4)


def test_its_identity_is_the_folder_and_a_hash(said: dict[str, Any]) -> None:
    assert said["identity"]["name"] == "SmolLM2-135M-Instruct"
    assert said["identity"]["dtype"] == "float32"
    assert "/" not in str(said["identity"])
