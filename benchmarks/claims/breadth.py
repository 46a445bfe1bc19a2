"""The other worlds: conformance with the published ones, and how fast they step and are made."""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import task_table
from benchmarks.claims.claim import Claim, Measured, NotRunError
from benchmarks.claims.conformance import TESTS, tested
from benchmarks.claims.kernel_speed import steps_per_second
from spa_bench.environments.environment import AnyEnvironment
from spa_bench.environments.frozenlake import FrozenLake
from spa_bench.environments.sokoban import Sokoban
from spa_bench.environments.sudoku import Sudoku
from spa_bench.registry import Registry
from spa_bench.results.bounds import board_bounds

STEPS = 100_000
REPETITIONS = 5
GYMNASIUM_AIM = 210_000


def lake_transitions() -> Measured:
    """Probability, state, reward and end, on firm and on slippery ice."""
    return tested("test_frozenlake_gymnasium.py", 20_000, "transitions", 20_000)


def published_boards() -> Measured:
    """Boards of FrozenLake's and of Sudoku's published generators, by setting."""
    counts: dict[str, int] = {}
    for name in ("frozenlake_ragen.json", "sudoku_ragen.json"):
        recorded: dict[str, Any] = json.loads((TESTS / "data" / name).read_text())
        counts |= {f"{name.split('_')[0]} {s}": len(boards) for s, boards in recorded.items()}
    results = [
        tested(file, count, "boards", 200)
        for file, count in (
            ("test_frozenlake_ragen.py", _sum(counts, "frozenlake")),
            ("test_sudoku_ragen.py", _sum(counts, "sudoku")),
        )
    ]
    told = ", ".join(f"{count} of {setting}" for setting, count in counts.items())
    met = all(result.met for result in results)
    value = f"all {sum(counts.values())} are equal" if met else "; ".join(r.value for r in results)
    return Measured(value, met, told)


def _sum(counts: dict[str, int], world: str) -> int:
    return sum(count for setting, count in counts.items() if setting.startswith(world))


def lake_speed() -> Measured:
    """Steps a second with rendering; gymnasium's own with its text rendering off, beside it."""
    firm, slippery = (_rate(FrozenLake(ice=ice)) for ice in ("firm", "slippery"))  # type: ignore[arg-type]
    detail = f"slippery {_thousands(slippery)} (drawing among three outcomes)"
    with contextlib.suppress(NotRunError):
        detail += f"; gymnasium, not rendering, {_thousands(_gymnasium_rate())} in the same run"
    return Measured(f"{_thousands(firm)} a second", firm >= GYMNASIUM_AIM, detail)


def _thousands(rate: float) -> str:
    return f"{round(rate, -3):,.0f}"


def _rate(environment: AnyEnvironment) -> float:
    """Returns steps a second of a random walk over the paper's boards, as for Sokoban."""
    starts = [environment.initial_state(seed) for seed in range(123, 251)]
    return steps_per_second(environment, starts)


def _gymnasium_rate() -> float:
    try:
        import gymnasium
    except ImportError:
        raise NotRunError("gymnasium is not installed") from None
    env = gymnasium.make("FrozenLake-v1", disable_env_checker=True).unwrapped
    rng = random.Random(0)

    def walk() -> float:
        env.reset(seed=0)
        moves = rng.choices(range(4), k=STEPS)
        started = time.perf_counter()
        for move in moves:
            if env.step(move)[2]:
                env.reset()
        return STEPS / (time.perf_counter() - started)

    walk()
    return statistics.median(walk() for _ in range(REPETITIONS))


def generators() -> Measured:
    """Boards a second of each generator, and milliseconds for our hardest: 10x10 with 4 boxes."""
    made: list[tuple[str, Callable[[int], Any], int]] = [
        ("Sokoban 6x6-1 ragen", Sokoban().initial_state, 100),
        ("FrozenLake 4x4 ragen", FrozenLake().initial_state, 1000),
        ("Sudoku 4x4 ragen", Sudoku().initial_state, 1000),
        ("Sudoku 9x9 ragen", Sudoku(size=9, clues=36).initial_state, 200),
        ("Sokoban 6x6-1 spa", Sokoban(generator="spa").initial_state, 100),
        ("FrozenLake 4x4 spa", FrozenLake(generator="spa").initial_state, 1000),
        ("Sudoku 4x4 spa", Sudoku(generator="spa").initial_state, 1000),
    ]
    told: list[str] = []
    for name, make, count in made:
        seconds = _time(make, count)
        told.append(f"{name} {count / seconds:,.0f}")
    hardest = Sokoban(rows=10, cols=10, boxes=4, generator="spa").initial_state
    milliseconds = _time(hardest, 100) * 10
    return Measured(
        f"{milliseconds:.0f} ms a board", milliseconds <= 100, f"boards a second: {', '.join(told)}"
    )


def _time(make: Callable[[int], Any], count: int) -> float:
    started = time.perf_counter()
    for seed in range(1000, 1000 + count):
        make(seed)
    return time.perf_counter() - started


def paper_bounds() -> Measured:
    """All boards of all tasks of the group `paper`, each distinct board once."""
    tasks = Registry().resolve(["paper"])
    boards = [(task, task.boards[0]) for task in tasks]
    started = time.perf_counter()
    for task, some in boards:
        board_bounds(task, some)
    seconds = time.perf_counter() - started
    count = sum(len(some) for _, some in boards)
    return Measured(f"{seconds:.0f} s", seconds < 60, f"{len(tasks)} tasks, {count} boards")


def slippery_ceiling() -> Measured:
    """The best possible policy on the paper's lakes with slippery ice and ten actions."""
    (task,) = Registry().resolve(["frozenlake_slippery"])
    bounds = list(board_bounds(task, task.boards[0]).values())
    floor, closed, blind = (
        100 * statistics.fmean(getattr(b, name) for b in bounds)
        for name in ("floor", "closed_loop", "ceiling")
    )
    met = [round(x, 1) for x in (floor, closed, blind)] == [20.2, 46.6, 46.0]
    return Measured(f"{floor:.1f}, {closed:.1f}, {blind:.1f}%", met, f"{len(bounds)} boards")


def every_task_at_its_bounds() -> Measured:
    """Both baselines on every task of `paper` and `ood`, against the bounds."""
    out, err = io.StringIO(), io.StringIO()
    arguments = sys.argv
    sys.argv = ["task_table", "--groups", "paper,ood", "--only"]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            task_table.main()
        code: object = 0
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv = arguments
    tasks = len(re.findall(r"^\| `", out.getvalue(), re.MULTILINE))
    problems = [line for line in err.getvalue().splitlines() if line.startswith("not at its bound")]
    return Measured(
        f"{tasks - len(problems)} of {tasks} tasks",
        code == 0,
        "; ".join(problems) or "docs/tasks.md",
    )


CLAIMS = [
    Claim(
        "lake-transitions",
        "worlds",
        "FrozenLake's transitions equal gymnasium's in probability, state, reward and end",
        "10,000 on each ice, all equal",
        lake_transitions,
    ),
    Claim(
        "published-boards",
        "worlds",
        "FrozenLake's and Sudoku's boards equal the published generators'",
        "200 each, all equal",
        published_boards,
    ),
    Claim(
        "slippery-ceiling",
        "worlds",
        "random, best looking before every action, best under the task's limits, on slippery ice",
        "20.2, 46.6, 46.0%",
        slippery_ceiling,
    ),
    Claim(
        "every-task-at-its-bounds",
        "worlds",
        "baseline/random at the floor and baseline/oracle at the ceiling of `paper` and `ood`",
        "all",
        every_task_at_its_bounds,
    ),
    Claim(
        "paper-bounds",
        "worlds",
        "exact bounds of all tasks of `paper`",
        "under 60 s",
        paper_bounds,
    ),
    Claim(
        "lake-speed",
        "worlds",
        "FrozenLake steps with rendering, on one core",
        f"{GYMNASIUM_AIM:,} a second",
        lake_speed,
    ),
    Claim(
        "generators",
        "worlds",
        "our generator makes a 10x10 Sokoban with four boxes",
        "100 ms on average",
        generators,
    ),
]
