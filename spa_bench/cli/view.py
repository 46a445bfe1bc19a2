"""`spa-bench view RUN`: a run as one self-contained page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spa_bench.cli.options import path_option


def view(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    output: Annotated[
        Path | None, path_option("File to write; default: view.html in the run folder.")
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(min=1, help="Show at most N episodes per task.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Make a page of a run: results, and episodes step by step, belief beside truth.

    The page is one file that loads nothing from elsewhere: you can keep it, send it, and open it
    anywhere.
    """
    from spa_bench.runner.log import write_atomically, write_named
    from spa_bench.site.view import run_page

    page = run_page(run, episodes).encode()
    if output is None:
        path = run / "view.html"
        write_atomically(path, page)
    else:
        path = output
        path.parent.mkdir(parents=True, exist_ok=True)
        write_named(path, page)
    typer.echo(f"{path} ({len(page) / 1e6:.1f} MB)")
    if open_:
        typer.launch(path.resolve().as_uri())
