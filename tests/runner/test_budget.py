"""`--max-cost` and `--max-tokens-total`, against a server that sends bills."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from scripted import Scripted, answer

from spa_bench.errors import InputError
from spa_bench.evaluation import evaluate_async
from spa_bench.models.model import ModelOptions
from spa_bench.models.openai import OpenAIModel, Patience
from spa_bench.models.openai_settings import read_settings
from spa_bench.results.results import Results
from spa_bench.runner.log import RunFolder
from tests.runner.test_resume import Watcher
from tests.servers.fault_server import FaultServer, completion, hang, raw, reply, reset, status

PLAN: dict[str, Any] = {"tasks": "frozenlake", "limit": 10, "repeats": 2}
PRICE = (10.0, 40.0)  # a prompt token costs 10 millionths of a dollar, a completion token 40


class Bill:
    """A server's default behaviour: it answers, or fails at random, and counts all it worked."""

    def __init__(self, failing: float = 0.0, counted: bool = True) -> None:
        self.rng = random.Random(0)
        self.failing = failing
        self.counted = counted
        self.prompt = self.completion = 0

    async def __call__(self, server: FaultServer, request: web.Request) -> web.StreamResponse:
        body = server.requests[-1].body
        prompt = sum(len(message["content"]) for message in body["messages"]) // 3
        written = self.rng.randint(1, body["max_tokens"])
        await asyncio.sleep(0)
        if self.rng.random() < self.failing:
            unpaid = [status(500), status(429), status(503)]
            paid = [reset(), raw(b"{"), hang(after=b'{"choices": [')]
            fault = self.rng.choice(paid + unpaid)
            if fault in unpaid:
                return await fault(server, request)
        else:
            usage = {"prompt_tokens": prompt, "completion_tokens": written}
            said = {**completion(answer("Up")), "usage": usage if self.counted else None}
            fault = None
        self.prompt += prompt
        self.completion += written
        return web.json_response(said) if fault is None else await fault(server, request)

    @property
    def tokens(self) -> int:
        return self.prompt + self.completion

    @property
    def cost(self) -> float:
        return (self.prompt * PRICE[0] + self.completion * PRICE[1]) / 1e6


async def _evaluate(
    server: FaultServer, folder: Path, *, hangs: bool = False, **options: Any
) -> Results:
    args = {"timeout": "0.5" if hangs else "60", "tries": "3"}
    settings = read_settings(
        ModelOptions("tiny", "openai/tiny", args, (server.base_url,), concurrency=8), {}
    )
    model = OpenAIModel(settings, Patience(first_wait=1e-4, longest_wait=1e-3))
    return await evaluate_async(model, output=folder, **{**PLAN, **options})


def _run(server: FaultServer, folder: Path, **options: Any) -> Results:
    async def scenario() -> Results:
        async with server:
            return await asyncio.wait_for(_evaluate(server, folder, **options), 300)

    return asyncio.run(scenario())


@pytest.mark.parametrize("failing", [0.0, 0.3])
def test_no_more_is_spent_than_may_be_even_if_answers_are_lost(
    tmp_path: Path, failing: float
) -> None:
    bill = Bill(failing)
    most = 30_000
    server = FaultServer(default=bill)
    results = _run(server, tmp_path / "run", hangs=failing > 0, max_tokens_total=most)
    assert results.owed > 0
    assert results.tasks[0].episodes > 0
    assert bill.tokens <= most
    assert bill.tokens > most * 0.8 or failing


def test_the_cost_is_kept_to_and_the_rest_is_owed(tmp_path: Path) -> None:
    bill, watcher = Bill(), Watcher()
    server = FaultServer(default=bill)
    results = _run(server, tmp_path / "run", max_cost=0.5, price=PRICE, progress=watcher)
    assert 0.4 < bill.cost <= 0.5
    assert 0 < results.owed < 20
    assert results.tasks[0].infrastructure <= 1  # episodes under way went first
    assert any("stopped at the budget" in note for note in watcher.notes)


def test_the_limits_that_may_have_stopped_a_run_are_named(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"max_cost": 0.3, "max_tokens_total": 30_000, "price": PRICE}
    watcher = Watcher()
    _run(FaultServer(default=Bill()), tmp_path / "run", progress=watcher, **limits)
    assert watcher.notes[-1].endswith("needs a larger --max-cost or --max-tokens-total")


def test_what_was_spent_counts_when_the_run_goes_on(tmp_path: Path) -> None:
    folder, bill = tmp_path / "run", Bill()
    _run(FaultServer(default=bill), folder, max_cost=0.3, price=PRICE)
    owed = _run(FaultServer(default=bill), folder, max_cost=0.3, resume=True).owed
    assert bill.cost <= 0.3
    assert owed > 0
    finished = _run(FaultServer(default=bill), folder, max_cost=9.0, resume=True)
    assert finished.owed == 0
    assert bill.cost <= 9.0


def test_a_server_that_counts_nothing_is_charged_the_most_it_could_be(tmp_path: Path) -> None:
    bill = Bill(counted=False)
    results = _run(FaultServer(default=bill), tmp_path / "run", max_tokens_total=50_000)
    assert results.owed > 0
    assert 0 < bill.tokens <= 50_000


def test_a_budget_that_is_large_enough_changes_nothing(tmp_path: Path) -> None:
    results = _run(
        FaultServer(default=reply(answer("Up"))), tmp_path / "run", max_tokens_total=10**9
    )
    assert results.owed == 0


def test_an_episode_that_had_not_begun_leaves_no_line(tmp_path: Path) -> None:
    results = _run(FaultServer(), tmp_path / "run", max_tokens_total=400)
    assert results.owed == 20
    assert not list(RunFolder(tmp_path / "run").episodes())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"max_cost": 1.0}, "--max-cost needs --price"),
        ({"max_cost": 0.0, "price": PRICE}, "--max-cost must be more than 0"),
        ({"max_cost": float("nan"), "price": PRICE}, "--max-cost must be more than 0"),
        ({"max_tokens_total": 0}, "--max-tokens-total must be more than 0"),
    ],
)
def test_a_budget_that_cannot_be_is_said(
    tmp_path: Path, options: dict[str, Any], match: str
) -> None:
    with pytest.raises(InputError, match=match):
        _run(FaultServer(), tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_model_that_asks_no_meter_cannot_be_limited(tmp_path: Path) -> None:
    run = evaluate_async(
        Scripted(itertools.repeat("x", 3)), output=tmp_path / "run", max_tokens_total=5, **PLAN
    )
    with pytest.raises(InputError, match="scripted/model cannot be limited"):
        asyncio.run(run)
