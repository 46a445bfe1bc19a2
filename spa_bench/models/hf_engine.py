"""Writes tokens with a local transformers model, many requests at once.

A loop of our own instead of `generate`: a row that has ended leaves, a request that has arrived
joins, and each row draws with its own keyed numbers, so neither waits for the longest of a batch.
Rows stand right-aligned in one key-value cache; the columns to the left of a row are masked.

Torch is imported at module level: import this file only where a model is about to run.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spa_bench.errors import ModelError
from spa_bench.models.hf_batcher import Job
from spa_bench.models.hf_cache import Cache, merge
from spa_bench.models.hf_sampling import draw, uniforms

_LOG = logging.getLogger("spa_bench")
_SHARE = 8
"""Rows join or leave once they are an eighth of the batch: both move the whole cache."""
_LOGITS = 2**28
"""The most logits of one scoring call: 1 GiB in float32."""


@dataclass
class _Batch:
    """Rows that step together.

    Attributes:
        jobs: one a row, ended ones included until the rows are next moved.
        cache: keys and values of `length` columns, the last token of each row not yet in it.
        starts: first column that belongs to each row, int64 (B,).
    """

    jobs: list[Job]
    cache: Cache
    starts: Tensor


class HFEngine:
    """One model on one device.

    Args:
        model: a causal language model of transformers, in evaluation mode.
        stop_ids: a row ends after any of these tokens.
        batch_size: the most rows; halved when memory runs out.
        prefill_tokens: the most prompt tokens, padding included, of one forward pass.
    """

    def __init__(
        self, model: Any, stop_ids: Collection[int], batch_size: int, prefill_tokens: int
    ) -> None:
        self.batch_size = batch_size
        self._model = model
        self._device: torch.device = model.device
        self._vocabulary: int = model.config.get_text_config().vocab_size
        self._stop_ids = frozenset(stop_ids)
        self._prefill_tokens = prefill_tokens
        self._batch: _Batch | None = None

    @property
    def active(self) -> int:
        """How many jobs are in hand."""
        return len(self._live())

    def advance(self, waiting: deque[Job]) -> list[Job]:
        """Lets waiting jobs join, and writes one token of every row.

        When memory runs out, all jobs go back to the front of `waiting` with the tokens they
        have, and the batch size is halved. A job that does not fit alone fails.
        """
        running = self._live()
        taken = self._take(waiting, len(running))
        try:
            with torch.inference_mode():
                if taken:
                    self._admit(taken)
                if self._batch is not None:
                    self._step(self._batch)
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            exhausted = True
        else:
            exhausted = False
        # Only now: the traceback held the tensors that did not fit.
        if exhausted:
            self._retreat([job for job in (*running, *taken) if not job.over], waiting)
        if not self._live():
            self._batch = None
        return [job for job in (*running, *taken) if job.over and not job.abandoned]

    def _live(self) -> list[Job]:
        return [job for job in self._batch.jobs if not job.over] if self._batch is not None else []

    def _take(self, waiting: deque[Job], live: int) -> list[Job]:
        for _ in range(len(waiting)):
            job = waiting.popleft()
            if not job.abandoned:
                waiting.append(job)
        ready = min(len(waiting), self.batch_size - live)
        return [waiting.popleft() for _ in range(ready)] if ready * _SHARE >= live else []

    def _admit(self, jobs: Sequence[Job]) -> None:
        for chunk in self._chunks([job for job in jobs if job.given is not None]):
            self._score(chunk)
        parts = [self._batch] if self._batch is not None else []
        prompts = self._chunks([job for job in jobs if job.given is None])
        self._merge([*parts, *map(self._prefill, prompts)])

    def _chunks(self, jobs: Sequence[Job]) -> Iterator[list[Job]]:
        """Cuts jobs into forward passes, like lengths together to save padding."""
        chunk: list[Job] = []
        for job in sorted(jobs, key=_length):
            rows = len(chunk) + 1
            logits = rows * len(job.given or ()) * self._vocabulary
            if chunk and (rows * _length(job) > self._prefill_tokens or logits > _LOGITS):
                yield chunk
                chunk = []
            chunk.append(job)
        if chunk:
            yield chunk

    def _prefill(self, jobs: list[Job]) -> _Batch:
        ids, starts = self._padded([(*job.prompt, *job.completion) for job in jobs])
        cache = Cache()
        batch = _Batch(jobs, cache, starts)
        self._write(jobs, self._forward(ids, starts, cache, keep=1)[:, -1])
        return batch

    def _step(self, batch: _Batch) -> None:
        over = sum(job.over for job in batch.jobs)
        if batch.cache.full or over * _SHARE >= len(batch.jobs):
            self._merge([batch])
            if self._batch is None:
                return
            batch = self._batch
        ids = torch.tensor([[job.completion[-1]] for job in batch.jobs], device=self._device)
        self._write(batch.jobs, self._forward(ids, batch.starts, batch.cache, keep=1)[:, -1])

    def _merge(self, parts: list[_Batch]) -> None:
        """Makes one batch of all rows that are not over, as narrow as its longest row."""
        self._batch = None
        kept = [[i for i, job in enumerate(part.jobs) if not job.over] for part in parts]
        jobs = [part.jobs[i] for part, rows in zip(parts, kept, strict=True) for i in rows]
        if jobs:
            lengths = [_length(job) - 1 for job in jobs]
            width = max(lengths)
            cache = merge([part.cache for part in parts], kept, width)
            starts = torch.tensor([width - n for n in lengths], device=self._device)
            self._batch = _Batch(jobs, cache, starts)

    def _write(self, jobs: Sequence[Job], logits: Tensor) -> None:
        """Draws and appends one token a row; logits are (B, V)."""
        groups: dict[tuple[float, float], list[int]] = {}
        for row, job in enumerate(jobs):
            if not job.over:
                groups.setdefault((job.temperature, job.top_p), []).append(row)
        for (temperature, top_p), rows in groups.items():
            u = torch.tensor([_next_uniform(jobs[row]) for row in rows], dtype=torch.float64)
            chosen = logits if len(rows) == len(jobs) else logits[rows]
            ids, logprobs = draw(chosen, u.to(self._device), temperature, top_p)
            for row, token, logprob in zip(rows, _numbers(ids), _numbers(logprobs), strict=True):
                self._append(jobs[row], token, logprob)

    def _append(self, job: Job, token: int, logprob: float) -> None:
        job.completion.append(token)
        job.logprobs.append(logprob)
        if math.isnan(logprob):
            job.error = ModelError("the model's logits are not numbers; try --dtype float32")
        elif token in self._stop_ids or (job.ends is not None and job.ends(job.completion)):
            job.stop_reason = "stop"
        elif len(job.completion) >= job.new_tokens:
            job.stop_reason = "length"

    def _score(self, jobs: Sequence[Job]) -> None:
        """Teacher-forces `given` of every job."""
        ids, starts = self._padded([(*job.prompt, *(job.given or ())) for job in jobs])
        longest = max(len(job.given or ()) for job in jobs)
        logits = self._forward(ids, starts, None, keep=longest + 1)
        for row, job in enumerate(jobs):
            count = len(job.given or ())
            before = logits[row, -count - 1 : -1].log_softmax(-1, dtype=torch.float32)
            chosen = before.gather(-1, ids[row, ids.shape[1] - count :, None])
            job.completion = list(job.given or ())
            job.logprobs = _numbers(chosen[:, 0])
            job.stop_reason = "stop"

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Returns token ids padded on the left, (B, T), and the column each row starts at, (B,)."""
        width = max(map(len, rows))
        # Any token will do as padding: it is masked.
        ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows])
        starts = torch.tensor([width - len(row) for row in rows])
        return ids.to(self._device), starts.to(self._device)

    def _forward(self, ids: Tensor, starts: Tensor, cache: Cache | None, keep: int) -> Tensor:
        """Returns the logits of the last `keep` positions, (B, keep, V); ids are (B, T)."""
        past = cache.length if cache is not None else 0
        columns = torch.arange(past + ids.shape[1], device=self._device)
        logits: Tensor = self._model(
            input_ids=ids,
            attention_mask=(columns >= starts[:, None]).long(),
            position_ids=(columns[past:] - starts[:, None]).clamp_min(0),
            past_key_values=cache.native if cache is not None else None,
            use_cache=cache is not None,
            logits_to_keep=keep,
        ).logits
        return logits

    def _retreat(self, jobs: list[Job], waiting: deque[Job]) -> None:
        self._batch = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if len(jobs) == 1:
            jobs[0].error = ModelError(
                f"out of memory with a single request of {_length(jobs[0])} tokens"
            )
        if len(jobs) <= 1:
            return
        self.batch_size = max(1, len(jobs) // 2)
        _LOG.warning("out of memory: batch size halved to %d", self.batch_size)
        waiting.extendleft(reversed(jobs))


def _numbers(tensor: Any) -> list[Any]:
    return tensor.tolist()


def _length(job: Job) -> int:
    return len(job.prompt) + len(job.given if job.given is not None else job.completion)


def _next_uniform(job: Job) -> float:
    if job.uniforms is None:
        job.uniforms = uniforms(job.seed, job.new_tokens)
    return job.uniforms[len(job.completion)]


def _out_of_memory(error: RuntimeError) -> bool:
    # The CPU allocator raises a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
