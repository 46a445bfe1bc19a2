"""`spa-bench compare RUN RUN ..`: differences, paired by board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders; each is compared with the first one.")
    ],
    output_format: Annotated[str, typer.Option(help="table, markdown or json.")] = "table",
) -> None:
    """Compare runs, paired by board: difference, 95% interval, permutation test.

    A difference is first minus second. Runs that played the same boards in different formats or
    observations can be compared too; the settings in which their tasks differ are printed.
    """
    from spa_bench.errors import InputError
    from spa_bench.results.compare import LoggedRun, format_comparisons, notes
    from spa_bench.results.compare import compare as compare_runs
    from spa_bench.results.compared import ComparedRuns
    from spa_bench.results.schema import json_of

    styles = {"table": "simple", "markdown": "github"}
    if output_format not in (*styles, "json"):
        known = "table, markdown and json"
        raise InputError(f"--output-format {output_format!r}: compare knows {known}")
    if len(runs) < 2:
        raise InputError("compare needs at least two run folders")
    first, *others = [LoggedRun.read(path) for path in runs]
    if output_format == "json":
        typer.echo(json_of([ComparedRuns.of(first, other) for other in others]))
        return
    for other in others:
        comparisons = compare_runs(first, other)
        typer.echo(f"first  {first.path} ({first.info.model.name})")
        typer.echo(f"second {other.path} ({other.info.model.name})\n")
        typer.echo(format_comparisons(comparisons, styles[output_format]) + "\n")
        if told := notes(first, other):
            typer.echo("\n".join(told) + "\n")
