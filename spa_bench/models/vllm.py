"""Local checkpoints through vLLM: `--model vllm/NAME` or `--model vllm/./FOLDER`.

    vllm_settings   what the user asked        vllm_start   the engine's processes, its errors
    hf_files        where the files are        hf_template  conversation <-> token ids
    hf_texts        texts in a thread of their own

vLLM batches, and keeps the keys and values of past turns; here a request becomes token ids and
sampling parameters, and its tokens become a reply. Tokens are rendered and continued exactly as
for `hf/`, and a prompt that leaves no room in the context window is likewise the model's limit.
"""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from spa_bench.checkpoint import read_boards
from spa_bench.errors import ModelError
from spa_bench.models import hf_load, vllm_start
from spa_bench.models.hf_files import Source, find
from spa_bench.models.hf_template import Template
from spa_bench.models.hf_texts import LocalModel
from spa_bench.models.model import (
    Capabilities,
    ModelOptions,
    Reply,
    Request,
    Usage,
)
from spa_bench.models.stop_strings import cut
from spa_bench.models.vllm_settings import Settings
from spa_bench.models.vllm_start import Engine


def load(options: ModelOptions) -> VLLMModel:
    """Finds a model and reads its tokenizer; `start` starts the engine.

    Raises:
        InputError: if vLLM is not installed, there is no such model, or an option is wrong.
    """
    settings = Settings.of(options)
    vllm_start.needs_vllm()
    source = find(settings.model, revision=settings.revision, trusted=settings.trust_remote_code)
    adapter = None
    if settings.adapter is not None:
        adapter = find(settings.adapter, what="LoRA adapter")
    return VLLMModel(options, settings, source, adapter)


class VLLMModel(LocalModel):
    """A model in vLLM's engine. Every request joins the engine's batch as soon as it is made.

    Args:
        options: as the user wrote them; the name and the concurrency are taken from here.
        settings: read from the options.
        source: the model's files.
        adapter: those of a LoRA adapter.
    """

    def __init__(
        self, options: ModelOptions, settings: Settings, source: Source, adapter: Source | None
    ) -> None:
        tokenizer = hf_load.load_tokenizer(source)
        super().__init__(Template(tokenizer, settings.chat_template, settings.add_bos))
        self.name = options.label
        folder = Path(source.place)
        self.trained_boards = read_boards(folder) if folder.is_dir() else {}
        self.capabilities = Capabilities(
            prefill=True,
            seed=True,
            logprobs=True,
            tokens=True,
            append_only=self._template.append_only,
        )
        self.concurrency = options.concurrency or _wanted(
            settings.batch_size * settings.data_parallel_size
        )
        self._settings, self._source, self._adapter = settings, source, adapter
        self._engine: Engine | None = None
        self._starter: ThreadPoolExecutor | None = None

    def identity(self) -> Mapping[str, Any]:
        dtype = self._settings.dtype if self._engine is None else self._engine.dtype
        found: dict[str, Any] = {
            **self._source.identity,
            "engine": "vllm",
            "dtype": dtype,
            **self._template.identity(),
            **self._settings.identity(),
        }
        if self._adapter is not None:
            found["adapter"] = dict(self._adapter.identity)
        return found

    async def start(self) -> None:
        self._start_text()
        if self._engine is None:
            # vLLM imports and starts here, so that `close` can wait for a start that was cut short
            self._starter = self._starter or ThreadPoolExecutor(1, "spa-bench-vllm")
            await asyncio.get_running_loop().run_in_executor(self._starter, self._start)

    async def generate(self, request: Request) -> Reply:
        engine, sampling = self._running(), request.sampling
        prompt = await self._in_text_thread(
            lambda: self._template.encode(request.messages, request.prefill, request.token_prefix)
        )
        stops = tuple(stop for stop in (*sampling.stop, *self._template.stops) if stop)
        new_tokens = min(sampling.new_tokens, engine.context - len(prompt))
        if new_tokens < 1:
            usage = Usage(prompt_tokens=len(prompt), completion_tokens=0)
            return Reply("", "length", usage, bool(request.prefill), None, prompt, (), ())
        params = engine.sampling(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=new_tokens,
            seed=request.seed,
            stop=list(stops),
            stop_token_ids=sorted(self._template.stop_ids),
            detokenize=bool(stops),
            logprobs=0,
        )
        output = await engine.ask(prompt, params, self._copy_for(request.episode, engine.copies))
        completion = output.outputs[0]
        ids, logprobs = tuple(completion.token_ids), tuple(completion.logprobs.logprobs)
        if not all(map(math.isfinite, logprobs)):
            raise ModelError("the model's logits are not numbers; try --dtype float32")
        text = await self._in_text_thread(lambda: self._template.text(prompt, ids))
        return Reply(
            text=cut(text, stops),
            stop_reason=completion.finish_reason,
            usage=Usage(
                prompt_tokens=len(prompt),
                completion_tokens=len(ids),
                cached_tokens=output.num_cached_tokens,
            ),
            prefilled=bool(request.prefill),
            prompt_ids=prompt,
            completion_ids=ids,
            logprobs=logprobs,
        )

    async def score(
        self, prompt_ids: Sequence[int], completion_ids: Sequence[int]
    ) -> tuple[float, ...]:
        """Returns the log-probability of each given token (natural logarithm, temperature 1).

        Args:
            prompt_ids: what stands before; at least one token.
            completion_ids: the tokens to score.

        Raises:
            ModelError: if there is no prompt, or both do not fit the context window, in which
                vLLM wants room for one token more.
        """
        engine, given = self._running(), (*prompt_ids, *completion_ids)
        if not prompt_ids:
            raise ModelError("the first token of a text has no log-probability: give a prompt")
        if len(given) >= engine.context:
            raise ModelError(f"more than the {engine.context - 1} tokens that vLLM can score")
        if not completion_ids:
            return ()
        params = engine.sampling(temperature=0.0, max_tokens=1, prompt_logprobs=0, detokenize=False)
        scored = (await engine.ask(given, params)).prompt_logprobs
        count = len(completion_ids)
        if tuple(scored.token_ids[-count:]) != tuple(completion_ids):
            raise ModelError("vLLM scored other tokens than it was given")
        return tuple(scored.logprobs[-count:])

    async def reload(self, folder: Path) -> None:
        """Takes other weights of the same shape, in place; nothing kept of the old ones is used.

        No reply may be under way.

        Args:
            folder: of a checkpoint, with an output layer of its own: one that shares its weights
                with the input is not always taken anew.

        Raises:
            ModelGoneError: if vLLM cannot, after which it is not known what it plays.
        """
        await self._running().reload(str(folder))

    async def close(self) -> None:
        starter, self._starter = self._starter, None
        if starter is not None:
            await asyncio.to_thread(starter.shutdown)
        engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.stop)
        self._end_text()

    def _start(self) -> None:
        arguments = self._settings.engine_arguments()
        self._engine = vllm_start.start(self.name, self._source, self._adapter, arguments)

    def _running(self) -> Engine:
        if self._engine is None:
            raise self._not_running()
        return self._engine

    @staticmethod
    def _copy_for(episode: str, copies: int) -> int | None:
        """Returns the copy of the model that has the earlier turns of an episode in its cache."""
        return zlib.crc32(episode.encode()) % copies if episode and copies > 1 else None


def _wanted(batch_size: int) -> int:
    """Returns how many requests should be in flight: some wait whenever others end."""
    return batch_size + max(1, batch_size // 4)
