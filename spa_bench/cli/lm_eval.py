"""`spa-bench lm-eval-path` and `lm-eval-export`: our probes in lm-eval, our runs as lm-eval's."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from spa_bench.cli.options import path_option


def lm_eval_path() -> None:
    """Print the folder of spa-bench's task files for lm-eval's --include_path."""
    from spa_bench.interop.lm_eval_probe import TASKS

    typer.echo(TASKS)


def lm_eval_export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    output: Annotated[
        Path, path_option("Where to write; the files go into a subfolder named after the model.")
    ],
) -> None:
    """Write a run's results and samples in lm-eval's own format."""
    from spa_bench.interop.lm_eval_export import export

    for path in export(run, output, partial(typer.echo, err=True)):
        typer.echo(path)
