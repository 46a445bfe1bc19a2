"""How fast `vllm/` writes, beside vLLM fed the same prompts offline (`LLM.generate`).

    .venv-vllm/bin/python -m benchmarks.vllm_speed [FOLDER] [--batch 32] [--tokens 64]
        [--rounds 3] [--repeats 3] [--dtype bfloat16] [--plain]

First turns of Sokoban, FrozenLake and Sudoku, twice as many a round as a batch has rows, and other
boards in each round. `vllm/` gets conversations, and does all that it does in a run; `LLM.generate`
gets their token ids at once, with the same sampling parameters, seeds and log-probabilities
included. Both have the same engine settings. Every side has processes of its own, one after the
other and in turns, since two engines would share the machine; a warm-up goes before.

Tokens are those written. CPU seconds are those of all processes of a side: they say more where the
machine is shared. `--plain` adds LLM.generate without seeds and log-probabilities: what these cost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import psutil

_TASKS = ("sokoban", "frozenlake", "sudoku")

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; of the build for CPUs


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("checkpoints/nano-base-sokoban")
    )
    parser.add_argument("--batch", type=int, default=32, help="rows")
    parser.add_argument("--tokens", type=int, default=64, help="of a reply, at most")
    parser.add_argument("--rounds", type=int, default=3, help="of one process")
    parser.add_argument("--repeats", type=int, default=3, help="processes of each side")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--side", choices=_SIDES, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.side:
        _SIDES[chosen.side](chosen)
        return
    sides = [side for side in _SIDES if side != "plain" or chosen.plain]
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(chosen.repeats):
        for side in sides:
            found[side] += _run(side)
    _print(found)


def _run(side: str) -> list[dict[str, float]]:
    command = [sys.executable, "-m", "benchmarks.vllm_speed", *sys.argv[1:], "--side", side]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    (found,) = (line for line in done.stdout.splitlines() if line.startswith("[{"))
    print(f"load {os.getloadavg()[0]:.1f} after {side}: {found}", file=sys.stderr)
    return json.loads(found)


def _print(found: dict[str, list[dict[str, float]]]) -> None:
    def median(side: str, unit: str) -> float:
        return statistics.median(one["tokens"] / one[unit] for one in found[side])

    print("| | tokens/s | of offline | per CPU second | of offline |")
    print("|---|---|---|---|---|")
    for side in found:
        cells = [side]
        for unit in ("seconds", "processor"):
            rate = median(side, unit)
            cells += [f"{rate:.1f}", f"{rate / median('offline', unit):.3f}"]
        print(f"| {' | '.join(cells)} |")


def _adapter(chosen: Any) -> None:
    model, rounds = _model(chosen)

    async def play() -> list[dict[str, float]]:
        await model.start()
        try:
            took = list[dict[str, float]]()
            for requests in rounds:
                measure = _Clock()
                replies = await asyncio.gather(*map(model.generate, requests))
                took.append(measure.stop(sum(len(one.completion_ids or ()) for one in replies)))
            return took
        finally:
            await model.close()

    print(json.dumps(asyncio.run(play())[1:]))


def _offline(chosen: Any, *, plain: bool = False) -> None:
    model, rounds = _model(chosen)
    template, settings = model._template, model._settings
    prompts = [
        [list(template.encode(request.messages, request.prefill)) for request in requests]
        for requests in rounds
    ]
    arguments = settings.engine_arguments()
    del arguments["data_parallel_size"]  # no argument of this class

    from spa_bench.models.vllm_output import output_to
    from spa_bench.models.vllm_start import for_this_build

    os.environ |= {"VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    with open(os.devnull, "wb") as nowhere, output_to(nowhere):
        import vllm

        engine = vllm.LLM(model=str(chosen.folder), **for_this_build(arguments))
    took: list[dict[str, float]] = []
    for ids, requests in zip(prompts, rounds, strict=True):
        own: list[dict[str, Any]] = [
            {} if plain else {"seed": request.seed, "logprobs": 0, "flat_logprobs": True}
            for request in requests
        ]
        params = [
            vllm.SamplingParams(
                temperature=1.0,
                max_tokens=chosen.tokens,
                stop_token_ids=sorted(template.stop_ids),
                detokenize=False,
                **one,
            )
            for one in own
        ]
        given = [vllm.TokensPrompt(prompt_token_ids=row) for row in ids]
        measure = _Clock()
        outputs = engine.generate(given, params, use_tqdm=False)
        took.append(measure.stop(sum(len(one.outputs[0].token_ids) for one in outputs)))
    print(json.dumps(took[1:]))


def _plain(chosen: Any) -> None:
    _offline(chosen, plain=True)


def _model(chosen: Any) -> tuple[Any, list[list[Any]]]:
    """Returns the model, not started, and the requests of a warm-up and of every round."""
    from spa_bench.models import vllm
    from spa_bench.models.model import ModelOptions, Request, Sampling
    from spa_bench.registry import Registry
    from spa_bench.runner.rollout import EpisodeSpec, Rollout

    options = ModelOptions(
        model=str(chosen.folder),
        label="speed",
        args={"enforce_eager": "true", "engine_args": '{"block_size": 32}'},
        dtype=chosen.dtype,
        batch_size=chosen.batch,
    )
    count = 2 * chosen.batch
    each = -(-count * (chosen.rounds + 1) // len(_TASKS))
    asked = [
        Rollout(EpisodeSpec(task, board, 0, "speed"), "<think>").ask()
        for task in Registry().resolve(list(_TASKS))
        for board in islice(task.boards[0], each)
    ]
    if len(asked) < count * (chosen.rounds + 1):
        raise SystemExit("the tasks have fewer boards than that: choose fewer --rounds")
    # Dealt out in turns, so that every round has boards of every task.
    dealt = [asked[start :: chosen.rounds + 1][:count] for start in range(chosen.rounds + 1)]
    sampling = Sampling(1.0, 1.0, chosen.tokens)
    requests = [
        [Request(messages, "<think>", sampling, seed) for seed, messages in enumerate(part)]
        for part in dealt
    ]
    return vllm.load(options), requests


class _Clock:
    """Seconds on the clock, and of the processor over this process and all that it started."""

    def __init__(self) -> None:
        self._tree = [psutil.Process(), *psutil.Process().children(recursive=True)]
        self._processor = self._used()
        self._started = time.perf_counter()

    def stop(self, tokens: int) -> dict[str, float]:
        seconds = time.perf_counter() - self._started
        return {
            "tokens": tokens,
            "seconds": round(seconds, 3),
            "processor": round(self._used() - self._processor, 3),
        }

    def _used(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self._tree)


_SIDES: dict[str, Callable[[Any], None]] = {
    "adapter": _adapter,
    "offline": _offline,
    "plain": _plain,
}


if __name__ == "__main__":
    main()
