"""Jobs for engines of tiny models, and what each says by itself."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest
from hf_tiny import VOCABULARY, forced_logprobs, model

from spa_bench.models.hf_batcher import Job
from spa_bench.models.hf_engine import HFEngine


@functools.cache
def net(kind: str) -> Any:
    if kind == "sliding":
        return model("mistral", sliding_window=16)
    if kind == "eager":
        eager = model("llama")
        eager.set_attn_implementation("eager")
        return eager
    return model(kind)


def engine(
    kind: str = "llama", batch_size: int = 64, stop_ids: Sequence[int] = (), prefill: int = 4096
) -> HFEngine:
    return HFEngine(net(kind), stop_ids, batch_size, prefill)


def prompt(number: int) -> tuple[int, ...]:
    """Token ids; lengths 3 to 40."""
    return tuple((number * 31 + i * i * 7 + 5) % VOCABULARY for i in range(3 + number * 11 % 38))


def jobs(count: int, new_tokens: int = 24, **settings: Any) -> list[Job]:
    return [
        Job(prompt=prompt(n), new_tokens=new_tokens - n % 7, seed=n, **settings)
        for n in range(count)
    ]


def finish(one: HFEngine, todo: Sequence[Job]) -> list[Job]:
    """Runs until everything is over; returns the jobs in the order in which they ended."""
    waiting, ended = deque(todo), list[Job]()
    while waiting or one.active:
        ended += one.advance(waiting)
    assert sorted(map(id, ended)) == sorted(id(job) for job in todo if not job.abandoned)
    return ended


@functools.cache
def written_alone(kind: str, count: int, new_tokens: int) -> list[Job]:
    todo = jobs(count, new_tokens)
    for job in todo:
        finish(engine(kind), [job])
    return todo


def assert_same(found: Sequence[Job], expected: Sequence[Job]) -> None:
    assert [job.completion for job in found] == [job.completion for job in expected]
    assert [job.stop_reason for job in found] == [job.stop_reason for job in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def assert_as_one_plain_call(net: Any, found: Sequence[Job]) -> None:
    """Log-probabilities are those of one unpadded, uncached call for each job."""
    for job in found:
        tokens = job.completion if job.given is None else job.given
        expected = forced_logprobs(net, job.prompt, tokens)
        assert job.logprobs == pytest.approx(expected, abs=1e-4)
