"""The account of a run: never more than the limit, whatever happens side by side."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.errors import OutOfBudgetError
from spa_bench.models.meter import Meter, Spending

TEN = Spending(6, 4)


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 10))


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_call_that_does_not_fit_is_refused_when_nothing_is_in_flight():
    async def scenario() -> None:
        meter = Meter(most_tokens=19)
        await meter.reserve(TEN, begun=False)
        meter.settle(TEN, TEN)
        with pytest.raises(OutOfBudgetError, match="6 prompt and 4 completion"):
            await meter.reserve(TEN, begun=False)
        assert meter.refused
        await meter.reserve(Spending(9), begun=False)  # a smaller one still fits

    _run(scenario())


def test_a_call_waits_for_what_others_may_leave():
    async def scenario() -> None:
        meter = Meter(most_tokens=19)
        await meter.reserve(TEN, begun=False)
        waiting = asyncio.ensure_future(meter.reserve(TEN, begun=False))
        await _settled()
        assert not waiting.done()
        meter.settle(TEN, Spending(5, 4))
        await waiting
        assert not meter.refused

    _run(scenario())


def test_episodes_under_way_go_first():
    async def scenario() -> None:
        meter = Meter(most_tokens=20)
        await meter.reserve(TEN, begun=False)
        await meter.reserve(TEN, begun=False)
        order: list[str] = []

        async def ask(name: str, begun: bool) -> None:
            await meter.reserve(TEN, begun=begun)
            order.append(name)

        waiting = [asyncio.ensure_future(ask(n, n == "begun")) for n in ("new", "begun")]
        await _settled()
        meter.settle(TEN, Spending())
        meter.settle(TEN, Spending())
        await asyncio.gather(*waiting)
        assert order == ["begun", "new"]

    _run(scenario())


def test_money_counts_each_kind_of_token_at_its_price():
    async def scenario() -> None:
        meter = Meter(most_cost=1.0, cost=lambda prompt, completion: prompt / 10 + completion)
        await meter.reserve(Spending(4, 0), begun=False)
        meter.settle(Spending(4, 0), Spending(4, 0))
        with pytest.raises(OutOfBudgetError, match=r"\$0\.4000"):
            await meter.reserve(Spending(0, 1), begun=False)
        await meter.reserve(Spending(6, 0), begun=False)

    _run(scenario())


def test_what_was_spent_before_counts():
    async def scenario() -> None:
        meter = Meter(most_tokens=19)
        meter.spend(TEN)
        with pytest.raises(OutOfBudgetError):
            await meter.reserve(TEN, begun=True)

    _run(scenario())


@pytest.mark.parametrize("granted", [False, True])
def test_whoever_is_cancelled_while_waiting_sets_nothing_aside(granted: bool):
    async def scenario() -> None:
        meter = Meter(most_tokens=10)
        await meter.reserve(TEN, begun=False)
        waiting = asyncio.ensure_future(meter.reserve(TEN, begun=False))
        await _settled()
        if granted:  # in the very tick in which it is cancelled
            meter.settle(TEN, Spending())
        waiting.cancel()
        await _settled()
        if not granted:
            meter.settle(TEN, Spending())
        await meter.reserve(TEN, begun=False)

    _run(scenario())


@given(st.integers(0, 2000), st.integers(1, 20), st.integers(0, 2**32))
def test_the_limit_holds_and_everybody_hears(most: int, workers: int, seed: int):
    rng = random.Random(seed)
    meter = Meter(most_tokens=most)
    highest = refused = 0

    async def work() -> None:
        nonlocal highest, refused
        for turn in range(5):
            bound = Spending(rng.randint(0, 60), rng.randint(0, 40))
            try:
                await meter.reserve(bound, begun=turn > 0)
            except OutOfBudgetError:
                refused += 1
                return
            for _ in range(rng.randint(0, 3)):
                await asyncio.sleep(0)
            meter.settle(bound, Spending(rng.randint(0, bound[0]), rng.randint(0, bound[1])))
            highest = max(highest, sum(meter.spent))

    async def scenario() -> None:
        await asyncio.gather(*(work() for _ in range(workers)))

    _run(scenario())
    assert highest <= most
    assert meter.refused == (refused > 0)
