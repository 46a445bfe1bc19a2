"""What a submitter says, from a file and from options, checked before anything is written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spa_bench import yaml_file
from spa_bench.checkpoint import CheckpointCard
from spa_bench.errors import InputError, nearest
from spa_bench.runner.log import RunInfo
from spa_bench.submission.schema import About


def known(info: RunInfo, card: CheckpointCard | None = None) -> dict[str, Any]:
    """Returns what is known without asking: from the run, and from a checkpoint's own card."""
    provider, _, model = info.model.name.partition("/")
    said: dict[str, Any] = {
        "provider": provider if model else "hf",  # a checkpoint is named by its folder alone
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    if provider == "baseline":
        said |= {"model": model, "method": "baseline", "training": "none"}
    if card is not None:
        said |= {"model": card.name, "method": card.method, "base_model": card.parent}
    return {key: value for key, value in said.items() if value is not None}


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
        named["name"] = slug(f"{named['model']}-{named['method']}")
    try:
        return About.model_validate_json(json.dumps(named), strict=True)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key = ".".join(map(str, detail["loc"]))
        flag = f"--{key.partition('.')[0].replace('_', '-')}"
        if detail["type"] == "missing":
            raise InputError(
                f"{key} cannot be known from the run: say it with {flag}, or in --details"
            ) from None
        raise InputError(f"{flag}: {detail['msg'].removeprefix('Value error, ')}") from None


def slug(text: str) -> str:
    """Returns a name for a folder: `SmolLM2-135M (spa)` becomes `smollm2-135m-spa`."""
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-._")[:80]


def _plain(value: Any) -> Any:
    """Returns YAML's value as JSON has it; dates as text."""
    return value.isoformat() if hasattr(value, "isoformat") else value
