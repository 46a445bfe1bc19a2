"""`spa-bench merge RUN RUN .. --output DIR`: the shards of a run, put together again."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from spa_bench.cli.options import path_option


def merge(
    runs: Annotated[list[Path], typer.Argument(help="Run folders: all shards of one run.")],
    output: Annotated[
        Path, path_option("The merged run folder: a new one, or that of an earlier merge.")
    ],
    output_format: Annotated[str, typer.Option(help="table, markdown, json or csv.")] = "table",
) -> None:
    """Join the shards of a run and print the table of the whole run.

    The results are those of one run that had played everything. Runs of the same plan can be
    merged too, if they agree on the episodes they share. An existing merged run gets what it
    lacks.
    """
    from spa_bench.cli.evaluate import check_output_format
    from spa_bench.merge import merge as merge_runs
    from spa_bench.paths import typed
    from spa_bench.results.shown import counted
    from spa_bench.results.table import efficiency_line, format_results

    style = check_output_format(output_format)

    note = partial(typer.echo, err=True)
    results = merge_runs(runs, output, note)
    typer.echo(format_results([results], style))
    if results.efficiency is not None:
        note(efficiency_line(results.efficiency))
    note(f"run folder: {output}")
    if results.owed:
        owed = counted(results.owed, "episode")
        note(f"{owed} still owed; evaluate with --resume --output {typed(output)}")
        raise typer.Exit(1)
