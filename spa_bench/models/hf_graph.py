"""One token a row as a CUDA graph: what a GPU does is recorded once and then started in one call.

A pass of a small model is a few hundred kernels, and Python takes longer to start them than a GPU
to run them. A graph needs tensors that stay where they are, so its rows and columns come in steps,
and it looks at more of the cache than rows have: a mask hides the rest. A pass of one shape is
recorded when it has come a few times; recording a model that cannot be recorded is tried once.

Torch is imported at module level: import this file only where a model is about to run.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spa_bench.models.hf_cache import Cache

_LOG = logging.getLogger("spa_bench")
_COLUMNS = 128
"""Columns of a pass come in multiples of this: a graph serves as many tokens."""
_ROWS = 8
"""Rows come in powers of two, from this on."""
_OFTEN = 3
"""A shape is recorded when it comes for this time."""

Run = Callable[[], None]
Record = Callable[[Run], Run]
"""Makes of a function that starts kernels one that starts all of them at once."""


class Pass:
    """One token a row, in tensors that stay where they are.

    Args:
        model: a causal language model of transformers, in which each token sees all of its row.
        cache: keys and values; its memory must not be moved.
        rows, columns: of the cache; the first ones.

    Attributes:
        logits: of the last `run`, (rows, V).
    """

    def __init__(self, model: Any, cache: Cache, rows: int, columns: int) -> None:
        self.logits: Tensor | None = None
        self._model = model
        # Together, so that a step fills them in one copy: tokens, first columns, the new column.
        self._given = torch.zeros(2 * rows + 1, dtype=torch.int64, device=model.device)
        self._ids: Tensor = self._given[:rows]
        self._starts: Tensor = self._given[rows:-1]
        self._column: Tensor = self._given[-1:]
        self._columns = torch.arange(columns, device=model.device)
        self._cache = cache.fixed(rows, columns, self._column)

    def give(self, ids: Sequence[int], lengths: Sequence[int], column: int) -> None:
        """Says what is to be read.

        Args:
            ids: the last token of each row; there may be fewer rows than the pass has.
            lengths: of the rows, that token included.
            column: where its keys and values belong.
        """
        rows = len(self._ids)
        given = np.full(2 * rows + 1, column, dtype=np.int64)
        given[:rows] = 0
        given[: len(ids)] = ids
        # A row that is over may be longer than what there is of it: it is nobody's any more.
        given[rows : rows + len(ids)] = np.maximum(column + 1 - np.asarray(lengths), 0)
        self._given.copy_(torch.as_tensor(given))

    def run(self) -> None:
        """Reads the tokens."""
        seen = (self._columns >= self._starts[:, None]) & (self._columns <= self._column)
        logits = self._model(
            input_ids=self._ids[:, None],
            attention_mask=seen[:, None, None],
            position_ids=(self._column - self._starts)[:, None],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        if self.logits is None:
            self.logits = torch.empty_like(logits)
        self.logits.copy_(logits)  # what a graph makes within is used again by the next graph


class Graphs:
    """Passes of one token a row over one engine's cache.

    Args:
        model: as `Pass` says.
        recorder: returns what records, anew for each memory that the cache has.

    Attributes:
        able: whether the model can be recorded, as far as is known.
    """

    def __init__(self, model: Any, recorder: Callable[[], Record]) -> None:
        self.able = True
        self._model = model
        self._recorder = recorder
        self._record = recorder()
        self._moves: int = 0
        self._seen: Counter[tuple[int, int]] = Counter()
        self._passes: dict[tuple[int, int], tuple[Pass, Run]] = {}

    def __call__(self, cache: Cache, ids: Sequence[int], lengths: Sequence[int]) -> Tensor | None:
        """Returns the logits of each row's next token, (B, V); None if that is not for a graph.

        Args:
            cache: without the tokens that are read; they are written into its next column.
            ids: the last token of each row.
            lengths: of the rows, that token included.
        """
        if not self.able:
            return None
        if cache.moves != self._moves:
            self.forget()
            self._moves = cache.moves
        shape = _shape(cache, len(ids))
        if shape not in self._passes:
            self._seen[shape] += 1
            if self._seen[shape] < _OFTEN:
                return None
            one = Pass(self._model, cache, *shape)
            one.give(ids, lengths, cache.end)
            try:
                self._passes[shape] = one, self._record(one.run)
            except RuntimeError as error:
                self.able = False
                self.forget()
                said = str(error).strip().partition("\n")[0]
                _LOG.info("without CUDA graphs, as the model cannot be recorded: %s", said)
                return None
        one, replay = self._passes[shape]
        one.give(ids, lengths, cache.end)
        replay()
        assert one.logits is not None
        return one.logits[: len(ids)]

    @property
    def count(self) -> int:
        """How many passes there are."""
        return len(self._passes)

    def forget(self) -> None:
        """Lets go of all passes: the memory that they read is another, or none."""
        self._passes.clear()
        self._moves = 0
        self._record = self._recorder()


def _shape(cache: Cache, rows: int) -> tuple[int, int]:
    """Returns the rows and columns of a pass: a few shapes for all that a batch goes through."""
    wide = -(-(cache.end + 1) // _COLUMNS) * _COLUMNS
    many = max(_ROWS, 1 << (rows - 1).bit_length())
    return min(many, cache.rows), min(wide, cache.columns)


def recorder(device: torch.device) -> Record:
    """Returns what records CUDA graphs that share their memory: only one of them runs at a time.

    That memory goes with the last of them, and can then be used no more.
    """
    pool = torch.cuda.graph_pool_handle()

    def record(run: Run) -> Run:
        # Not `torch.cuda.graph`, which also gives all unused memory back to the device.
        graph, stream, here = torch.cuda.CUDAGraph(), _stream(device), torch.cuda.current_stream()
        generator = torch.cuda.default_generators[stream.device_index]
        before = generator.clone_state()
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            run()  # what a model and torch prepare in a first pass is not to be recorded
            graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            try:
                run()
            except BaseException:
                with contextlib.suppress(RuntimeError):
                    graph.capture_end()
                # Else it would take all that is drawn from now on for a part of the recording.
                generator.graphsafe_set_state(before.graphsafe_get_state())
                raise
            graph.capture_end()
        here.wait_stream(stream)
        return graph.replay

    return record


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """Returns the stream to record on: torch keeps working memory for each that there ever was."""
    return torch.cuda.Stream(device)
