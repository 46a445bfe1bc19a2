"""A real model that several tests ask, and how they ask it."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from spa_bench.models.hf import HFModel
from spa_bench.models.model import Message, ModelOptions, Reply, Request, Sampling
from spa_bench.models.vllm import VLLMModel

T = TypeVar("T")
NEEDS_VLLM = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None, reason="vLLM is not installed; see make test-vllm"
)
TOLERANCE = 1e-3
"""Of a log-probability in float32; two engines add up in different orders."""
MESSAGES = (
    Message("system", "You are solving the Sokoban puzzle. " * 4),
    Message("user", "Turn 1 of 5\nState:\n" + "######\n#_P__#\n#_XO_#\n######\n" * 4),
)


def ask(seed: int = 0, *, new_tokens: int = 24, **changes: Any) -> Request:
    return replace(Request(MESSAGES, "<think>", Sampling(1.0, 1.0, new_tokens), seed), **changes)


class Live:
    """A started model on an event loop that outlives single tests, as an engine needs."""

    def __init__(self, model: VLLMModel | HFModel) -> None:
        self.model = model
        self._runner = asyncio.Runner()
        self.run(lambda it: it.start())

    def run(self, use: Callable[[Any], Awaitable[T]]) -> T:
        async def main() -> T:
            return await use(self.model)

        return self._runner.run(main())

    def replies(self, *requests: Request) -> list[Reply]:
        async def all_of_them() -> list[Reply]:
            return await asyncio.gather(*map(self.model.generate, requests))

        return self.run(lambda _: all_of_them())

    def close(self) -> None:
        self.run(lambda it: it.close())
        self._runner.close()


def options(folder: Path, args: dict[str, str], **more: Any) -> ModelOptions:
    return ModelOptions(
        model=str(folder), label="nano", args=args, dtype="float32", batch_size=16, **more
    )
