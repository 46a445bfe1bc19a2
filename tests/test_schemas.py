"""The published schemas are those of the code, and a real run keeps to them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from scripted import Scripted, answer
from worlds import sokoban_task, table_task

from spa_bench.errors import ModelError
from spa_bench.evaluation import evaluate_async
from spa_bench.models.model import Capabilities, Reply, Request, Usage
from spa_bench.schemas import published, to_text
from spa_bench.task_file import PACKAGE

SPEC = PACKAGE.parent / "leaderboard" / "spec"
FILES = tuple(
    f"{name}-1.schema.json" for name in ("episode", "run", "results", "submission", "verification")
)


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(published()[name])


def test_every_file_has_its_schema() -> None:
    assert tuple(published()) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_published_schema_is_the_one_of_the_code(name: str) -> None:
    # on purpose: a change of a file format is a new version, or at least a new file here
    assert (SPEC / name).read_text(encoding="utf-8") == to_text(published()[name])


@pytest.mark.parametrize("name", FILES)
def test_a_published_schema_is_a_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(published()[name])


@pytest.mark.parametrize("name", FILES)
def test_a_file_must_say_which_schema_it_keeps_to(name: str) -> None:
    assert published()[name]["required"][0] == "schema"


def test_the_module_writes_the_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "spa_bench.schemas", str(tmp_path / "spec")]
    written = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert [Path(path).name for path in written] == list(FILES)
    assert all((tmp_path / "spec" / name).read_bytes() for name in FILES)


# -- a real run -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with successes, failures, broken episodes, tokens, usage, reasoning and odd replies."""
    calls = iter(range(10_000))

    def say(request: Request) -> Any:
        call = next(calls)
        if call % 7 == 6:
            return ModelError("503")
        return Reply(
            text=[answer("a", "b"), "no tags", "<think>\ud800"][call % 3],
            stop_reason="length" if call % 3 == 2 else "stop",
            usage=Usage(10, 2, None, 1) if call % 2 else Usage(),
            reasoning="so" if call % 5 == 0 else None,
            prompt_ids=(1, 2),
            completion_ids=(3,),
            logprobs=(float("-inf") if call % 4 == 0 else -0.5,),
        )

    path = tmp_path_factory.mktemp("run")
    model = Scripted(say, capabilities=Capabilities(tokens=True, logprobs=True))
    tasks = [table_task(), sokoban_task(repeats=1, instances={"seeds": "123-125"})]
    asyncio.run(evaluate_async(model, tasks, output=path, log_tokens=True))
    return path


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]


def test_every_line_of_a_real_log_keeps_to_its_schema(folder: Path) -> None:
    check = validator("episode-1.schema.json")
    for line in lines(folder):
        check.validate(line)


@pytest.mark.parametrize("name", ["run", "episode", "results"])
def test_the_page_on_runs_links_the_schema_of_each_file(name: str) -> None:
    page = (SPEC.parents[1] / "docs" / "viewing.md").read_text()
    assert f"](../leaderboard/spec/{name}-1.schema.json)" in page


@pytest.mark.parametrize("name", ["run", "results"])
def test_the_files_of_a_real_run_keep_to_their_schemas(folder: Path, name: str) -> None:
    validator(f"{name}-1.schema.json").validate(json.loads((folder / f"{name}.json").read_text()))


BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "another schema": lambda line: line.update(schema="spa-bench/episode/2"),
    "no schema": lambda line: line.pop("schema"),
    "no hash": lambda line: line.pop("task_hash"),
    "an unknown status": lambda line: line.update(status="done"),
    "a negative repeat": lambda line: line.update(repeat=-1),
    "an unknown parse": lambda line: line["turns"][0].update(parse="maybe"),
    "a turn without its state": lambda line: line["turns"][0].pop("state"),
    "actions that are one text": lambda line: line["turns"][0].update(actions="Up"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_line_that_is_no_episode_does_not_keep_to_the_schema(folder: Path, kind: str) -> None:
    line = next(line for line in lines(folder) if line["turns"])
    BROKEN[kind](line)
    assert not validator("episode-1.schema.json").is_valid(line)


def test_the_run_of_this_test_has_all_that_a_run_can_have(folder: Path) -> None:
    turns = [turn for line in lines(folder) for turn in line["turns"]]
    assert {line["status"] for line in lines(folder)} == {"complete", "infrastructure"}
    assert any(turn.get("tokens", {}).get("logprobs") == [None] for turn in turns)
    assert any("reasoning" in turn for turn in turns)
