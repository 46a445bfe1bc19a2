"""How long a block takes, and the forward passes in it, for `benchmarks.hf_speed`.

Standard library and torch alone: scripts that run under a peer's Python import this file, which
stands beside them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Pass:
    """One measurement: seconds on the clock, of the processor, and under forward passes."""

    seconds: float
    processor: float
    forward: float
    passes: int


def forbid(model: Any, tokens: Sequence[int]) -> None:
    """Makes a model write none of some tokens, whoever draws them."""

    import torch

    # On the device already: a pass that is recorded as a CUDA graph must copy nothing there.
    forbidden = torch.tensor(list(tokens), device=model.device)

    def hook(module: Any, arguments: Any, output: Any) -> None:
        output.logits.index_fill_(-1, forbidden, -1e9)

    model.register_forward_hook(hook)


class Watch:
    """Times a block and the forward passes in it; a context manager.

    On CUDA a pass lasts from its first kernel to its last, as the device has it, and a CUDA graph
    that is started is a pass.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._cuda = model.device.type == "cuda"
        self._marks: list[Any] = []
        self._stack = contextlib.ExitStack()
        self._seconds = self._processor = 0.0

    def __enter__(self) -> Watch:
        for hook in (
            self._model.register_forward_pre_hook(self._mark),
            self._model.register_forward_hook(self._mark),
        ):
            self._stack.callback(hook.remove)
        if self._cuda:
            self._watch_graphs()
        self._seconds, self._processor = -time.perf_counter(), -time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        if self._cuda:
            import torch

            torch.cuda.synchronize()
        self._seconds += time.perf_counter()
        self._processor += time.process_time()
        self._stack.close()

    @property
    def passes(self) -> int:
        """How many forward passes there were."""
        return len(self._marks) // 2

    def result(self) -> Pass:
        """Returns what was measured."""
        pairs = zip(self._marks[::2], self._marks[1::2], strict=True)
        if self._cuda:
            forward = sum(begin.elapsed_time(end) for begin, end in pairs) / 1000
        else:
            forward = sum(end - begin for begin, end in pairs)
        return Pass(self._seconds, self._processor, forward, self.passes)

    def _watch_graphs(self) -> None:
        import torch

        replay = torch.cuda.CUDAGraph.replay

        def timed(graph: Any) -> None:
            self._mark()
            replay(graph)
            self._mark()

        torch.cuda.CUDAGraph.replay = timed
        self._stack.callback(setattr, torch.cuda.CUDAGraph, "replay", replay)

    def _mark(self, *_: object) -> None:
        if not self._cuda:
            self._marks.append(time.perf_counter())
            return
        import torch

        if torch.cuda.is_current_stream_capturing():
            return  # a pass that is recorded is none
        event: Any = torch.cuda.Event(enable_timing=True)
        event.record()
        self._marks.append(event)
