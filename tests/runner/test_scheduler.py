"""The scheduler: so many at a time, nobody waits for the slowest, and stopping leaves nothing."""

from __future__ import annotations

import asyncio

import pytest
from scripted import Scripted, answer
from worlds import table_task

from spa_bench.errors import ModelError, ModelGoneError
from spa_bench.models.model import Request
from spa_bench.runner.plan import Done, Plan
from spa_bench.runner.record import Episode
from spa_bench.runner.scheduler import BROKEN_IN_A_ROW, play_all

PLAN = Plan([table_task(limits={"turns": 1})], [5], "0")


def played(model: Scripted, concurrency: int) -> list[Episode]:
    episodes: list[Episode] = []
    asyncio.run(play_all(PLAN.owed(Done()), model, concurrency, episodes.append))
    return episodes


def say(request: Request) -> str:
    return answer("b")


@pytest.mark.parametrize("concurrency", [1, 2, 7, 20, 1000])
def test_every_episode_is_handed_over_once(concurrency: int) -> None:
    episodes = played(Scripted(say, delays=lambda call: call % 3), concurrency)
    keys = {(episode.instance, episode.repeat) for episode in episodes}
    assert len(episodes) == len(keys) == PLAN.total == 20


@pytest.mark.parametrize("concurrency", [1, 2, 7, 20])
def test_as_many_are_played_at_a_time_as_asked_for(concurrency: int) -> None:
    model = Scripted(say, delays=lambda call: 5)
    played(model, concurrency)
    assert model.most_in_flight == concurrency


def test_one_at_a_time_they_end_in_the_order_of_the_plan() -> None:
    ends = [(episode.instance, episode.repeat) for episode in played(Scripted(say), 1)]
    assert ends == [(spec.instance.id, spec.repeat) for spec in PLAN.owed(Done())]


def test_a_slow_reply_holds_up_nobody_else() -> None:
    model = Scripted(say, delays=lambda call: 10_000 if call == 1 else 0)
    last = played(model, 2)[-1]
    first = next(PLAN.owed(Done()))
    assert (last.instance, last.repeat) == (first.instance.id, first.repeat)


def test_a_model_that_is_gone_stops_all_workers() -> None:
    calls = iter(range(100))

    def leave(request: Request) -> str | Exception:
        return ModelGoneError("gone") if next(calls) == 7 else answer("b")

    model = Scripted(leave, delays=lambda call: call % 4)
    with pytest.raises(ModelGoneError, match="gone"):
        played(model, 4)
    assert model.in_flight == 0
    assert len(model.requests) < 8 + 2 * 4  # of 20: nobody goes on


def test_cancelling_keeps_what_was_handed_over_and_leaves_nothing_in_flight() -> None:
    model = Scripted(say, delays=lambda call: 0 if call < 7 else 10_000_000)
    episodes: list[Episode] = []

    async def cancelled() -> None:
        enough = asyncio.Event()

        def keep(episode: Episode) -> None:
            episodes.append(episode)
            if len(episodes) == 4:
                enough.set()

        run = asyncio.create_task(play_all(PLAN.owed(Done()), model, 3, keep))
        await enough.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(cancelled())
    assert 4 <= len(episodes) <= 6
    assert model.in_flight == 0


@pytest.mark.parametrize("concurrency", [1, 3])
def test_broken_episodes_in_a_row_end_the_run_after_as_many_as_promised(concurrency: int) -> None:
    many = Plan(PLAN.tasks, [50], "0")
    episodes: list[Episode] = []
    model = Scripted([ModelError("503")])
    with pytest.raises(ModelGoneError, match="in a row broke: 503"):
        asyncio.run(play_all(many.owed(Done()), model, concurrency, episodes.append))
    # those that end while the others are being stopped are handed over too
    assert BROKEN_IN_A_ROW + concurrency <= len(episodes) < BROKEN_IN_A_ROW + 2 * concurrency


def test_what_the_receiver_raises_ends_the_run() -> None:
    def full(episode: Episode) -> None:
        raise OSError("full")

    model = Scripted(say)
    with pytest.raises(OSError, match="full"):
        asyncio.run(play_all(PLAN.owed(Done()), model, 2, full))
    assert model.in_flight == 0
