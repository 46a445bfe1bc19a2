"""Runs beside chance, board by board.

Chance is known on the very boards that a run played. So the two are paired: how far a run differs
from it is told by the differences on the boards, and not by how much the boards differ. Whether it
differs at all is asked of how many boards it solves at least once: the number that chance solves is
a sum of known coins, one a board, whose distribution (the Poisson binomial) is exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from benchmarks.tables import markdown
from spa_bench.metrics.interval import Estimate
from spa_bench.metrics.paired import paired_difference
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


class Beside(NamedTuple):
    """A run beside chance.

    Attributes:
        differences: Pass@k less that of a uniformly random player, paired by board, for each `KS`.
        p_value: of the number of boards solved at least once, if chance had solved them.
    """

    differences: list[Estimate]
    p_value: float


def against_chance(runs: Sequence[Run]) -> str:
    """Returns what each run solves more than chance, in points, and how many differ clearly."""
    lines = list[list[str]]()
    found = list(map(beside_chance, runs))
    exact = [beside.p_value for beside in found]
    corrected = holm(exact)
    for run, beside, p_value in zip(runs, found, corrected, strict=True):
        says = [*map(_points, beside.differences), f"{beside.p_value:.4f}", f"{p_value:.4f}"]
        lines.append([run.world, run.method, str(run.seed), *says])
    clearly = map(_clearly, zip(*(beside.differences for beside in found), strict=True))
    low = [f"{sum(p < 0.05 for p in values)} below 0.05" for values in (exact, corrected)]
    lines.append([f"of {len(runs)}", "", "", *clearly, *low])
    heads = [*(f"Pass@{k} less chance" for k in KS), "p of the latter", "p, corrected"]
    return markdown(["world", "method", "seed", *heads], lines)


def beside_chance(run: Run) -> Beside:
    """Returns how a run differs from a uniformly random player of the same boards."""
    task, floors = _task(run.task)
    played, solved = Counter[str](), Counter[str]()
    for episode in run.entry.episodes():
        if episode.task_hash == task.hash and episode.status == "complete":
            played[episode.instance] += 1
            solved[episode.instance] += episode.success
    boards = sorted(played)
    differences = [
        paired_difference(
            [pass_at_k(played[board], solved[board], k) for board in boards],
            [1 - (1 - floors[board]) ** k for board in boards],
        )
        for k in KS
    ]
    chances = [1 - (1 - floors[board]) ** played[board] for board in boards]
    return Beside(differences, exact_p_value(sum(solved[b] > 0 for b in boards), chances))


def exact_p_value(number: int, chances: Sequence[float]) -> float:
    """Returns twice the smaller tail of a sum of coins at what it came to, at most 1."""
    distribution = np.ones(1)
    for chance in chances:
        distribution = np.convolve(distribution, [1 - chance, chance])
    tails = distribution[: number + 1].sum(), distribution[number:].sum()
    return float(min(1.0, 2 * min(tails)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values corrected for there being several (Holm 1979), in the order given."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = largest
    return corrected


@cache
def _task(name: str) -> tuple[Task, dict[str, float]]:
    task = Registry().load(name)
    bounds = board_bounds(task, task.boards[0])
    return task, {board: bound.floor for board, bound in bounds.items()}


def _clearly(found: Sequence[Estimate]) -> str:
    above = sum(each.low > 0 for each in found)
    below = sum(each.high < 0 for each in found)
    return f"{above} above, {below} below"


def _points(found: Estimate) -> str:
    return f"{percent(found.value)} [{percent(found.low)}, {percent(found.high)}]"
