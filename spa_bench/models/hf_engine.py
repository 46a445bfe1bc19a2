"""Writes tokens with a local transformers model, many requests at once.

A loop of our own instead of `generate`: a row that has ended leaves, a request that has arrived
joins, and each row draws with its own keyed numbers, so neither waits for the longest of a batch.
Rows stand right-aligned in one key-value cache; the columns to the left of a row are masked. Keys
and values of a row that has ended are parked: the next turn of a conversation reads what is new.

Torch is imported at module level: import this file only where a model is about to run.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spa_bench.errors import ModelError
from spa_bench.models.hf_batcher import Job
from spa_bench.models.hf_cache import Cache, Layout, Row
from spa_bench.models.hf_forward import Forward
from spa_bench.models.hf_graph import Graphs, recorder
from spa_bench.models.hf_parked import Parked, Weights
from spa_bench.models.hf_sampling import draw, uniforms
from spa_bench.models.hf_scoring import batches, score

_LOG = logging.getLogger("spa_bench")
_JOIN, _JOIN_GRAPHS = 8, 4
"""Rows join once they are an eighth of the batch: reading a few prompts costs nearly as much as
reading many. Beside a graph that is as much as many tokens, so a quarter."""
_LEAVE, _LEAVE_GRAPHS = 8, 2
"""Rows that are over leave once they are an eighth, and from a graph, which has as many rows
whatever is in them, once half as many rows would do."""
_PADDING = 16
"""Prompts of unlike lengths are read apart if padding would be over a sixteenth of a pass."""


@dataclass
class _Prompt:
    """A job about to be read.

    Attributes:
        ids: its tokens so far.
        past: keys and values of the first `known` of them.
    """

    job: Job
    ids: tuple[int, ...]
    past: Row | None = None
    known: int = 0

    @property
    def unread(self) -> int:
        return len(self.ids) - self.known


class HFEngine:
    """One model on one device.

    Args:
        model: a causal language model of transformers, in evaluation mode.
        stop_ids: a row ends after any of these tokens.
        batch_size: the most rows; halved when memory runs out.
        prefill_tokens: the most prompt tokens, padding included, of one forward pass.
        parked_bytes: the most memory for keys and values of jobs that are done.
        cuda_graphs: whether to write tokens by CUDA graphs, on a GPU and where the model allows.
    """

    def __init__(
        self,
        model: Any,
        stop_ids: Collection[int],
        batch_size: int,
        prefill_tokens: int,
        parked_bytes: int = 0,
        *,
        cuda_graphs: bool = False,
    ) -> None:
        self.batch_size = batch_size
        self._model = model
        self._weights = Weights(model)
        self._trained: tuple[int, ...] | None = None  # their state, once an advance has asked
        self._forward = Forward(model)
        self._device = self._forward.device
        self._stop_ids = frozenset(stop_ids)
        self._prefill_tokens = prefill_tokens
        self._jobs: list[Job] = []  # one a row, ended ones included until the rows are next moved
        self._cache: Cache | None = None  # the last token of each row not yet in it
        self._parked = Parked(parked_bytes)
        self._missed = False
        self._graphs: Graphs | None = None
        if cuda_graphs and self._device.type == "cuda" and self._forward.one_mask:
            self._graphs = Graphs(model, lambda: recorder(self._device))

    @property
    def active(self) -> int:
        """How many jobs are in hand."""
        return len(self._live())

    @property
    def parked_bytes(self) -> int:
        """What keys and values of jobs that are done take."""
        return self._parked.size

    @property
    def _graphed(self) -> bool:
        return self._graphs is not None and self._graphs.able

    def advance(self, waiting: deque[Job]) -> list[Job]:
        """Lets waiting jobs join, and writes one token of every row.

        When memory runs out, all jobs go back to the front of `waiting` with the tokens they
        have, and the batch size is halved. A job that does not fit alone fails.
        """
        running = self._live()
        self._trained = None
        taken = self._take(waiting, len(running))
        try:
            with torch.inference_mode():
                if taken:
                    self._admit(taken)
                self._step()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            exhausted = True
        else:
            exhausted = False
        # Only now: the traceback held the tensors that did not fit.
        if exhausted:
            self._retreat([job for job in (*running, *taken) if not job.over], waiting)
        return [job for job in (*running, *taken) if job.over and not job.abandoned]

    def _live(self) -> list[Job]:
        return [job for job in self._jobs if not job.over]

    def _take(self, waiting: deque[Job], live: int) -> list[Job]:
        for _ in range(len(waiting)):
            job = waiting.popleft()
            if not job.abandoned:
                waiting.append(job)
        ready = min(len(waiting), self.batch_size - live)
        if ready * (_JOIN_GRAPHS if self._graphed else _JOIN) < live:
            return []
        if self._missed:
            # Not all that is under way can be kept. Whose past is there goes on, the others wait
            # for one of these to end: in turn, each would find that its past has just gone.
            ordered = sorted(waiting, key=lambda job: self._past_of(job) not in self._parked)
            waiting.clear()
            waiting.extend(ordered)
        taken = [waiting.popleft() for _ in range(ready)]
        # Not half of the texts that continue a prompt: it would be read twice.
        while taken and waiting and _one_reading(taken[-1], waiting[0]):
            if _one_reading(taken[0], taken[-1]):
                break
            waiting.appendleft(taken.pop())
        return taken

    def _admit(self, jobs: Sequence[Job]) -> None:
        forward, scored = self._forward, [job for job in jobs if job.given is not None]
        for batch in batches(scored, self._prefill_tokens, forward.vocabulary):
            score(forward, batch)
        prompts = [self._recalled(job) for job in jobs if job.given is None]
        if prompts:
            self._leave()
            self._reserve([len(prompt.ids) for prompt in prompts])
            for chunk in self._chunks(prompts):
                self._read(chunk)

    def _recalled(self, job: Job) -> _Prompt:
        """Returns a job with what is parked of its conversation."""
        past = self._parked.pop(self._past_of(job)) if job.earlier else None
        self._missed |= past is None and job.earlier > 0
        # The last token of a row was written and never read.
        ids, known = (*job.prompt, *job.completion), job.earlier - 1 if past else 0
        return _Prompt(job, ids, past, known)

    def _chunks(self, prompts: Sequence[_Prompt]) -> Iterator[list[_Prompt]]:
        """Cuts prompts into forward passes, like lengths together to save padding."""
        chunk: list[_Prompt] = []
        for prompt in sorted(prompts, key=lambda prompt: prompt.unread):
            padding = len(chunk) * (prompt.unread - chunk[-1].unread) if chunk else 0
            if chunk and (
                (len(chunk) + 1) * prompt.unread > self._prefill_tokens
                or padding * _PADDING > self._prefill_tokens
            ):
                yield chunk
                chunk = []
            chunk.append(prompt)
        if chunk:
            yield chunk

    def _leave(self) -> None:
        """Drops rows that are over."""
        kept = [row for row, job in enumerate(self._jobs) if not job.over]
        if self._cache is not None and len(kept) < len(self._jobs):
            self._jobs = [self._jobs[row] for row in self._cache.close_gaps(kept)]

    def _reserve(self, lengths: Sequence[int]) -> None:
        """Makes room for rows of so many tokens beside those that there are, and for a column."""
        if self._cache is None:
            self._cache = Cache(Layout.of(self._model, self._device), self.batch_size)
        rows = len(self._jobs) + len(lengths)
        width = max([*(_length(job) - 1 for job in self._jobs), *lengths])
        if not self._jobs or not self._cache.fits(rows, width):
            self._cache.arrange(len(self._jobs), rows, width)

    def _read(self, prompts: list[_Prompt]) -> None:
        """Reads what is unread of some prompts and writes the first token of each."""
        assert self._cache is not None
        cache, first, end = self._cache, len(self._jobs), self._cache.end
        count = max(prompt.unread for prompt in prompts)  # of all: there is no hole in any row
        known = [max(0, len(prompt.ids) - count) for prompt in prompts]
        cache.put(first, [prompt.past for prompt in prompts], known, end - count)
        ids, _ = self._forward.padded([prompt.ids[-count:] for prompt in prompts])
        width = max(len(prompt.ids) for prompt in prompts)
        starts = self._forward.on_device([width - len(prompt.ids) for prompt in prompts])
        window = cache.window(slice(first, first + len(prompts)), end - width, end - count)
        jobs = [prompt.job for prompt in prompts]
        for job, reused in zip(jobs, known, strict=True):
            job.reused = min(reused, len(job.prompt))
        self._jobs += jobs
        logits = self._forward(ids, starts, window, width - count, keep=1)
        self._write(first, logits[:, -1])

    def _step(self) -> None:
        """Reads the last token of every row and writes another."""
        live = self._live()
        if self._cache is None:
            return
        leave = _LEAVE_GRAPHS if self._graphed else _LEAVE
        if self._cache.full or (len(self._jobs) - len(live)) * leave >= len(self._jobs):
            self._leave()
            live = self._live()  # some may have been abandoned meanwhile
        if not live:
            return
        if self._cache.full:
            self._reserve([])
        lengths = [_length(job) for job in self._jobs]
        # A row without a token was abandoned while its prompt was read.
        last = [job.completion[-1] if job.completion else 0 for job in self._jobs]
        logits = self._graphs(self._cache, last, lengths) if self._graphs else None
        if logits is None:
            width, end = max(map(_length, live)), self._cache.end
            # A row that is over may be wider than that, and is nobody's any more.
            starts = self._forward.on_device([max(0, width - n) for n in lengths])
            ids = self._forward.on_device([[token] for token in last])
            window = self._cache.window(slice(0, len(self._jobs)), end - width + 1, end)
            logits = self._forward(ids, starts, window, width - 1, keep=1)[:, -1]
        self._cache.end += 1
        self._write(0, logits)

    def _write(self, first: int, logits: Tensor) -> None:
        """Draws and appends one token a row from row `first` on; logits are (B, V)."""
        jobs = self._jobs[first:]
        running = [row for row, job in enumerate(jobs) if not job.over]
        groups: dict[tuple[float, float], list[int]] = {}
        for row in running:
            groups.setdefault((jobs[row].temperature, jobs[row].top_p), []).append(row)
        for (temperature, top_p), rows in groups.items():
            u = torch.as_tensor(np.array([_next_uniform(jobs[row]) for row in rows]))
            chosen = logits if len(rows) == len(jobs) else logits[rows]
            ids, logprobs = draw(chosen, u.to(self._device), temperature, top_p)
            for row, token, logprob in zip(rows, _numbers(ids), _numbers(logprobs), strict=True):
                self._append(jobs[row], token, logprob)
        self._park([first + row for row in running if jobs[row].stop_reason is not None])

    def _park(self, rows: Sequence[int]) -> None:
        """Keeps rows whose replies are whole."""
        if not rows or not self._parked.limit or self._cache is None:
            return
        jobs = [self._jobs[row] for row in rows]
        copies = self._cache.take(rows, [_length(job) - 1 for job in jobs])
        for job, copy in zip(jobs, copies, strict=True):
            self._parked.put(self._key((*job.prompt, *job.completion)), copy)

    def _past_of(self, job: Job) -> tuple[int, ...]:
        return self._key(job.prompt[: job.earlier])

    def _key(self, ids: Sequence[int]) -> tuple[int, ...]:
        """Returns what tokens are parked under: a live model that was trained finds nothing."""
        if self._trained is None:
            self._trained = self._weights.state()
        return (*self._trained, *ids)

    def _append(self, job: Job, token: int, logprob: float) -> None:
        job.completion.append(token)
        job.logprobs.append(logprob)
        if math.isnan(logprob):
            job.error = ModelError("the model's logits are not numbers; try --dtype float32")
        elif token in self._stop_ids or (job.ends is not None and job.ends(job.completion)):
            job.stop_reason = "stop"
        elif len(job.completion) >= job.new_tokens:
            job.stop_reason = "length"

    def _retreat(self, jobs: list[Job], waiting: deque[Job]) -> None:
        self._jobs, self._cache = [], None
        if self._graphs:
            self._graphs.forget()
        spared = len(self._parked) > 0
        self._parked.clear()
        self._parked.limit //= 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        if spared:  # it may do without the past
            waiting.extendleft(reversed(jobs))
            return
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


def _one_reading(job: Job, other: Job) -> bool:
    """Whether both are scored, after the same prompt."""
    return job.given is not None and other.given is not None and job.prompt == other.prompt


def _length(job: Job) -> int:
    return len(job.prompt) + len(job.given if job.given is not None else job.completion)


def _next_uniform(job: Job) -> float:
    if job.uniforms is None:
        job.uniforms = uniforms(job.seed, job.new_tokens)
    return job.uniforms[len(job.completion)]


def is_out_of_memory(error: RuntimeError) -> bool:
    """Says whether an error of torch means that memory ran out.

    Only CUDA's allocator has an error of its own; the CPU's, and cuBLAS for its workspace, raise
    a plain RuntimeError.
    """
    said = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in said)
