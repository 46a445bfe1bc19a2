"""Both ways to score a text agree: in this process, and by echo of a server with the same model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from aiohttp import web
from hf_tiny import forced_logprobs, model, tokenizer

from spa_bench.models import hf, openai
from spa_bench.models.model import Message, ModelOptions, ScoredToken, Scorer
from tests.servers.fault_server import FaultServer, text_completion

MESSAGES = (Message("system", "An agent."), Message("user", "Turn 1 of 5\nState:\n# P _"))
TEXTS = [
    ("", "<think>the wall is on the left</think><answer>Up</answer>"),
    ("<think>the w", "all is on the left"),  # a token of `wall` straddles the beginning
    ("<think>", "Player at (1, 2)\n\nBox at (3, 4)"),
    ("<answer>", " "),
]


async def _echoes(server: FaultServer, request: web.Request) -> web.StreamResponse:
    """A completions server that honours echo, with the tiny model behind it."""
    prompt = server.requests[-1].body["prompt"]
    words, net = tokenizer(None), model()
    ids = words(prompt, add_special_tokens=False).input_ids
    logprobs = {
        "tokens": [words.decode([token]) for token in ids],
        "token_logprobs": [None, *forced_logprobs(net, ids[:1], ids[1:])],
    }
    return web.json_response(text_completion(prompt, "length", logprobs=logprobs))


async def _scored(scorer: Scorer) -> list[Sequence[ScoredToken]]:
    return [await scorer.score_text(MESSAGES, prefill, text) for prefill, text in TEXTS]


def test_a_local_model_and_a_server_with_it_score_alike():
    async def scenario() -> None:
        local = hf.of_live("tiny", model(), tokenizer(None))
        await local.start()
        async with FaultServer(default=_echoes) as server:
            options = ModelOptions("tiny", "x", {"api": "completions"}, (server.base_url,))
            remote = openai.load(options)
            assert isinstance(remote, Scorer)
            ours, theirs = await _scored(local), await _scored(remote)
            await remote.close()
        await local.close()
        for (_, text), one, other in zip(TEXTS, ours, theirs, strict=True):
            assert "".join(token.text for token in one).endswith(text)
            assert [token.text for token in one] == [token.text for token in other]
            logprobs = [token.logprob for token in other]
            assert [token.logprob for token in one] == pytest.approx(logprobs, abs=1e-4)

    asyncio.run(scenario())
