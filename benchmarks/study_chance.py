"""Runs beside chance, board by board.

Chance is known on the very boards that a run played. So the two are paired: whether a run differs
from it is asked of the differences on the boards, and not of how much the boards differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from benchmarks.tables import markdown
from spa_bench.metrics.paired import Paired, paired
from spa_bench.metrics.success import pass_at_k
from spa_bench.registry import Registry
from spa_bench.results.bounds import board_bounds
from spa_bench.results.shown import percent
from spa_bench.site.entries import Entry
from spa_bench.task import Task

KS = (1, 8)


class Run(NamedTuple):
    """A run of the study, and the task that it was trained on."""

    world: str
    method: str
    seed: int
    task: str
    entry: Entry


def against_chance(runs: Sequence[Run]) -> str:
    """Returns what each run solves more than chance, in points, and how many differ clearly."""
    lines = list[list[str]]()
    found = list(map(less_chance, runs))
    for run, differences in zip(runs, found, strict=True):
        says = [*map(_points, differences), f"{differences[-1].p_value:.4f}"]
        lines.append([run.world, run.method, str(run.seed), *says])
    clearly = map(_clearly, zip(*found, strict=True))
    lines.append([f"of {len(runs)}", "", "", *clearly, ""])
    heads = [f"Pass@{k} less chance" for k in KS]
    return markdown(["world", "method", "seed", *heads, "p of the latter"], lines)


def less_chance(run: Run) -> list[Paired]:
    """Returns Pass@k less that of a uniformly random player, paired by board, for each of `KS`."""
    task, floors = _task(run.task)
    played, solved = Counter[str](), Counter[str]()
    for episode in run.entry.episodes():
        if episode.task_hash == task.hash and episode.status == "complete":
            played[episode.instance] += 1
            solved[episode.instance] += episode.success
    boards = sorted(played)
    return [
        paired(
            [pass_at_k(played[board], solved[board], k) for board in boards],
            [1 - (1 - floors[board]) ** k for board in boards],
        )
        for k in KS
    ]


@cache
def _task(name: str) -> tuple[Task, dict[str, float]]:
    task = Registry().load(name)
    bounds = board_bounds(task, task.boards[0])
    return task, {board: bound.floor for board, bound in bounds.items()}


def _clearly(found: Sequence[Paired]) -> str:
    above = sum(each.difference.low > 0 for each in found)
    below = sum(each.difference.high < 0 for each in found)
    return f"{above} above, {below} below"


def _points(found: Paired) -> str:
    told = found.difference
    return f"{percent(told.value)} [{percent(told.low)}, {percent(told.high)}]"
