"""What the harness adds to one model call: `sokoban`, 128 boards x 8, a model without latency.

The model answers at once and always the same, two moves, so an episode lasts five turns unless the
moves happen to solve its board. Three things are timed on the same conversations: our scheduler
with episodes written to the log; inspect_ai with a solver that asks as often (its scores, display,
real-time log and control server off, and the fixed cost of an `eval` subtracted); and as the least
one can do, a bare asyncio loop that writes a JSON line an episode. Wall time by calls, medians.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.claims.claim import Claim, Measured, NotRunError
from spa_bench.models.model import Capabilities, Message, Reply, Request, Usage
from spa_bench.registry import Registry
from spa_bench.runner.log import RunFolder
from spa_bench.runner.plan import Done, Plan
from spa_bench.runner.scheduler import play_all

REPETITIONS = 7
PEER_REPETITIONS = 5
REPEATS = 8
CONCURRENCY = 64
AIM_MS = 0.1
REASONING = "The box is above me and the target above the box, so I walk up."
ANSWER = "</think><answer>Up || Down</answer>"


class Constant:
    """A model that answers at once, always the same; counts calls and keeps the last messages."""

    name = "constant"
    capabilities = Capabilities(prefill=True, deterministic=True)
    concurrency = CONCURRENCY

    def __init__(self, text: str = REASONING + ANSWER) -> None:
        self._reply = Reply(text, "stop", Usage(900, 30), prefilled=True)
        self.calls = 0
        self.longest: tuple[Message, ...] = ()

    def identity(self) -> Mapping[str, Any]:
        return {}

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def generate(self, request: Request) -> Reply:
        self.calls += 1
        if len(request.messages) > len(self.longest):
            self.longest = request.messages
        return self._reply


def ours() -> Measured:
    """Our scheduler alone."""
    milliseconds, _ = _play()
    bare, _ = _median(_bare_loop)
    return Measured(
        f"{milliseconds:.3f} ms",
        milliseconds <= AIM_MS,
        f"a bare asyncio loop with a JSON line an episode: {bare:.4f} ms",
    )


def beside_inspect() -> Measured:
    """Our scheduler and inspect_ai, one after the other."""
    milliseconds, model = _play()
    try:
        theirs = _inspect(model)
    except peers.PeerMissingError as error:
        raise NotRunError(str(error)) from None
    return Measured(
        f"{theirs['logged'] / milliseconds:.0f} times less",
        theirs["logged"] >= 10 * milliseconds,
        f"ours {milliseconds:.3f} ms, inspect_ai {theirs['logged']:.2f} ms;"
        f" {theirs['unlogged']:.2f} ms without samples in its log",
    )


def _play() -> tuple[float, Constant]:
    """Returns our milliseconds a call, and a model that has seen a whole conversation."""
    plan = Plan(Registry().resolve(["sokoban"]), [REPEATS], salt="0")
    if plan.total != 1024:  # also makes the boards, which is no cost of a call
        raise RuntimeError(f"sokoban has {plan.total} episodes, not 1024")
    return _median(lambda: _scheduler(plan))


def _median(once: Callable[[], tuple[float, Constant]]) -> tuple[float, Constant]:
    """Returns the median milliseconds a call, after one run that does not count."""
    once()
    runs = [once() for _ in range(REPETITIONS)]
    return statistics.median(1000 * spent / model.calls for spent, model in runs), runs[0][1]


def _scheduler(plan: Plan) -> tuple[float, Constant]:
    model = Constant()
    with tempfile.TemporaryDirectory() as folder, RunFolder(Path(folder)).writer() as writer:
        started = time.perf_counter()
        asyncio.run(play_all(plan.owed(Done()), model, CONCURRENCY, writer.write))
        return time.perf_counter() - started, model


def _bare_loop() -> tuple[float, Constant]:
    model = Constant()
    request: Any = Request((), "", sampling=None, seed=0)  # type: ignore[arg-type]

    async def play(file: Any) -> None:
        for _ in range(128 * REPEATS):
            turns = [(await model.generate(request)).text for _ in range(5)]
            file.write(json.dumps({"turns": turns}).encode() + b"\n")

    with tempfile.NamedTemporaryFile() as file:
        started = time.perf_counter()
        asyncio.run(play(file))
        return time.perf_counter() - started, model


def _inspect(model: Constant) -> dict[str, float]:
    """Returns inspect_ai's milliseconds a call on the same conversation, with and without log."""
    prompts = [message.content for message in model.longest if message.role == "user"]
    told = {"prompts": prompts, "reply": f"<think>{REASONING}{ANSWER}"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "conversation.json"
        file.write_text(json.dumps(told), encoding="utf-8")
        how = map(str, (128 * REPEATS, PEER_REPETITIONS, CONCURRENCY))
        found = json.loads(peers.run("inspect", "inspect_loop.py", file, *how, folder=Path(folder)))
    fixed = statistics.median(found["fixed"])
    return {
        kind: 1000 * (statistics.median(found[kind]) - fixed) / found["calls"]
        for kind in ("logged", "unlogged")
    }


CLAIMS = [
    Claim(
        "call-cost",
        "core",
        "what spa-bench adds to one model call, log written, model without latency",
        f"{AIM_MS} ms",
        ours,
    ),
    Claim(
        "call-cost-beside-inspect",
        "core",
        "spa-bench adds less to one model call than inspect_ai does",
        "10 times less",
        beside_inspect,
    ),
]
