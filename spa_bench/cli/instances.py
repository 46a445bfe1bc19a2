"""`spa-bench instances make|check`: the manifests of the boards that tasks play."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spa_bench.cli.options import IncludePath, path_option

if TYPE_CHECKING:
    from spa_bench.instances import Manifest

app = typer.Typer(
    help="Make or check manifests: which boards tasks play, with their keys.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Folder = Annotated[Path, path_option("The folder of the manifests.")]
_Tasks = Annotated[
    str,
    typer.Option(
        help="Tasks, comma-separated; default: all, and only then are manifests of boards that no"
        " task plays removed by make and told by check."
    ),
]
_DEFAULT = Path("leaderboard/instances")
_ALL = "*"


@app.command("make")
def make(
    folder: _Folder = _DEFAULT, tasks: _Tasks = _ALL, include_path: IncludePath = None
) -> None:
    """Make the boards of tasks and write their manifests.

    Of all tasks, the folder's manifests of other boards are removed; no other file ever is.
    """
    from spa_bench.instances import write_manifests

    manifests, complete = _made(tasks, include_path)
    write_manifests(manifests, folder, complete=complete)
    typer.echo(f"{len(manifests)} manifests in {folder}")


@app.command("check")
def check(
    folder: _Folder = _DEFAULT, tasks: _Tasks = _ALL, include_path: IncludePath = None
) -> None:
    """Make the boards again and compare them with the manifests.

    Of all tasks, manifests of boards that none of them plays are told, too.
    """
    from spa_bench.instances import check_manifests

    manifests, complete = _made(tasks, include_path)
    problems = check_manifests(manifests, folder, complete=complete)
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    boards = sum(len(manifest.content["boards"]) for manifest in manifests)
    typer.echo(f"{len(manifests)} manifests, {boards} boards, {len(problems)} problems")
    if problems:
        raise typer.Exit(2)


def _made(tasks: str, include_path: list[Path] | None) -> tuple[list[Manifest], bool]:
    """Returns the manifests of tasks, and whether these are all tasks."""
    from spa_bench.errors import InputError
    from spa_bench.instances import make_manifests
    from spa_bench.registry import Registry, task_names

    names = task_names(tasks)
    if not names:
        raise InputError(f"--tasks {tasks!r} names no task")
    registry = Registry.with_paths(include_path or ())
    manifests = make_manifests(registry.resolve(names), registry.resolve([_ALL]))
    return manifests, _ALL in names
