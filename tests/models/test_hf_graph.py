"""Passes whose tensors stay where they are, and CUDA graphs of them where there is a GPU."""

from __future__ import annotations

import copy
import logging
from itertools import chain
from typing import Any

import pytest
import torch
from hf_jobs import assert_same, engine, finish, jobs, net, written_alone

from spa_bench.models.hf_cache import Cache, Layout
from spa_bench.models.hf_engine import HFEngine
from spa_bench.models.hf_graph import Graphs, Run


def recorded(one: HFEngine, kind: str = "llama") -> list[Run]:
    """Has an engine use passes for graphs on a CPU, too; returns what it recorded."""
    found: list[Run] = []

    def record(run: Run) -> Run:
        found.append(run)
        run()
        return run

    one._graphs = Graphs(net(kind), lambda: record)
    return found


@pytest.mark.parametrize(
    ("batch_size", "kind"),
    [
        pytest.param(3, "qwen2", marks=pytest.mark.slow),
        *((3, "llama"), (16, "llama"), (16, "qwen2"), (64, "llama"), (64, "qwen2")),
    ],
)
def test_a_row_says_what_it_says_alone(kind: str, batch_size: int) -> None:
    one, todo = engine(kind, batch_size), jobs(28, 60)
    passes = recorded(one, kind)
    finish(one, todo)
    assert_same(todo, written_alone(kind, 28, 60))
    assert passes


def test_a_shape_is_recorded_once_and_anew_when_the_memory_has_moved() -> None:
    one = engine(batch_size=4)
    passes = recorded(one)
    finish(one, jobs(4, 30))
    once = len(passes)
    assert once == 1
    finish(one, jobs(4, 30))
    assert len(passes) == once
    long = jobs(4, 400)
    finish(one, long)
    assert len(passes) > once
    assert_same(long, written_alone("llama", 4, 400))


def test_what_is_rare_is_not_recorded() -> None:
    one = engine(batch_size=4)
    passes = recorded(one)
    finish(one, jobs(2, 3))
    assert not passes


def test_a_model_that_cannot_be_recorded_is_tried_once(caplog: pytest.LogCaptureFixture) -> None:
    tried: list[Run] = []

    def record(run: Run) -> Run:
        tried.append(run)
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    one, todo = engine(batch_size=16), jobs(28, 60)
    one._graphs = Graphs(net("llama"), lambda: record)
    with caplog.at_level(logging.INFO, "spa_bench"):
        finish(one, todo)
    assert_same(todo, written_alone("llama", 28, 60))
    assert len(tried) == 1
    assert [record.message for record in caplog.records] == [
        "without CUDA graphs, as the model cannot be recorded:"
        " operation not permitted when stream is capturing"
    ]


def test_memory_that_holds_no_row_is_finite_whatever_lay_in_it() -> None:
    layout = Layout(((2, 8), (2, 8)), torch.float32, torch.device("cpu"))
    cache = Cache(layout, 8)
    cache.arrange(0, 8, 100)
    for part in chain.from_iterable(cache._blocks.values()):
        part[:, :, : cache.end] = float("nan")
        part[:2, :, 90:100] = 1
    cache.arrange(2, 8, 10)
    for part in chain.from_iterable(cache._blocks.values()):
        assert (part[:2, :, :10] == 1).all()
        assert not part[:, :, 10:].any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_on_a_gpu_graphs_say_what_plain_passes_say(kind: str) -> None:
    gpu: Any = copy.deepcopy(net(kind)).to("cuda")
    plain, graphed = (HFEngine(gpu, (), 16, 4096, cuda_graphs=on) for on in (False, True))
    said, other = jobs(28, 60), jobs(28, 60)
    finish(plain, said)
    finish(graphed, other)
    assert_same(other, said)
    assert graphed._graphs is not None
    assert graphed._graphs.able
    assert graphed._graphs.count
