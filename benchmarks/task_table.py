"""Plays both baselines on every task; writes docs/tasks.md: what there is, between which bounds.

    python -m benchmarks.task_table [--groups paper,ood] [--repeats 8] [--write docs/tasks.md]

Exit code 1 if a baseline is not where the bounds say: `baseline/random` must have the floor within
its 95% interval widened to 99.9% (many tasks are looked at), `baseline/oracle` the ceiling exactly
where dynamics are certain, and within the same interval elsewhere.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.tables import markdown
from spa_bench.evaluation import evaluate
from spa_bench.registry import Registry
from spa_bench.results.bounds import board_bounds
from spa_bench.results.results import Score, TaskResult
from spa_bench.results.shown import with_interval
from spa_bench.task import Task

# Tasks that differ only in what is shown or asked for have the bounds of their base task.
_SAME_BOUNDS = ("_grid", "_wm", "_answer")

_WIDER = 3.29 / 1.96
"""From a 95% to a 99.9% interval, nearly enough."""

_INTRODUCTION = """\
# Tasks

Made by `make tasks`; do not edit. Where `spa-bench list tasks` lists them, tasks also have the
variants `_grid` (the grid alone), `_wm` (world-model format) and `_answer` (answer only), with the
same bounds. Probes are in [world-model.md](world-model.md).

*floor* is uniformly random play. *ceiling* is the best policy under all limits, which commits to
the actions of a turn blind. *closed loop* is the best policy that looks before every action. All
are in percent, for Pass@1 / Pass@8, exact unless marked `~`. *random* and *oracle* are the
baselines as played, {repeats} episodes per board: Pass@1 with its 95% interval. *distinct* counts
the boards that remain different under the board's symmetries.

`_hidden` tasks, in the group `ood`, do not say what is unfamiliar. `sokoban_actions` and
`sudoku_letters` have no such variant, as nothing would be left to find out: North moves north, and
letters have to be named to be written.
"""


def main() -> None:
    """Plays, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--groups", default="paper,ood")
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--only", action="store_true", help="no tasks beyond the groups")
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()

    registry = Registry()
    page = [_INTRODUCTION.format(repeats=arguments.repeats)]
    wrong: list[str] = []
    told: set[str] = set()
    rest = [] if arguments.only else ["*"]
    for group in [*arguments.groups.split(","), *rest]:
        tasks = [task for task in registry.resolve([group]) if task.name not in told]
        tasks = [task for task in tasks if not task.name.endswith(_SAME_BOUNDS)]
        tasks = [task for task in tasks if task.config.kind == "episode"]
        told |= {task.name for task in tasks}
        if not tasks:
            continue
        rows = [_row(task, arguments.repeats, wrong) for task in tasks]
        title = "Further tasks" if group == "*" else f"Group `{group}`"
        headers = ["task", "what", "boards", "distinct", "floor", "random", "ceiling", "oracle"]
        headers += ["closed loop", "bounds, s"]
        table = markdown(headers, rows)
        page.append(f"## {title}\n\n{table}\n")
        print(page[-1], flush=True)
    if arguments.write:
        arguments.write.write_text("\n".join(page))
    for problem in wrong:
        print(f"not at its bound: {problem}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


def _row(task: Task, repeats: int, wrong: list[str]) -> list[object]:
    boards = task.boards[0]
    started = time.perf_counter()
    bounds = board_bounds(task, boards)
    seconds = time.perf_counter() - started
    certain = all(bound.ceiling in (0.0, 1.0) for bound in bounds.values())
    random, oracle = (
        _played("baseline/random", task, repeats),
        _played("baseline/oracle", task, repeats),
    )
    wrong += _problems(task.name, random.metrics["pass@1"], oracle.metrics["pass@1"], certain)
    first = random.metrics["pass@1"]
    mark = "" if first.floor_low is None or first.floor_low != first.floor_low else "~"
    return [
        f"`{task.name}`",
        task.config.description,
        len(boards),
        len({board.board_key for board in boards}),
        mark + _both(random, "floor"),
        with_interval(first),
        _both(random, "ceiling"),
        with_interval(oracle.metrics["pass@1"]),
        _both(random, "closed_loop"),
        f"{seconds:.2f}",
    ]


def _played(model: str, task: Task, repeats: int) -> TaskResult:
    with tempfile.TemporaryDirectory() as folder:
        return evaluate(model, [task], output=Path(folder) / "run", repeats=repeats).tasks[0]


def _problems(name: str, random: Score, oracle: Score, certain: bool) -> Iterator[str]:
    if not _within(random, random.floor):
        yield f"{name}: random {random.value} against a floor of {random.floor}"
    reached = oracle.value == oracle.ceiling if certain else _within(oracle, oracle.ceiling)
    if not reached:
        yield f"{name}: oracle {oracle.value} against a ceiling of {oracle.ceiling}"


def _within(score: Score, bound: float | None) -> bool:
    if score.value is None or score.low is None or score.high is None or bound is None:
        return False
    low = score.value - (score.value - score.low) * _WIDER
    high = score.value + (score.high - score.value) * _WIDER
    return low <= bound <= high


def _both(result: TaskResult, bound: str) -> str:
    values = [getattr(result.metrics[metric], bound) for metric in ("pass@1", "pass@8")]
    return " / ".join("-" if v is None or v != v else f"{100 * v:.1f}" for v in values)


if __name__ == "__main__":
    main()
