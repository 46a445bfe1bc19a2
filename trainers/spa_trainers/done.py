"""What of a training is done already: the recipe that began a folder, and each stage's report.

A stage that ends leaves `done.json` in its folder, with its report and a hash of what went into it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from spa_bench.canonical import sha256_hex
from spa_bench.errors import InputError

_LEAST_FREE_BYTES = 500_000_000
_DONE = "done.json"


def check_room(output: Path) -> None:
    """Makes the folder.

    Raises:
        InputError: if the disk has too little room for a training.
    """
    output.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(output).free
    if free < _LEAST_FREE_BYTES:
        raise InputError(
            f"{output}: {free / 1e6:.0f} MB free, training needs"
            f" {_LEAST_FREE_BYTES / 1e6:.0f} MB at least"
        )


def check_same_recipe(output: Path, recipe: BaseModel) -> None:
    """Writes the recipe into the folder.

    Raises:
        InputError: if another recipe began it.
    """
    path = output / "recipe.json"
    now = json.loads(recipe.model_dump_json())
    if path.is_file():
        before = json.loads(path.read_text())
        changed = [key for key in now if now[key] != before.get(key) and key != "description"]
        if changed:
            raise InputError(
                f"{output} was begun with another recipe (changed: {', '.join(changed)});"
                " choose another --output, or remove it"
            )
    path.write_text(json.dumps(now, indent=2) + "\n")


def record_of(folder: Path) -> dict[str, Any] | None:
    """Returns `inputs`, a hash, and `report` of this folder's stage; None if it is not done."""
    try:
        return json.loads((folder / _DONE).read_text())
    except FileNotFoundError:
        return None


def is_done(folder: Path, inputs: Any) -> bool:
    """Says whether the stage of this folder is done.

    Raises:
        InputError: if it was made from other inputs.
    """
    found = record_of(folder)
    if found is None:
        return False
    if found["inputs"] != sha256_hex(inputs):
        raise InputError(
            f"{folder} was made from other inputs; choose another --output, or remove it"
        )
    return True


def finish(folder: Path, inputs: Any, report: dict[str, Any]) -> None:
    """Says that the stage of this folder is done."""
    content = {"inputs": sha256_hex(inputs), "report": report}
    (folder / _DONE).write_text(json.dumps(content, indent=2) + "\n")
