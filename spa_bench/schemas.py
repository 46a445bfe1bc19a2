"""The published schemas of the files of runs and submissions. Write them with
`python -m spa_bench.schemas leaderboard/spec`.

Not for: checking files. Readers in `runner.log`, `results.results` and `submission.folder` do that
themselves; these schemas tell others, in other languages, what the files hold.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spa_bench.results.results import RESULTS_SCHEMA, Results
from spa_bench.runner.log import RUN_SCHEMA, RunInfo
from spa_bench.runner.record import EPISODE_SCHEMA, episode_adapter
from spa_bench.submission.schema import (
    SUBMISSION_SCHEMA,
    VERIFICATION_SCHEMA,
    Submission,
    Verification,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def published() -> Mapping[str, dict[str, Any]]:
    """Returns the JSON Schemas by file name, such as `episode-1.schema.json`."""
    schemas = {
        EPISODE_SCHEMA: episode_adapter().json_schema(),
        RUN_SCHEMA: RunInfo.model_json_schema(),
        RESULTS_SCHEMA: Results.model_json_schema(),
        SUBMISSION_SCHEMA: Submission.model_json_schema(),
        VERIFICATION_SCHEMA: Verification.model_json_schema(),
    }
    return {
        f"{name.removeprefix('spa-bench/').replace('/', '-')}.schema.json": {
            "$schema": DIALECT,
            "$id": name,
            **schema,
            # readers may guess what a file without its schema's name is; writers always say it
            "required": ["schema", *(key for key in schema["required"] if key != "schema")],
        }
        for name, schema in schemas.items()
    }


def to_text(schema: Mapping[str, Any]) -> str:
    """Returns a schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path) -> list[Path]:
    """Writes all schemas into a folder, and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for name, schema in published().items():
        path = folder / name
        path.write_text(to_text(schema), encoding="utf-8")
        paths.append(path)
    return paths


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m spa_bench.schemas FOLDER")
    for written in write(Path(sys.argv[1])):
        print(written)
