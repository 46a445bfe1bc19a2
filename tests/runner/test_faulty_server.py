"""Whole runs against a server that fails: they go on, or end by themselves, and lose nothing."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from scripted import answer

from spa_bench.errors import ModelGoneError
from spa_bench.evaluation import evaluate_async
from spa_bench.models.model import ModelOptions
from spa_bench.models.openai import OpenAIModel, Patience
from spa_bench.models.openai_settings import read_settings
from spa_bench.results.results import Results
from spa_bench.runner.log import RunFolder
from tests.models.test_openai_faults import AGAIN, GIVEN_UP
from tests.servers.fault_server import Fault, FaultServer, reply, status

PLAN: dict[str, Any] = {"tasks": "frozenlake_slippery", "limit": 10, "repeats": 4}
EPISODES = 40

FAULTS = [*AGAIN.values(), *(fault for fault, _ in GIVEN_UP.values())]


class Failing:
    """Fails a share of the calls, each time in another way; but not the first contact."""

    def __init__(self, share: float) -> None:
        self._rng = random.Random(1)
        self._share = share
        self.failures = 0

    async def __call__(self, server: FaultServer, request: web.Request) -> web.StreamResponse:
        fault = _right_answer
        if len(server.requests) > 1 and self._rng.random() < self._share:
            self.failures += 1
            fault = self._rng.choice(FAULTS)
        return await fault(server, request)


async def _right_answer(server: FaultServer, request: web.Request) -> web.StreamResponse:
    """What is said depends on what was asked, as a model's reply does."""
    asked = json.dumps(server.requests[-1].body["messages"])
    action = ("Up", "Down", "Left", "Right")[len(asked) % 4]
    return await reply(answer(action))(server, request)


def _play(folder: Path, *urls: str, concurrency: int = 4, **options: Any) -> Results:
    args = {"timeout": "0.25", "tries": "3"}
    settings = read_settings(
        ModelOptions("tiny", "openai/tiny", args, urls, concurrency=concurrency), {}
    )
    model = OpenAIModel(settings, Patience(first_wait=1e-4, longest_wait=1e-3))
    run = evaluate_async(model, output=folder, **{**PLAN, **options})
    return asyncio.run(asyncio.wait_for(run, 60))


def _served(default: Fault, folder: Path, **options: Any) -> Results:
    async def scenario() -> Results:
        async with FaultServer(default=default) as server:
            return await asyncio.to_thread(_play, folder, server.base_url, **options)

    return asyncio.run(scenario())


def _scored(results: Results) -> dict[str, Any]:
    (task,) = json.loads(results.model_dump_json())["tasks"]
    return {name: task[name] for name in task if name not in ("seconds", "infrastructure")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return _served(_right_answer, tmp_path_factory.mktemp("undisturbed") / "run")


def test_a_run_goes_on_when_a_third_of_the_calls_fail_and_its_numbers_are_the_same(
    tmp_path: Path, undisturbed: Results
) -> None:
    failing = Failing(0.3)
    results = _served(failing, tmp_path / "run")
    for _ in range(10):
        if results.owed:
            results = _served(failing, tmp_path / "run", resume=True)
    assert results.owed == 0
    assert results.tasks[0].infrastructure > 0
    assert failing.failures > 20
    assert _scored(results) == _scored(undisturbed)


def test_a_broken_episode_is_no_loss(tmp_path: Path) -> None:
    results = _served(Failing(0.6), tmp_path / "run")
    (task,) = results.tasks
    statuses = Counter(episode.status for episode in RunFolder(tmp_path / "run").episodes())
    assert statuses == {"complete": task.episodes, "infrastructure": task.infrastructure}
    assert task.owed == EPISODES - task.episodes > 0
    assert task.successes + sum(task.failures.values()) == task.episodes


def test_a_server_that_goes_away_ends_the_run_and_keeps_what_is_finished(
    tmp_path: Path, undisturbed: Results
) -> None:
    folder = tmp_path / "run"
    enough = asyncio.Event()

    async def for_a_while(server: FaultServer, request: web.Request) -> web.StreamResponse:
        if len(server.requests) > 60:
            enough.set()
        return await _right_answer(server, request)

    async def scenario() -> None:
        async with FaultServer(default=for_a_while) as server:
            run = asyncio.create_task(asyncio.to_thread(_play, folder, server.base_url))
            await enough.wait()
        with pytest.raises(ModelGoneError, match="--resume"):
            await run

    asyncio.run(scenario())
    kept = list(RunFolder(folder).episodes())
    assert 0 < sum(episode.status == "complete" for episode in kept) < EPISODES
    results = _served(_right_answer, folder, resume=True)
    assert _scored(results) == _scored(undisturbed)
    assert list(RunFolder(folder).episodes())[: len(kept)] == kept


@pytest.mark.parametrize(
    ("fault", "begins"), [(status(500), True), (status(501), True), (status(503), False)]
)
def test_a_server_that_only_fails_ends_the_run(tmp_path: Path, fault: Fault, begins: bool) -> None:
    async def after_first_contact(server: FaultServer, request: web.Request) -> Any:
        return await (fault if len(server.requests) > 1 else reply())(server, request)

    with pytest.raises(ModelGoneError):
        _served(after_first_contact, tmp_path / "run", repeats=20)
    played = list(RunFolder(tmp_path / "run").episodes())
    assert bool(played) == begins
    assert all(e.status == "infrastructure" for e in played)
