import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from spa_bench.models.limiter import Limiter


async def _at_once(_: float) -> None:
    await asyncio.sleep(0)


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 20))


async def _ticks(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_no_more_than_the_limit_are_in_flight_and_all_get_their_turn_in_order():
    async def scenario() -> None:
        limiter = Limiter(3)
        active, most, order = 0, 0, []

        async def one(number: int) -> None:
            nonlocal active, most
            await limiter.acquire()
            active, most = active + 1, max(most, active + 1)
            order.append(number)
            await _ticks()
            active -= 1
            limiter.release()

        await asyncio.gather(*(one(number) for number in range(20)))
        assert most == 3
        assert order == list(range(20))
        assert limiter.load == 0

    _run(scenario())


def test_requests_refused_together_halve_the_limit_once():
    async def scenario() -> None:
        limiter = Limiter(32, sleep=_at_once)
        epochs = [await limiter.acquire() for _ in range(32)]
        for epoch in epochs:
            limiter.overloaded(epoch)
            limiter.release()
        assert limiter.limit == 16
        await _ticks()
        limiter.overloaded(await limiter.acquire())
        assert limiter.limit == 8
        assert limiter.overloads == 2

    _run(scenario())


def test_the_limit_never_falls_below_one_and_never_rises_above_where_it_began():
    async def scenario() -> None:
        limiter = Limiter(4, sleep=_at_once)
        for _ in range(10):
            limiter.overloaded(await limiter.acquire())
            limiter.release()
            await _ticks()
        assert limiter.limit == 1
        for _ in range(100):
            limiter.succeeded()
        assert limiter.limit == 4
        assert limiter.overloads == 0

    _run(scenario())


def test_a_window_of_answers_raises_the_limit_by_one():
    async def scenario() -> None:
        limiter = Limiter(32, sleep=_at_once)
        limiter.overloaded(await limiter.acquire())
        for _ in range(16):
            limiter.succeeded()
        assert limiter.limit == 16
        limiter.succeeded()
        assert limiter.limit == 17

    _run(scenario())


def test_nothing_is_granted_during_the_silence_a_server_asks_for():
    async def scenario() -> None:
        slept: list[float] = []
        over = asyncio.Event()

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            await over.wait()

        limiter = Limiter(8, longest_wait=60, sleep=sleep)
        limiter.overloaded(await limiter.acquire(), retry_after=7)
        limiter.release()
        waiting = asyncio.ensure_future(limiter.acquire())
        await _ticks()
        assert limiter.paused
        assert not waiting.done()
        over.set()
        await waiting
        assert slept == [7]
        assert not limiter.paused

    _run(scenario())


def test_a_server_cannot_ask_for_more_silence_than_the_longest_wait():
    async def scenario() -> None:
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        limiter = Limiter(8, longest_wait=60, sleep=sleep)
        limiter.overloaded(await limiter.acquire(), retry_after=86_400)
        await _ticks()
        assert slept == [60]

    _run(scenario())


def test_silences_double_until_there_is_an_answer():
    async def scenario() -> None:
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        limiter = Limiter(8, first_wait=1, longest_wait=60, sleep=sleep)
        for _ in range(9):
            limiter.overloaded(await limiter.acquire())
            limiter.release()
            await _ticks()
        for seconds, doubled in zip(slept, [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=True):
            assert doubled / 2 <= seconds <= doubled
        limiter.succeeded()
        limiter.overloaded(await limiter.acquire())
        await _ticks()
        assert slept[-1] <= 1

    _run(scenario())


@pytest.mark.parametrize("granted_first", [False, True])
def test_a_cancelled_wait_loses_no_slot(granted_first: bool):
    async def scenario() -> None:
        limiter = Limiter(1)
        await limiter.acquire()
        cancelled = asyncio.ensure_future(limiter.acquire())
        next_one = asyncio.ensure_future(limiter.acquire())
        await _ticks()
        if granted_first:  # in the same tick, so that the waiter has not run in between
            limiter.release()
            cancelled.cancel()
        else:
            cancelled.cancel()
            limiter.release()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        await next_one
        limiter.release()
        assert limiter.load == 0

    _run(scenario())


def test_closing_ends_all_pauses():
    async def scenario() -> None:
        before = asyncio.all_tasks()
        limiter = Limiter(8)
        limiter.overloaded(await limiter.acquire(), retry_after=50)
        await _ticks()
        assert asyncio.all_tasks() > before
        limiter.close()
        await _ticks()
        assert not limiter.paused
        assert asyncio.all_tasks() == before

    _run(scenario())
