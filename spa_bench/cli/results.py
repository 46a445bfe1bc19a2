"""`spa-bench results RUN ..`: the table of runs, computed from their logs anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def results(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; several share one table.")],
    output_format: Annotated[str, typer.Option(help="table, markdown, json or csv.")] = "table",
) -> None:
    """Print the table of one or more runs, computed from their logs.

    It is the table that evaluate printed; no model is needed. Exits with code 1 if a run owes
    episodes, or has a task that this installation does not know.
    """
    from spa_bench.cli.evaluate import check_output_format
    from spa_bench.paths import typed
    from spa_bench.results.shown import counted
    from spa_bench.results.table import format_results
    from spa_bench.run import read_results
    from spa_bench.runner.log import RunFolder
    from spa_bench.runner.run_log import RunLog

    style = check_output_format(output_format)
    found = [(path, RunLog(RunFolder(path))) for path in runs]
    computed = [
        read_results(RunFolder(path), log.plan, log.info.model.name, log.info.price)
        for path, log in found
    ]
    typer.echo(format_results(computed, style))
    for (path, log), own in zip(found, computed, strict=True):
        for _, reason in log.lost:
            typer.echo(
                f"{path}: {reason}; for its results, install the package that provides it, in the"
                " version that played it",
                err=True,
            )
        if own.owed:
            owed = counted(own.owed, "episode")
            typer.echo(
                f"{path}: {owed} still owed; evaluate with --resume --output {typed(path)}",
                err=True,
            )
    if any(log.lost for _, log in found) or any(own.owed for own in computed):
        raise typer.Exit(1)
