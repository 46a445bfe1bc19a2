"""`spa-bench foresight`: whether a model tells what comes of an action from what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from spa_bench.cli.scoring import (
    BaseUrlOption,
    BatchSizeOption,
    DeviceOption,
    DtypeOption,
    IncludePathOption,
    LimitOption,
    ModelArgsOption,
    ModelOption,
    OutputOption,
    Scoring,
    TasksOption,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spa_bench.foresight import Foresight


def foresight(
    model: ModelOption,
    tasks: TasksOption = "sokoban_wm,frozenlake_wm,sudoku_wm",
    limit: LimitOption = None,
    model_args: ModelArgsOption = "",
    base_url: BaseUrlOption = None,
    batch_size: BatchSizeOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    include_path: IncludePathOption = None,
    output: OutputOption = None,
) -> None:
    """Measure what a model foresees, its reply begun for it: for models that know and do not tell.

    The reply begins with the true state and the action; every plausible next state is scored as
    the prediction that follows. `accuracy`: the likeliest is right, in per cent, with a 95%
    interval. `mass`: the probability of what is right. `chance`: of a random choice.
    """
    from spa_bench.foresight import check_foresees
    from spa_bench.foresight import foresight as measure

    scoring = Scoring(
        model,
        tasks,
        limit,
        model_args,
        tuple(base_url or ()),
        batch_size,
        device,
        dtype,
        include_path or (),
        output,
    )
    typer.echo(_table(scoring.measured(measure, "foresight", check_foresees)))


def _table(measured: Sequence[Foresight]) -> str:
    from tabulate import tabulate

    headers = ["task", "action is", "items", "chance", "accuracy", "mass"]
    return tabulate(_rows(measured), headers=headers, disable_numparse=True)


def _rows(measured: Sequence[Foresight]) -> Iterator[list[str]]:
    from spa_bench.results.table import percent, with_interval

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
