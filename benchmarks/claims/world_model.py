"""Probes and belief: exact scorers, fast, and the same in lm-eval."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.claims.claim import Claim, Measured, NotRunError
from spa_bench.environments.environment import AnyEnvironment
from spa_bench.environments.frozenlake import FrozenLake
from spa_bench.environments.sokoban import Sokoban
from spa_bench.environments.sudoku import Sudoku
from spa_bench.evaluation import evaluate
from spa_bench.interop.lm_eval_probe import TASKS
from spa_bench.models.model import Capabilities, Reply, Request
from spa_bench.plugins import load_plugin, plugins
from spa_bench.probes.board import Board
from spa_bench.probes.probe import Probe, View
from spa_bench.probes.world import ProbeWorld
from spa_bench.registry import Registry
from spa_bench.runner.episode import EpisodeSpec, play
from spa_bench.task import Instance, Task

BOARDS = 1000
MUTATIONS = 100_000
REPLIES = 10_000
ASKED = ("sokoban_transition", "frozenlake_to_grid", "sudoku_legality")
ITEMS = 8


def _tasks() -> list[Task]:
    return Registry().resolve(["world_model"])


def _asked() -> list[tuple[Task, ProbeWorld, Instance]]:
    found = list[tuple[Task, ProbeWorld, Instance]]()
    for task in _tasks():
        world = task.environment
        assert isinstance(world, ProbeWorld)
        found += [(task, world, board) for board in task.boards[0][:64]]
    return found


def _mutated(rng: random.Random, text: str) -> str:
    """Returns the text with one to four characters put in, taken out, replaced or doubled."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(text))
        new = rng.choice([*set(text), "", "(", ")", ",", "|", "\n", "9", "<", "é", "\x00", "²"])
        text = text[:at] + new + text[at + rng.randint(0, 2) :]
    return text


def mutated_replies() -> Measured:
    """Truths with a few characters changed, read and scored: none raises, none is worth more.

    One that still says the truth (an extra space, another wall) is worth as much as the truth.
    """
    rng = random.Random(0)
    asked = _asked()
    raised = more = readable = 0
    truths_accepted = all(
        world.scored(b.state.item, b.state.item.right[0][0]).accepted for _, world, b in asked
    )
    for number in range(MUTATIONS):
        _, world, board = asked[number % len(asked)]
        item = board.state.item
        text = _mutated(rng, rng.choice(item.candidates))
        try:
            answer = world.parse_action(text)
            if answer is not None:
                readable += 1
                more += world.scored(item, answer).probability > item.right[0][1]
        except Exception:
            raised += 1
    return Measured(
        f"{raised} raised, {more} worth more than the truth",
        raised == more == 0 and truths_accepted,
        f"{MUTATIONS:,} mutations of answers to {len(asked):,} items, {readable:,} readable",
    )


def worth_less() -> Measured:
    """Mutations that say something else than the truth are worth 0 and agree less."""
    rng = random.Random(1)
    asked = _asked()
    wrong = as_good = 0
    for number in range(20_000):
        _, world, board = asked[number % len(asked)]
        item = board.state.item
        answer = world.parse_action(_mutated(rng, item.right[0][0]))
        if answer is None or answer in dict(item.right):
            continue
        scored = world.scored(item, answer)
        if not scored.accepted:
            wrong += 1
            agrees = scored.agreement
            as_good += agrees is not None and max(agrees.cell_accuracy, agrees.object_f1) >= 1
    return Measured(
        f"{as_good} of {wrong:,} agree as well as the truth",
        as_good == 0 and wrong > 1000,
        "cell accuracy and object F1 below 1 for every readable answer that is wrong",
    )


def item_speed() -> Measured:
    """All probes of 1,000 boards of each world, in processor seconds; boards not counted."""
    probes: list[Probe] = [load_plugin("probes", name)() for name in sorted(plugins("probes"))]
    worlds: list[AnyEnvironment] = [Sokoban(), FrozenLake(), Sudoku()]
    seconds, items, told = 0.0, 0, list[str]()
    for world in worlds:
        starts = [(seed, world.initial_state(seed)) for seed in range(1000, 1000 + BOARDS)]
        view = View(world, "grid+coordinates")
        started, before = time.process_time(), items
        for seed, start in starts:
            board = Board(world, start, seed)
            items += sum(1 for probe in probes for _ in probe.items(view, board))
        spent = time.process_time() - started
        seconds += spent
        told.append(f"{world.name} {items - before:,} in {spent:.1f} s")
    detail = f"{', '.join(told)}; {len(probes)} probes a board"
    return Measured(f"{seconds:.1f} s", seconds < 10, detail)


def scoring_speed() -> Measured:
    """10,000 replies read and scored, in processor seconds, half of them right."""
    rng = random.Random(2)
    asked = _asked()
    replies = list[tuple[Task, ProbeWorld, Instance, str]]()
    for number in range(REPLIES):
        task, world, board = asked[rng.randrange(len(asked))]
        text = rng.choice(board.state.item.candidates)
        told = f"<answer>{text if number % 2 else _mutated(rng, text)}</answer>"
        replies.append((task, world, board, told))
    started = time.process_time()
    for task, world, board, reply in replies:
        span = task.format.parse(reply, task.config.parse).answer
        answer = span and world.parse_action(reply[span.start : span.end].strip())
        if answer is not None:
            world.scored(board.state.item, answer)
    seconds = time.process_time() - started
    return Measured(f"{seconds:.2f} s", seconds < 5, f"{REPLIES:,} replies")


def oracle_knows() -> Measured:
    """`baseline/oracle` on every probe, 24 items each: right wherever the dynamics allow it."""
    with tempfile.TemporaryDirectory() as folder:
        results = evaluate("baseline/oracle", "world_model", limit=24, output=Path(folder) / "run")
    short = [
        task.task
        for task in results.tasks
        if task.probe is None
        or task.metrics["accuracy"].value != 1
        or abs((task.probe.probability or 0) - (task.probe.best or 0)) > 1e-12
    ]
    value = f"{len(results.tasks) - len(short)} of {len(results.tasks)} probes"
    return Measured(value, not short, ", ".join(short) or "and as probable as an answer can be")


def belief_ceiling() -> Measured:
    """Baselines predict as well as can be, on slippery ice too: the exact ceiling is reached."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "run"
        (task,) = evaluate("baseline/random", "frozenlake_slippery_wm", output=output).tasks
    belief = task.belief
    assert belief is not None
    probability, ceiling = belief.probability or 0.0, belief.ceiling or 0.0
    exact = belief.prediction.exact
    low, high = exact.low or 0.0, exact.high or 0.0
    return Measured(
        f"mean probability {100 * probability:.2f}%, ceiling {100 * ceiling:.2f}%",
        abs(probability - ceiling) < 1e-12 and low <= ceiling <= high,
        f"{belief.turns:,} turns; came true {100 * (exact.value or 0):.1f}%"
        f" [{100 * low:.1f}, {100 * high:.1f}]",
    )


class _Saying:
    """A model that says one thing."""

    name = "claims/saying"
    capabilities = Capabilities(prefill=True)
    concurrency = 1

    def __init__(self, text: str) -> None:
        self._text = text

    def identity(self) -> Mapping[str, Any]:
        return {}

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def generate(self, request: Request) -> Reply:
        return Reply(self._text, "stop", prefilled=True)


def lm_eval_equality() -> Measured:
    """lm-eval asks a real model; its replies are scored by our own runs, item by item."""
    try:
        import lm_eval
        from lm_eval.tasks import TaskManager
    except ImportError:
        raise NotRunError("lm-eval is not installed: pip install 'spa-bench[lm-eval]'") from None
    fetch = [sys.executable, "-m", "benchmarks.smollm2"]
    made = subprocess.run(fetch, check=False, capture_output=True, text=True)
    folder = next((line for line in made.stdout.split() if Path(line).is_dir()), None)
    if folder is None:
        raise NotRunError("no weights: python -m benchmarks.smollm2 fetches them")
    theirs = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": folder, "dtype": "float32"},
        device="cpu",
        tasks=[f"spa_{name}" for name in ASKED],
        task_manager=TaskManager(include_path=str(TASKS), include_defaults=False),
        apply_chat_template=True,
        limit=ITEMS,
        gen_kwargs={"max_gen_toks": 64},
        bootstrap_iters=0,
    )
    different = items = right = 0
    for name in ASKED:
        task = Registry().load(name)
        for sample, ours in _both(task, theirs["samples"][f"spa_{name}"]):
            items += 1
            right += bool(sample["accuracy"])
            different += ours != (sample["accuracy"], sample["probability"])
    return Measured(
        f"{different} differences",
        different == 0 and items == ITEMS * len(ASKED),
        f"{items} greedy replies of SmolLM2-135M-Instruct (dequantised from Q4_1), {right} right;"
        f" {', '.join(ASKED)}",
    )


def _both(task: Task, samples: Any) -> Iterator[tuple[Any, tuple[float, float]]]:
    boards = task.boards[0]
    for sample in samples:
        spec = EpisodeSpec(task, boards[sample["doc_id"]], 0, "0")
        episode = asyncio.run(play(spec, _Saying(sample["resps"][0][0])))
        yield sample, (float(episode.success), episode.turns[0].reward)


CLAIMS = [
    Claim(
        "mutated-replies",
        "probes",
        "mutated answers to probes never raise and are never worth more than the truth",
        f"{MUTATIONS:,} mutations, none",
        mutated_replies,
    ),
    Claim(
        "worth-less",
        "probes",
        "an answer that is wrong agrees less than the truth, to the cell and to the object",
        "all",
        worth_less,
    ),
    Claim(
        "oracle-knows",
        "probes",
        "the oracle answers every probe rightly, and as probably as the dynamics allow",
        "all",
        oracle_knows,
    ),
    Claim(
        "belief-ceiling",
        "probes",
        "the best possible predictions on slippery ice have exactly the ceiling's probability",
        "equal",
        belief_ceiling,
    ),
    Claim(
        "item-speed",
        "probes",
        f"items of all probes for {BOARDS:,} boards of each world, on one core",
        "under 10 s",
        item_speed,
    ),
    Claim(
        "scoring-speed",
        "probes",
        f"{REPLIES:,} replies scored, on one core",
        "under 5 s",
        scoring_speed,
    ),
    Claim(
        "lm-eval-equality",
        "probes",
        "lm-eval's scores of its own greedy replies and ours of the same replies, item by item",
        "0 differences",
        lm_eval_equality,
    ),
]
