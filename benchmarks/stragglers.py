"""Wall time of episodes against a server that sometimes takes long, beside a lock-step loop.

    python -m benchmarks.stragglers [--episodes 256] [--in-flight 64,256] [--median 0.5]
        [--sigma 0.8] [--rounds 3]

Episodes of Sokoban of five turns; the server's answers take log-normally long, by the request's
seed, so both loops wait equally long for every answer. Ours is `play_all`, with the client of
`openai/`. The lock-step loop asks, as RAGEN's does, for all replies of a turn, waits for the last
of them, and steps all worlds; it uses the same client, with as many requests in flight.

No loop can be faster than the bound: all waiting shared out evenly over what is in flight, or the
longest episode, whichever is longer. `in order` is what a loop without any cost of its own would
take that begins the episodes in the same order: how far from the bound the end of a run, where
fewer and fewer episodes are left, would take it anyway.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.fake_server import latency, serving
from spa_bench.models.model import Model, ModelOptions, Reply, Request, Sampling
from spa_bench.models.openai import load
from spa_bench.registry import Registry
from spa_bench.runner import chance
from spa_bench.runner.episode import EpisodeSpec
from spa_bench.runner.plan import Done, Plan
from spa_bench.runner.record import TurnUsage
from spa_bench.runner.rollout import Answer, Rollout
from spa_bench.runner.scheduler import play_all


class _Noting:
    """A model that asks another, and keeps the seeds of every episode's requests in order."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.name, self.capabilities = model.name, model.capabilities
        self.concurrency = model.concurrency
        self.seeds: dict[str, list[int]] = {}

    def identity(self) -> Mapping[str, Any]:
        return self._model.identity()

    async def start(self) -> None:
        await self._model.start()

    async def close(self) -> None:
        await self._model.close()

    async def generate(self, request: Request) -> Reply:
        self.seeds.setdefault(request.episode, []).append(request.seed)
        return await self._model.generate(request)


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--episodes", type=int, default=256)
    parser.add_argument("--in-flight", default="64,256")
    parser.add_argument("--median", type=float, default=0.5, help="seconds")
    parser.add_argument("--sigma", type=float, default=0.8, help="of the logarithm")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    print("| in flight | | seconds | of the bound |\n|---|---|---|---|")
    with serving(median=chosen.median, sigma=chosen.sigma) as url:
        for in_flight in map(int, chosen.in_flight.split(",")):
            rounds = [
                asyncio.run(_round(url, str(number), in_flight, chosen))
                for number in range(chosen.rounds)
            ]
            for name in rounds[0]:
                seconds = statistics.median(one[name] for one in rounds)
                ratio = statistics.median(one[name] / one["bound"] for one in rounds)
                print(f"| {in_flight} | {name} | {seconds:.1f} | {ratio:.2f} |", flush=True)


async def _round(url: str, salt: str, in_flight: int, chosen: Any) -> dict[str, float]:
    """Returns the seconds of both loops, and of what is possible."""
    plan = Plan(Registry().resolve(["sokoban"]), [-(-chosen.episodes // 128)], salt=salt)
    specs = list(islice(plan.owed(Done()), chosen.episodes))
    model = load(
        ModelOptions(model="fake", label="openai/fake", base_urls=(url,), concurrency=in_flight)
    )
    noting = _Noting(model)
    await noting.start()
    try:
        processor, queued, started = time.process_time(), _queued(), time.perf_counter()
        await play_all(iter(specs), noting, in_flight, lambda _: None)
        ours = time.perf_counter() - started
        busy, queued = time.process_time() - processor, _queued() - queued
        started = time.perf_counter()
        await _lock_step(specs, model, in_flight)
        theirs = time.perf_counter() - started
    finally:
        await noting.close()
    episodes = [
        sum(latency(seed, chosen.median, chosen.sigma) for seed in seeds)
        for seeds in noting.seeds.values()
    ]
    bound = max(sum(episodes) / in_flight, *episodes)
    found = {
        "bound": bound,
        "in order": _in_order(episodes, in_flight),
        "spa-bench": ours,
        "lock-step": theirs,
    }
    calls = sum(map(len, noting.seeds.values()))
    print(
        f"{found}; {calls} calls, {1000 * busy / calls:.2f} ms CPU a call; spa-bench was ready to"
        f" run and did not get the processor for {queued:.1f} s",
        file=sys.stderr,
    )
    return found


def _queued() -> float:
    """Returns the seconds that this process has waited for a processor; 0 where nobody counts."""
    counts = Path("/proc/self/schedstat")
    return int(counts.read_text(encoding="utf-8").split()[1]) / 1e9 if counts.exists() else 0.0


async def _lock_step(specs: Sequence[EpisodeSpec], model: Model, in_flight: int) -> None:
    slots = asyncio.Semaphore(in_flight)

    async def reply(rollout: Rollout) -> Reply:
        async with slots:
            return await model.generate(_request(rollout, model))

    rollouts = [Rollout(spec, "") for spec in specs]
    while playing := [rollout for rollout in rollouts if not rollout.over]:
        replies = await asyncio.gather(*map(reply, playing))
        for rollout, said in zip(playing, replies, strict=True):
            usage = TurnUsage()
            rollout.answer(Answer(message=said.text, stop_reason=said.stop_reason, usage=usage))


def _request(rollout: Rollout, model: Model) -> Request:
    """Returns what `play` would ask."""
    spec, config = rollout.spec, rollout.spec.task.config
    sampling = config.sampling
    return Request(
        messages=rollout.ask(),
        prefill="",
        sampling=Sampling(sampling.temperature, sampling.top_p, config.limits.new_tokens),
        seed=chance.sampling_seed(
            spec.salt,
            spec.task.environment.environment_id,
            spec.instance.id,
            spec.repeat,
            len(rollout.turns),
            config.task,
            model.name,
        ),
    )


def _in_order(episodes: Sequence[float], in_flight: int) -> float:
    """Returns when the last of some episodes ends if each begins as soon as a place is free."""
    free = [0.0] * in_flight
    for seconds in episodes:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


if __name__ == "__main__":
    main()
