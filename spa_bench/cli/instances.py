"""`spa-bench instances make|check`: the manifests of the boards that tasks play."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from spa_bench.instances import Manifest

app = typer.Typer(
    help="Make or check manifests: which boards tasks play, with their keys.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Folder = Annotated[Path, typer.Option(help="The folder of the manifests.")]
_Tasks = Annotated[str, typer.Option(help="Tasks, comma-separated; default: all.")]
_IncludePath = Annotated[
    list[Path] | None, typer.Option(help="A folder with more tasks; may be given again.")
]
_DEFAULT = Path("leaderboard/instances")


@app.command("make")
def make(
    folder: _Folder = _DEFAULT, tasks: _Tasks = "*", include_path: _IncludePath = None
) -> None:
    """Make the boards of tasks and write their manifests."""
    from spa_bench.instances import write_manifests

    manifests = _made(tasks, include_path)
    write_manifests(manifests, folder)
    typer.echo(f"{len(manifests)} manifests in {folder}")


@app.command("check")
def check(
    folder: _Folder = _DEFAULT, tasks: _Tasks = "*", include_path: _IncludePath = None
) -> None:
    """Make the boards again and compare them with the manifests."""
    from spa_bench.instances import check_manifests

    manifests = _made(tasks, include_path)
    problems = check_manifests(manifests, folder)
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    boards = sum(len(manifest.content["boards"]) for manifest in manifests)
    typer.echo(f"{len(manifests)} manifests, {boards} boards, {len(problems)} problems")
    if problems:
        raise typer.Exit(2)


def _made(tasks: str, include_path: list[Path] | None) -> list[Manifest]:
    from spa_bench.instances import make_manifests
    from spa_bench.registry import Registry

    return make_manifests(Registry.with_paths(include_path or ()).resolve(tasks.split(",")))
