"""Plays a plan: a fixed number of workers, each one episode at a time, until nothing is owed.

No batches and no rounds: a worker takes the next episode the moment its last one ends, so a
slow reply holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from spa_bench.errors import ModelGoneError, OutOfBudgetError
from spa_bench.models.model import Model
from spa_bench.runner.episode import EpisodeSpec, play
from spa_bench.runner.record import Episode
from spa_bench.runner.watchdog import HangError, watchdog

BROKEN_IN_A_ROW = 20
"""So many episodes without a single complete one between them, beside one for every worker, end a
run."""


async def play_all(
    owed: Iterator[EpisodeSpec],
    model: Model,
    concurrency: int,
    on_episode: Callable[[Episode], None],
) -> None:
    """Plays every owed episode, `concurrency` at a time, and hands over each as it ends.

    Once the model may not be asked any more, for want of money, the rest stays owed.

    `on_episode` is called from one thread, never twice at once. Cancelling loses only the
    episodes in flight.

    Raises:
        ModelGoneError: if the model is gone for good; episodes handed over stay handed over.
    """
    broken_in_a_row = 0
    most_broken = BROKEN_IN_A_ROW + concurrency

    async def work() -> None:
        nonlocal broken_in_a_row
        for spec in owed:
            try:
                episode = await play(spec, model)
            except OutOfBudgetError:
                return
            with dog.patient():
                on_episode(episode)
            broken_in_a_row = 0 if episode.status == "complete" else broken_in_a_row + 1
            if broken_in_a_row >= most_broken:
                raise ModelGoneError(f"{broken_in_a_row} episodes in a row broke: {episode.error}")
            await asyncio.sleep(0)  # a model that never waits must not starve Ctrl-C

    workers: list[asyncio.Task[None]] = []
    try:
        with watchdog() as dog:
            workers += [asyncio.create_task(work()) for _ in range(concurrency)]
            await asyncio.gather(*workers)
    except HangError as error:  # in no world's code, which would have broken its episode alone
        raise ModelGoneError(f"the event loop {error}") from None
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
