"""Local checkpoints through transformers: `--model hf/NAME` or `--model ./FOLDER`.

    hf_settings   what the user asked            hf_template   conversation <-> token ids
    hf_files      where the files are            hf_batcher    many coroutines, one thread
    hf_load       config, tokenizer, weights     hf_engine     prompts and next tokens, batched
    hf_texts      texts in a thread of their own hf_attention  as a device does it best
                                                 hf_cache      keys and values of a batch
                                                 hf_parked     those of earlier turns
                                                 hf_sampling   draws
                                                 hf_scoring    log-probabilities of given tokens
                                                 hf_forward    one pass over many rows
                                                 hf_graph      one token a row, as a CUDA graph

Prompts end in the request's prefill. A prompt that leaves no room in the model's context window
gets an empty reply that ended by length: that is a limit of the model, not a failure of the
machine, and is scored like any other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spa_bench.checkpoint import read_boards
from spa_bench.errors import InputError, ModelError
from spa_bench.models import hf_load
from spa_bench.models.hf_batcher import Batcher, Job
from spa_bench.models.hf_files import find
from spa_bench.models.hf_settings import Settings
from spa_bench.models.hf_template import Template, end_ids
from spa_bench.models.hf_texts import LocalModel
from spa_bench.models.model import (
    Capabilities,
    ModelOptions,
    Reply,
    Request,
    Usage,
)
from spa_bench.models.stop_strings import cut

_log = logging.getLogger(__name__)

_BATCH_SIZE = {"cpu": 32, "cuda": 256}
_PREFILL_TOKENS = {"cpu": 4096, "cuda": 32768}


def load(options: ModelOptions) -> HFModel:
    """Finds a model and reads its configuration and tokenizer; `start` loads the weights.

    Raises:
        InputError: if there is no such model, it cannot be read, or an option is wrong.
    """
    settings = Settings.of(options)
    source = find(settings.model, revision=settings.revision, trusted=settings.trust_remote_code)
    adapter = None
    if settings.adapter is not None:
        hf_load.needs_peft()
        adapter = find(settings.adapter, what="LoRA adapter")
    device = hf_load.resolve_device(settings.device)
    config = hf_load.load_config(source)
    dtype = hf_load.resolve_dtype(settings.dtype, device, config)
    template = Template(hf_load.load_tokenizer(source), settings.chat_template, settings.add_bos)
    identity: dict[str, Any] = {
        **source.identity,
        "dtype": str(dtype).removeprefix("torch."),
        **template.identity(),
    }
    if adapter is not None:
        identity["adapter"] = dict(adapter.identity)
    if settings.attn_implementation is not None:
        identity["attn_implementation"] = settings.attn_implementation
    if settings.max_length is not None:
        identity["max_length"] = settings.max_length
    return HFModel(
        options.label,
        template,
        lambda: hf_load.load_model(source, adapter, device, dtype, settings.attn_implementation),
        identity=identity,
        context=_context(config, settings.max_length),
        batch_size=_BATCH_SIZE.get(device.partition(":")[0], 32)
        if options.batch_size is None
        else options.batch_size,
        concurrency=options.concurrency,
        cuda_graphs=settings.cuda_graphs,
        trained_boards=read_boards(Path(source.place)) if Path(source.place).is_dir() else {},
    )


def of_live(
    name: str,
    model: Any,
    tokenizer: Any,
    *,
    batch_size: int = 32,
    max_length: int | None = None,
    cuda_graphs: bool = False,
) -> HFModel:
    """Wraps a model that is in memory already, such as one that is being trained.

    Its weights are read where they are, so the next reply follows an optimizer step. The caller
    sees to evaluation mode, and to not stepping while a reply is being written. Who changes them
    through `.data`, in place, starts the model anew: what is kept of earlier turns is as it was.

    Args:
        name: of the model, for logs and for sampling seeds.
        model: a causal language model of transformers.
        tokenizer: its tokenizer.
        batch_size: the most replies at a time.
        max_length: the most tokens of prompt and reply; None takes the model's own window.
        cuda_graphs: as `HFModel` says.
    """
    template = Template(tokenizer)
    dtype = str(model.dtype).removeprefix("torch.")
    return HFModel(
        name,
        template,
        lambda: model,
        identity={"name": name, "dtype": dtype, **template.identity()},
        context=_context(model.config, max_length),
        batch_size=batch_size,
        cuda_graphs=cuda_graphs,
    )


class HFModel(LocalModel):
    """A local model. Replies to concurrent requests are written together, each at its own pace.

    Args:
        name: as the user wrote it.
        template: turns conversations into token ids.
        make_model: returns the transformers model, on its device.
        identity: what changes its answers.
        context: the most tokens of prompt and reply.
        batch_size: the most replies written at a time.
        concurrency: requests in flight; None takes a few more than `batch_size`, so that some
            always wait when others end.
        cuda_graphs: whether a GPU is to write tokens by CUDA graphs, where the model allows.
        trained_boards: as `Trained` says.
    """

    def __init__(
        self,
        name: str,
        template: Template,
        make_model: Callable[[], Any],
        *,
        identity: Mapping[str, Any],
        context: int,
        batch_size: int,
        concurrency: int | None = None,
        cuda_graphs: bool = False,
        trained_boards: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"--batch-size {batch_size}: at least 1")
        super().__init__(template)
        self.name = name
        self.trained_boards = trained_boards or {}
        self.capabilities = Capabilities(
            prefill=True, seed=True, logprobs=True, tokens=True, append_only=template.append_only
        )
        self.concurrency = concurrency or batch_size + max(1, batch_size // 4)
        self._make_model = make_model
        self._warned = False
        self._identity = dict(identity)
        self._context = context
        self._batch_size = batch_size
        self._cuda_graphs = cuda_graphs
        self._batcher: Batcher | None = None

    def identity(self) -> Mapping[str, Any]:
        return dict(self._identity)

    async def start(self) -> None:
        self._start_text()
        if self._batcher is None:
            engine = await asyncio.to_thread(self._make_engine)
            self._batcher = Batcher(engine)

    async def generate(self, request: Request) -> Reply:
        sampling = request.sampling
        prompt = await self._in_text_thread(
            lambda: self._template.encode(request.messages, request.prefill, request.token_prefix)
        )
        stops = (*sampling.stop, *self._template.stops)
        job = Job(
            prompt=prompt,
            earlier=len(request.token_prefix or ()),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            new_tokens=min(sampling.new_tokens, self._context - len(prompt)),
            seed=request.seed,
            ends=self._template.stopper(prompt, stops),
        )
        if job.new_tokens > 0:
            await self._running().submit(job)
        elif not self._warned:
            self._warned = True
            _log.warning(
                "%s: a conversation of %s tokens fills the model's context of %s. Such replies are"
                " empty and count as truncated.",
                self.name,
                len(prompt),
                self._context,
            )
        text = await self._in_text_thread(lambda: self._template.text(prompt, job.completion))
        return Reply(
            text=cut(text, stops),
            stop_reason=job.stop_reason or "length",
            usage=Usage(
                prompt_tokens=len(prompt),
                completion_tokens=len(job.completion),
                cached_tokens=job.reused,
            ),
            prefilled=bool(request.prefill),
            prompt_ids=prompt,
            completion_ids=tuple(job.completion),
            logprobs=tuple(job.logprobs),
        )

    async def score(
        self, prompt_ids: Sequence[int], completion_ids: Sequence[int]
    ) -> tuple[float, ...]:
        """Returns the log-probability of each given token (natural logarithm, temperature 1).

        Concurrent calls share forward passes. In float32 the result does not depend, within
        1e-4, on what else is scored at the time.

        Args:
            prompt_ids: what stands before; at least one token.
            completion_ids: the tokens to score.

        Raises:
            ModelError: if there is no prompt, or both are longer than the context window.
        """
        if not prompt_ids:
            raise ModelError("the first token of a text has no log-probability: give a prompt")
        if len(prompt_ids) + len(completion_ids) > self._context:
            raise ModelError(f"more than the model's {self._context} tokens")
        if not completion_ids:
            return ()
        job = Job(prompt=tuple(prompt_ids), given=tuple(completion_ids))
        return tuple((await self._running().submit(job)).logprobs)

    async def close(self) -> None:
        if self._batcher is not None:
            await self._batcher.close()
            self._batcher = None
        self._end_text()

    def _make_engine(self) -> Any:
        from spa_bench.models.hf_engine import HFEngine

        model = self._make_model()
        return HFEngine(
            model,
            end_ids(model, self._template),
            self._batch_size,
            prefill_tokens=_PREFILL_TOKENS.get(model.device.type, 4096),
            parked_bytes=_parked_bytes(model.device),
            cuda_graphs=self._cuda_graphs,
        )

    def _running(self) -> Batcher:
        if self._batcher is None:
            raise self._not_running()
        return self._batcher


def _parked_bytes(device: Any) -> int:
    """Returns how much of a device's memory earlier turns may take."""
    if device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0] // 4  # of what the weights leave
    return 2**30


def _context(config: Any, max_length: int | None) -> int:
    limits = [limit for limit in (hf_load.window(config), max_length) if limit]
    return min(limits) if limits else 2**31
