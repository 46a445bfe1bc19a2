"""`spa-bench leaderboard build`: the leaderboard as static pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spa_bench.cli.options import link as read_link
from spa_bench.errors import InputError


def build(
    submissions: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders that hold one folder per submission; default: leaderboard/submissions."
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder to write the pages to.")] = Path(
        "leaderboard/site"
    ),
    reported: Annotated[
        Path | None,
        typer.Option(
            help="A folder of figures reported by others; default: leaderboard/reported, if it"
            " exists."
        ),
    ] = None,
    episodes: Annotated[
        int, typer.Option(min=1, help="Show N episodes per submission and task.")
    ] = 128,
    link: Annotated[
        list[str] | None,
        typer.Option(
            help="A page to link to, such as `All runs=runs/index.html`; can be repeated."
        ),
    ] = None,
) -> None:
    """Build the leaderboard as static pages.

    They need no server and load nothing from elsewhere. Submissions that cannot be read are left
    out and named. Only those that `leaderboard verify` has replayed are ranked.
    """
    from spa_bench.results.shown import counted
    from spa_bench.site.build import build as build_site

    if reported is not None and not reported.is_dir():
        raise InputError(f"--reported {reported}: no such folder")
    for folder in submissions or ():
        if (folder / "submission.json").is_file():
            raise InputError(f"{folder}: a submission; name the folder that it lies in")
    built = build_site(
        submissions or [Path("leaderboard/submissions")],
        output,
        reported or Path("leaderboard/reported"),
        episodes,
        [read_link(text) for text in link or ()],
    )
    for problem in built.problems:
        typer.echo(f"left out: {problem}", err=True)
    typer.echo(f"{output / 'index.html'} ({counted(built.submissions, 'submission')})")
    if built.problems:
        raise typer.Exit(1)
