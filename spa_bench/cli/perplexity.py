"""`spa-bench perplexity`: how unlikely a model finds the text of states."""

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
    from collections.abc import Sequence

    from spa_bench.probes.perplexity import Perplexity


def perplexity(
    model: ModelOption,
    tasks: TasksOption = "sokoban,frozenlake,sudoku",
    limit: LimitOption = None,
    model_args: ModelArgsOption = "",
    base_url: BaseUrlOption = None,
    batch_size: BatchSizeOption = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    include_path: IncludePathOption = None,
    output: OutputOption = None,
) -> None:
    """Measure the perplexity of states: the grid alone, and the grid with coordinates.

    Per token and per character, over the starting states of the tasks' boards. `symbols` is what
    guessing uniformly gets for each cell of the grid.
    """
    from spa_bench.probes.perplexity import perplexity as measure

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
    typer.echo(_table(scoring.measured(measure, "perplexity")))


def _table(measured: Sequence[Perplexity]) -> str:
    from tabulate import tabulate

    from spa_bench.probes.perplexity import STYLES

    headers = ["task", "boards", "symbols"]
    headers += [f"{style}, {unit}" for style in STYLES for unit in ("per token", "per character")]
    rows = [
        [p.task, p.boards, p.symbols]
        + [f"{x:.2f}" for s in STYLES for x in (p.styles[s].per_token, p.styles[s].per_character)]
        for p in measured
    ]
    return tabulate(rows, headers=headers, disable_numparse=True)
