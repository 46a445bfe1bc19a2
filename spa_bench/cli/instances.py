"""`spa-bench instances make|check`: the manifests of the boards that tasks play."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spa_bench.cli.options import IncludePath, path_option
from spa_bench.results.shown import counted

if TYPE_CHECKING:
    from spa_bench.instances import Manifest

app = typer.Typer(
    help="Make or check manifests: the boards that tasks play, with their keys.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Folder = Annotated[Path, path_option("Folder of the manifests.")]
_Tasks = Annotated[
    list[str],
    typer.Option(
        help="Tasks, comma-separated; can be repeated; default: all. Only with all tasks does"
        " `make` remove, and `check` report, manifests of boards that no task plays."
    ),
]
_DEFAULT = Path("leaderboard/instances")
_EVERYTHING = "*"
_ALL = [_EVERYTHING]


@app.command("make")
def make(
    folder: _Folder = _DEFAULT, tasks: _Tasks = _ALL, include_path: IncludePath = None
) -> None:
    """Generate the boards of tasks and write their manifests.

    With all tasks, manifests of other boards are removed from the folder; other files never are.
    """
    from spa_bench.instances import write_manifests

    manifests, complete = _made(tasks, include_path)
    write_manifests(manifests, folder, complete=complete)
    typer.echo(f"{counted(len(manifests), 'manifest')} in {folder}")


@app.command("check")
def check(
    folder: _Folder = _DEFAULT, tasks: _Tasks = _ALL, include_path: IncludePath = None
) -> None:
    """Generate the boards again and compare them with the manifests.

    With all tasks, manifests of boards that no task plays are reported too.
    """
    from spa_bench.instances import check_manifests

    manifests, complete = _made(tasks, include_path)
    problems = check_manifests(manifests, folder, complete=complete)
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    boards = sum(len(manifest.content["boards"]) for manifest in manifests)
    numbers = {"manifest": len(manifests), "board": boards, "problem": len(problems)}
    typer.echo(", ".join(counted(number, noun) for noun, number in numbers.items()))
    if problems:
        raise typer.Exit(2)


def _made(tasks: list[str], include_path: list[Path] | None) -> tuple[list[Manifest], bool]:
    """Returns the manifests of tasks, and whether these are all tasks."""
    from spa_bench.errors import InputError
    from spa_bench.instances import make_manifests
    from spa_bench.registry import Registry, task_names

    names = task_names(*tasks)
    if not names:
        raise InputError(f"--tasks {','.join(tasks)!r} names no task")
    registry = Registry.with_paths(include_path or ())
    manifests = make_manifests(registry.resolve(names), registry.resolve(_ALL))
    return manifests, _EVERYTHING in names
