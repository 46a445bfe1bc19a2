"""`spa-bench validate TASKS_OR_DIR ..`: all that can be known to be wrong before a run."""

from __future__ import annotations

from typing import Annotated

import typer

from spa_bench.cli.options import IncludePath


def validate(
    tasks: Annotated[list[str], typer.Argument(help="Task files, folders of them, or task names.")],
    include_path: IncludePath = None,
) -> None:
    """Check task files: keys, includes, placeholders, names, solvable boards, a world's rules."""
    from spa_bench.results.shown import counted
    from spa_bench.validate import validate_all

    report = validate_all(tasks, include_path or ())
    for problem in report.problems:
        typer.echo(f"error: {problem}", err=True)
    typer.echo(
        f"checked {counted(report.tasks, 'task')} and {counted(report.groups, 'group')} with"
        f" {counted(report.boards, 'board')}: {counted(len(report.problems), 'problem')}"
    )
    if report.problems:
        raise typer.Exit(2)
