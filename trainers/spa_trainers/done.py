"""What of a training is done already: the recipe that began a folder, and each stage's report.

A stage that begins leaves `begun.json` in its folder, with a hash of what goes into it; one that
ends `done.json`, with its report beside the same hash.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spa_bench.canonical import sha256_hex
from spa_bench.errors import InputError, first_complaint
from spa_bench.lock import lock
from spa_bench.runner.log import write_atomically
from spa_trainers.recipe import Recipe
from spa_trainers.settings import Settings

_RECIPE, _BEGUN, _DONE = "recipe.json", "begun.json", "done.json"


def check_same_recipe(output: Path, recipe: Recipe) -> None:
    """Writes the recipe into the folder that it begins.

    Raises:
        InputError: if another one began it: one that computes something else.
    """
    if (output / "run.json").exists():
        raise InputError(f"{output} holds the run of an evaluation; choose another --output")
    found = _read(output / _RECIPE)
    if found is None:
        _write(output / _RECIPE, json.loads(recipe.model_dump_json()))
        return
    try:
        before = _what(Recipe.model_validate(found))
    except ValidationError as error:
        raise InputError(
            f"{output / _RECIPE}: not a recipe of this version ({first_complaint(error)}); choose"
            " another --output, or remove it"
        ) from None
    changed = [key for key, value in _what(recipe).items() if value != before[key]]
    if changed:
        raise InputError(
            f"{output} was begun with another recipe (changed: {', '.join(changed)});"
            " choose another --output, or remove it"
        )


def _what(recipe: Recipe) -> dict[str, Any]:
    parts = {key: value for key, value in recipe if key != "description"}
    return {k: v.what() if isinstance(v, Settings) else v for k, v in parts.items()}


def begun_with(output: Path, stage: str) -> dict[str, Any]:
    """Returns the settings of a stage of the recipe that began the folder.

    They compute the same as those of now, though maybe in another way.
    """
    recipe = _read(output / _RECIPE)
    assert recipe is not None
    return recipe[stage]


@contextmanager
def held(output: Path) -> Generator[bool]:
    """Keeps other trainings out of the folder meanwhile; yields whether that can be done.

    Raises:
        InputError: if another one is at work in it.
    """
    with (output / ".lock").open("w", encoding="utf-8") as file:
        yield lock(file, f"{output}: another training is at work here; choose another --output")


def record_of(folder: Path) -> dict[str, Any] | None:
    """Returns `inputs`, a hash, and `report` of this folder's stage; None if it is not done."""
    return _read(folder / _DONE)


def begin(folder: Path, inputs: Any) -> bool:
    """Begins the stage of this folder, or goes on with it; returns False if it is done already.

    Raises:
        InputError: if it was made, or begun, from other inputs.
    """
    content = {"inputs": sha256_hex(inputs)}
    found = record_of(folder)
    for before in (found, _read(folder / _BEGUN)):
        if before is not None and before.get("inputs") != content["inputs"]:
            raise InputError(
                f"{folder} was made from other inputs; choose another --output, or remove it"
            )
    if found is None:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / _BEGUN, content)
    return found is None


def finish(folder: Path, inputs: Any, report: dict[str, Any]) -> None:
    """Says that the stage of this folder is done."""
    _write(folder / _DONE, {"inputs": sha256_hex(inputs), "report": report})
    (folder / _BEGUN).unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    """Returns what one of these files says, None if it is not there.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); remove it and train again") from None


def _write(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())
