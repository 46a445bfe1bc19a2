"""How long a block takes, and the forward passes in it, for `benchmarks.hf_speed`.

Standard library and torch alone: scripts that run under a peer's Python import this file, which
stands beside them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
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

    def hook(module: Any, arguments: Any, output: Any) -> None:
        output.logits[..., list(tokens)] = -1e9

    model.register_forward_hook(hook)


class Watch:
    """Times a block and the forward passes in it; a context manager.

    On CUDA a pass lasts from its first kernel to its last, as the device has it.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._cuda = model.device.type == "cuda"
        self._marks: list[Any] = []
        self._stack = contextlib.ExitStack()
        self._seconds = self._processor = 0.0

    def __enter__(self) -> Watch:
        mark: Callable[..., None] = lambda *_: self._marks.append(self._now())  # noqa: E731
        for hook in (
            self._model.register_forward_pre_hook(mark),
            self._model.register_forward_hook(mark),
        ):
            self._stack.callback(hook.remove)
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

    def _now(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        import torch

        event: Any = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
