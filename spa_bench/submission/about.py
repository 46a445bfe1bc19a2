"""What a submitter says, from a file and from options, checked before anything is written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from spa_bench import yaml_file
from spa_bench.checkpoint import CheckpointCard
from spa_bench.errors import InputError, complaint, nearest
from spa_bench.models.hf_files import find
from spa_bench.runner.log import RunInfo
from spa_bench.submission.schema import About
from spa_bench.submission.weights import count_parameters

_FLAGS = {"links": "--link", "date": "date in --details"}
"""How what is not called like its option is said."""


def known(
    info: RunInfo, card: CheckpointCard | None = None, checkpoint: Path | None = None
) -> dict[str, Any]:
    """Returns what is known without asking: from the run, and from a checkpoint.

    Args:
        card: of the checkpoint, if it has one.
        checkpoint: its folder, whose weights are counted.
    """
    provider, _, model = info.model.name.partition("/")
    said: dict[str, Any] = {
        "provider": provider if model else "hf",  # a checkpoint is named by its folder alone
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    if provider == "baseline":
        said |= {"model": model, "method": "baseline", "training": "none"}
    if card is not None:
        said |= {"model": card.name, "method": card.method, "base_model": card.parent}
    if checkpoint is not None:
        said["parameters"] = count_parameters(checkpoint)
    return {key: value for key, value in said.items() if value is not None}


def check_weights(info: RunInfo, checkpoint: Path) -> None:
    """Refuses a checkpoint other than the one that was played, where a run knows its files.

    Raises:
        InputError: if they differ.
    """
    identity = info.model.identity
    parts = [identity, *(cast(Any, part) for part in identity.values() if isinstance(part, dict))]
    played = {str(part["content"]) for part in parts if "content" in part}
    found = set[str]()
    for what in ("model", "LoRA adapter"):
        with suppress(InputError):  # a folder may hold a card alone
            found.add(find(str(checkpoint), what=what).identity["content"])
    if played and found and not played & found:
        raise InputError(
            f"--checkpoint {checkpoint}: other weights than those of the run, which played"
            f" {info.model.name}"
        )


def read_details(path: Path) -> dict[str, Any]:
    """Reads a YAML file of what `About` holds.

    Raises:
        InputError: for a file that is none, or a key that there is not.
    """
    document = yaml_file.read_alone(path)
    for key in document.data:
        if key not in About.model_fields:
            where = document.locate((key,))
            raise InputError(f"{where}: unknown key {key!r}{nearest(key, About.model_fields)}")
    return {key: _plain(value) for key, value in document.data.items()}


def check(said: Mapping[str, Any]) -> About:
    """Returns what was said, with a name for the submission if it has none.

    Raises:
        InputError: for what is missing, or cannot be.
    """
    named = dict(said)
    if "name" not in named and {"model", "method"} <= named.keys():
        named["name"] = name_of(str(named["model"]), str(named["method"]))
    try:
        return About.model_validate_json(json.dumps(named), strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False)
    missing = [str(detail["loc"][0]) for detail in details if detail["type"] == "missing"]
    if len(missing) > 1 and "name" in missing:
        missing.remove("name")  # follows from model and method
    if missing:
        flags = ", ".join(map(_flag, missing))
        them = "it" if len(missing) == 1 else "them"
        raise InputError(
            f"{', '.join(missing)} cannot be known from the run: say {them} with {flags}, or in"
            " --details"
        )
    key, message = str(details[0]["loc"][0]), complaint(details[0])
    raise InputError(f"{_flag(key)}: {message}")


def _flag(key: str) -> str:
    return _FLAGS.get(key, f"--{key.replace('_', '-')}")


def name_of(model: str, method: str) -> str:
    """Returns a name for a submission: model and method, each said once."""
    name, how = slug(model), slug(method).replace("_", "-")
    return name if f"-{how}-" in f"-{name}-" else slug(f"{name}-{how}")


def slug(text: str) -> str:
    """Returns a name for a folder: `SmolLM2-135M (spa)` becomes `smollm2-135m-spa`."""
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-._")[:80]


def _plain(value: Any) -> Any:
    """Returns YAML's value as JSON has it; dates as text."""
    return value.isoformat() if hasattr(value, "isoformat") else value
