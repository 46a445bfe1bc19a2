"""What the local backends share: texts become tokens in a thread of their own."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from spa_bench.errors import ModelGoneError
from spa_bench.models.hf_template import Template
from spa_bench.models.model import Message, ScoredToken

T = TypeVar("T")


class LocalModel(ABC):
    """A model whose template is ours, so that it can score texts as well as token ids.

    Each `start` makes the thread and each `close` ends it: a model can be used again.

    Attributes:
        name: as `Model` says.
    """

    name: str

    def __init__(self, template: Template) -> None:
        self._template = template
        self._text: ThreadPoolExecutor | None = None

    @abstractmethod
    async def score(
        self, prompt_ids: Sequence[int], completion_ids: Sequence[int]
    ) -> tuple[float, ...]:
        """Returns the log-probability of each given token (natural logarithm, temperature 1)."""

    async def score_text(
        self, messages: Sequence[Message], prefill: str, text: str
    ) -> tuple[ScoredToken, ...]:
        """Does what `Scorer` says."""
        template = self._template
        prompt, ids = await self._in_text_thread(
            lambda: template.continuation(messages, prefill, text)
        )
        logprobs = await self.score(prompt, ids)
        pieces = await self._in_text_thread(lambda: [template.piece(i) for i in ids])
        return tuple(map(ScoredToken, pieces, logprobs))

    def _start_text(self) -> None:
        # One thread: transformers' tokenizers must not be used by two at a time, and a long
        # prompt must not stop the event loop.
        self._text = self._text or ThreadPoolExecutor(1, thread_name_prefix="spa-bench-text")

    def _end_text(self) -> None:
        text, self._text = self._text, None
        if text is not None:
            text.shutdown(wait=False)

    async def _in_text_thread(self, function: Callable[[], T]) -> T:
        if self._text is None:
            raise self._not_running()
        return await asyncio.get_running_loop().run_in_executor(self._text, function)

    def _not_running(self) -> ModelGoneError:
        return ModelGoneError(f"{self.name} is not running: `start` it first")
