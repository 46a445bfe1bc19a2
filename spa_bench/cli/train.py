"""`spa-bench train`: run a recipe, or one of its stages; `list recipes`: those there are.

The one place that knows the trainers.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from spa_bench.cli.options import IncludePath, path_option

_STAGES = ("selfplay", "sft", "rl")


def train(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="[STAGE] RECIPE | curves FOLDER..",
            help="A recipe's name (see `spa-bench list recipes`) or .yaml file; with selfplay, sft"
            " or rl before it, only that stage runs. `curves` plots the reinforcement learning in"
            " the folders of one or more runs.",
        ),
    ],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting, such as sft.epochs=1; can be repeated."),
    ] = None,
    output: Annotated[
        Path | None,
        path_option(
            "Output folder; default: runs/train/RECIPE. For curves, the picture to write; default:"
            " curves.svg in the run's folder, or in the current one if there are several."
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Most replies generated at a time in self-play.")
    ] = None,
    include_path: IncludePath = None,
) -> None:
    """Train a model by a recipe: self-play, fine-tuning, reinforcement learning.

    Finished stages are skipped; an interrupted stage continues.

    To evaluate the checkpoint: spa-bench evaluate --model OUTPUT/RECIPE
    """
    from spa_bench.cli.progress import watch
    from spa_bench.errors import InputError
    from spa_bench.registry import Registry

    if what[0] == "curves":
        if len(what) == 1:
            raise InputError("train curves: of which training? give its folder, or several")
        if changes or batch_size is not None or include_path:
            raise InputError("train curves: only draws what there is; --output is its one option")
        _curves([Path(folder) for folder in what[1:]], output)
        return
    if len(what) > 2 or (len(what) == 2 and what[0] not in _STAGES):
        raise InputError(
            f"train {' '.join(what)}: write [{'|'.join(_STAGES)}] RECIPE, or curves FOLDER.."
        )
    try:
        from spa_trainers.pipeline import Pipeline
        from spa_trainers.recipe import find_recipe, load_recipe
    except ImportError as error:
        raise InputError(f"training needs {error.name}: pip install 'spa-bench[train]'") from None
    recipe = load_recipe(find_recipe(what[-1]), changes or [])
    pipeline = Pipeline(
        recipe,
        output or Path("runs/train") / recipe.recipe,
        Registry.with_paths(include_path or []),
        watch(),
        typer.echo,
        batch_size=batch_size,
    )
    made = pipeline.run(what[0] if len(what) == 2 else None)
    if made is not None:
        stage = recipe.rl or recipe.selfplay
        tasks = ",".join(stage.tasks) if stage else "spa"
        evaluate = f"spa-bench evaluate --model {_as_path(made)} --tasks {tasks}"
        typer.echo(f"checkpoint: {made}\n  {evaluate}")


def _curves(folders: list[Path], output: Path | None) -> None:
    from spa_bench.errors import InputError

    try:
        from spa_trainers.curves import draw
    except ImportError as error:
        raise InputError(f"curves need {error.name}: pip install 'spa-bench[train]'") from None
    beside = Path()
    if len(folders) == 1:
        inside = folders[0] / "rl"
        beside = inside if inside.is_dir() else folders[0]
    for picture in draw(folders, output or beside / "curves.svg"):
        typer.echo(str(picture))


def list_recipes() -> None:
    """List the built-in recipes for `spa-bench train`."""
    from tabulate import tabulate

    from spa_bench import yaml_file
    from spa_trainers.recipe import built_in_recipes

    rows: list[tuple[str, str, str]] = []
    recipes = built_in_recipes()
    for name, path in sorted(recipes.items()):
        data = yaml_file.read(path, recipes).data
        rows.append((name, str(data.get("method", "")), str(data.get("description", "")).strip()))
    headers = ["recipe", "method", "description"]
    typer.echo(tabulate(rows, headers=headers, maxcolwidths=[None, None, 72]))


def _as_path(path: Path) -> str:
    return shlex.quote(str(path) if path.is_absolute() else f"./{path}")
