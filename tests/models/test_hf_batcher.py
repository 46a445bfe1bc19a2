import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from spa_bench.errors import InputError, ModelError, ModelGoneError
from spa_bench.models.hf_batcher import Batcher, Job

HOUR = 3600.0


class Counting:
    """An engine that writes a token a step; with `gated`, only when a test lets it."""

    def __init__(self, batch_size: int = 8, gated: bool = False) -> None:
        self.batch_size = batch_size
        self.steps = threading.Semaphore(0)
        self.gated = gated
        self.entered = threading.Semaphore(0)
        self.jobs: list[Job] = []
        self.seen: list[int] = []
        self.fault: Callable[[], None] = lambda: None

    @property
    def active(self) -> int:
        return len(self.jobs)

    def advance(self, waiting: deque[Job]) -> list[Job]:
        while waiting and len(self.jobs) < self.batch_size:
            self.jobs.append(waiting.popleft())
        self.seen.append(len(self.jobs))
        self.entered.release()
        if self.gated:
            self.steps.acquire(timeout=20)
        self.fault()
        for job in self.jobs:
            job.completion.append(0)
            if len(job.completion) == job.new_tokens:
                job.stop_reason = "length"
        over = [job for job in self.jobs if job.over]
        self.jobs = [job for job in self.jobs if not job.over]
        return [job for job in over if not job.abandoned]

    async def in_a_step(self) -> None:
        await asyncio.to_thread(self.entered.acquire, timeout=20)


def job(new_tokens: int = 1) -> Job:
    return Job(prompt=(1,), new_tokens=new_tokens)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 60))


def test_requests_that_come_together_are_one_batch_and_a_full_one_waits_for_no_more() -> None:
    async def main() -> None:
        engine = Counting(batch_size=5)
        batcher = Batcher(engine, window=HOUR)
        await asyncio.gather(*(batcher.submit(job()) for _ in range(5)))
        await batcher.close()
        assert engine.seen == [5]

    run(main())


def test_the_window_ends_by_itself() -> None:
    async def main() -> None:
        batcher = Batcher(Counting())
        assert (await batcher.submit(job())).stop_reason == "length"
        await batcher.close()

    run(main())


def test_a_request_joins_while_others_run_and_a_short_one_leaves_before_a_long_one() -> None:
    async def main() -> None:
        engine = Counting(gated=True)
        batcher = Batcher(engine)
        long = asyncio.ensure_future(batcher.submit(job(3)))
        await engine.in_a_step()
        short = asyncio.ensure_future(batcher.submit(job(1)))
        await asyncio.sleep(0)
        engine.steps.release()
        await engine.in_a_step()
        engine.steps.release()
        await short
        assert not long.done()
        engine.steps.release()
        await long
        await batcher.close()
        assert engine.seen == [1, 2, 1]

    run(main())


def test_the_event_loop_goes_on_while_the_engine_works() -> None:
    async def main() -> None:
        engine = Counting(gated=True)
        batcher = Batcher(engine)
        pending = asyncio.ensure_future(batcher.submit(job()))
        await engine.in_a_step()  # the engine holds still until this loop lets it go
        engine.steps.release()
        await pending
        await batcher.close()

    run(main())


def test_a_request_cancelled_while_it_waits_or_runs_is_marked_for_the_engine() -> None:
    async def main() -> None:
        engine = Counting(batch_size=1, gated=True)
        batcher = Batcher(engine)
        jobs = [job(2), job(1), job(1)]
        running, waiting, last = (asyncio.ensure_future(batcher.submit(one)) for one in jobs)
        await engine.in_a_step()
        running.cancel()
        waiting.cancel()
        results = await asyncio.gather(running, waiting, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        assert [one.abandoned for one in jobs] == [True, True, False]
        engine.gated = False
        engine.steps.release(10)
        assert (await last).stop_reason == "length"
        await batcher.close()

    run(main())


def test_a_job_that_cannot_be_done_fails_alone() -> None:
    async def main() -> None:
        engine = Counting(batch_size=2)
        batcher = Batcher(engine, window=HOUR)
        bad, good = job(), job()
        bad.error = ModelError("too long")
        results = await asyncio.gather(
            batcher.submit(bad), batcher.submit(good), return_exceptions=True
        )
        await batcher.close()
        assert results == [bad.error, good]

    run(main())


def test_a_broken_device_fails_everything_now_and_later() -> None:
    async def main() -> None:
        def lost() -> None:
            raise RuntimeError("CUDA error: device lost\nlong explanation")

        engine = Counting(batch_size=1)
        engine.fault = lost
        batcher = Batcher(engine)
        results = await asyncio.gather(
            *(batcher.submit(job()) for _ in range(3)), return_exceptions=True
        )
        assert [str(result) for result in results] == [
            "the model failed and cannot go on: RuntimeError: CUDA error: device lost"
        ] * 3
        with pytest.raises(ModelGoneError, match="device lost"):
            await batcher.submit(job())
        await batcher.close()

    run(main())


@pytest.mark.parametrize("error", [IndexError("index out of range"), SystemExit("a bug")])
def test_whatever_the_engine_raises_is_one_line(error: BaseException) -> None:
    async def main() -> None:
        def fail() -> None:
            raise error

        engine = Counting()
        engine.fault = fail
        batcher = Batcher(engine)
        with pytest.raises(ModelGoneError) as gone:
            await batcher.submit(job())
        await batcher.close()
        kind = type(error).__name__
        assert str(gone.value) == f"the model failed and cannot go on: {kind}: {error}"

    run(main())


def test_an_error_that_has_its_own_words_keeps_them() -> None:
    async def main() -> None:
        def fail() -> None:
            raise InputError("try --dtype float32")

        engine = Counting()
        engine.fault = fail
        batcher = Batcher(engine)
        with pytest.raises(InputError, match="try --dtype float32"):
            await batcher.submit(job())
        await batcher.close()

    run(main())


def test_closing_ends_the_thread_and_fails_what_is_not_done() -> None:
    async def main() -> None:
        engine = Counting(batch_size=1, gated=True)
        batcher = Batcher(engine)
        pending = [asyncio.ensure_future(batcher.submit(job(9))) for _ in range(2)]
        await engine.in_a_step()
        closing = asyncio.ensure_future(batcher.close())
        await asyncio.sleep(0)
        engine.steps.release(10)
        await closing
        for result in await asyncio.gather(*pending, return_exceptions=True):
            assert isinstance(result, ModelGoneError)
        with pytest.raises(ModelGoneError, match="closed"):
            await batcher.submit(job())
        assert not any(thread.name == "spa-bench-hf" for thread in threading.enumerate())

    run(main())
