"""`spa-bench foresight`: whether a model tells what comes of an action from what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spa_bench.cli.scoring import command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spa_bench.cli.scoring import Measure
    from spa_bench.foresight import Foresight
    from spa_bench.task import Task


def _table(measured: Sequence[Foresight]) -> str:
    from spa_bench.results.tabulated import tabulated

    headers = ["task", "action is", "items", "chance", "accuracy", "mass"]
    return tabulated(headers, _rows(measured))


def _rows(measured: Sequence[Foresight]) -> Iterator[list[str]]:
    from spa_bench.results.shown import percent, with_interval

    for one in measured:
        for name, found in (("any", one.all), *one.strata.items()):
            yield [
                one.task,
                name,
                str(found.items),
                percent(found.chance),
                with_interval(found.accuracy),
                percent(found.mass),
            ]


def _measure() -> Measure[Foresight]:
    from spa_bench.foresight import foresight

    return foresight


def _check(task: Task) -> None:
    from spa_bench.foresight import check_foresees

    check_foresees(task)


_ABOUT = """\
Measure what a model foresees, even if it does not say so in its replies.

The reply is started for the model, with the true state and the action; every plausible next
state is scored as the prediction that follows. `accuracy`: how often the likeliest one is right,
in percent, with a 95% interval. `mass`: the probability of what is right. `chance`: the accuracy
of a random choice.
"""

foresight = command(
    "foresight", "sokoban_wm,frozenlake_wm,sudoku_wm", _ABOUT, _measure, _table, _check
)
