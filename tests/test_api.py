"""`spa_bench.evaluate(..)` is a function whatever was imported before it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

import pytest
from scripted import Scripted

from spa_bench.arguments import ModelArguments
from spa_bench.errors import InputError
from spa_bench.models.model import Model, ModelOptions
from spa_bench.plugins import as_model
from spa_bench.registry import Registry

IMPORTS = (
    "import spa_bench",
    "import spa_bench.evaluation",
    "import spa_bench; from spa_bench.evaluation import Silent",
    "from spa_bench.evaluation import Silent; import spa_bench",
    "import spa_bench; spa_bench.evaluate; import spa_bench.evaluation as module; module.Silent",
    "import spa_bench; spa_bench.evaluate_async",
    "import spa_bench, spa_bench.cli.progress",
)

CALL = """
found = spa_bench.evaluate("baseline/random", "sokoban", limit=1, repeats=1, output="run")
print(found.tasks[0].episodes)
"""


@pytest.mark.parametrize("imports", IMPORTS)
def test_evaluate_can_be_called(tmp_path: Path, imports: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", imports + CALL], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    import spa_bench

    with pytest.raises(AttributeError, match="has no attribute 'evalute'"):
        _ = spa_bench.evalute


MODEL = Scripted(["x"])

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a price below zero": ({"price": (-1, 2)}, "price.0=-1: "),
    "a price that is none": ({"price": 5}, "price=5: "),
    "a price of one number": ({"price": (1,)}, "price.1="),
    "a salt that is no text": ({"salt": 5}, "salt=5: Input should be a valid string"),
    "an unknown option": ({"foo": 1}, "evaluate has no option 'foo'"),
    "a misspelt option": ({"limt": 1}, "no option 'limt' (did you mean limit"),
    "the model's label": ({"label": "x"}, "evaluate has no option 'label'"),
    "half a board": ({"limit": 2.5}, "limit=2.5: Input should be a valid integer"),
    "no boards": ({"limit": 0}, "--limit must be at least 1"),
    "a cost that is text": ({"max_cost": "5"}, "max_cost='5': "),
    "a shard that is none": ({"shard": 2}, "shard=2: "),
    "overrides as text": ({"gen_kwargs": "temperature=1"}, "gen_kwargs='temperature=1': "),
    "an empty output": ({"output": ""}, "output='': must be a path"),
    "an output that is none": ({"output": 5}, "output=5: must be a path"),
    "no such include path": ({"include_paths": "nowhere"}, "nowhere: no such folder"),
    "an include path that is none": ({"include_paths": [5]}, "include_paths.0=5: must be a path"),
    "arguments as text": ({"args": "a=1"}, "args='a=1': "),
    "a batch that is none": ({"batch_size": "many"}, "batch_size='many': "),
    "no model": ({"model": None}, "model=None: a name"),
    "half a model": (
        {"model": SimpleNamespace(name="mine", generate=None, start=None)},
        "model is no `Model`: SimpleNamespace has no capabilities, concurrency, identity, close",
    ),
    "options of a loaded model": ({"model": MODEL, "device": "cpu"}, "device: options are for a"),
    "tasks that are none": ({"tasks": 5}, "tasks=5: names of tasks"),
    "a task that is none": ({"tasks": ["sokoban", 5]}, "tasks: 5 is neither"),
    "no tasks": ({"tasks": []}, "no tasks to evaluate"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_is_an_input_error_of_one_line(kind: str, tmp_path: Path) -> None:
    import spa_bench

    given, told = BAD[kind]
    usual = {"model": "baseline/random", "tasks": "sokoban", "output": tmp_path / "run"}
    with pytest.raises(InputError) as caught:
        spa_bench.evaluate(**{**usual, **given})
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_one_folder_one_task_and_one_server_may_stand_alone(tmp_path: Path) -> None:
    import spa_bench

    task = replace(Registry().load("sokoban"), name="sokoban")
    options: dict[str, Any] = {"limit": 1, "repeats": 1, "price": [1, 2]}
    for include_paths in (str(tmp_path), tmp_path):
        output = tmp_path / type(include_paths).__name__
        found = spa_bench.evaluate(
            "baseline/random", task, output=output, include_paths=include_paths, **options
        )
        assert found.tasks[0].episodes == 1
    assert ModelArguments.of({"base_urls": "http://x"}).base_urls == ("http://x",)


def test_every_option_of_a_model_may_be_given() -> None:
    fields = {field.name for field in dataclasses.fields(ModelOptions)}
    assert fields - {"model", "label", "concurrency"} == set(ModelArguments.model_fields)


def test_a_model_may_lack_none_of_what_the_protocol_has() -> None:
    wanted = {*get_type_hints(Model), *(name for name in vars(Model) if name[0] != "_")}
    with pytest.raises(InputError) as caught:
        as_model(object(), "it")
    told = str(caught.value).removeprefix("it is no `Model`: object has no ")
    assert set(told.removesuffix(" (spa_bench/models/model.py)").split(", ")) == wanted
