"""Finds environments, probes, formats and models by entry point, and makes them from settings.
Nothing is imported before it is asked for."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, cast

import pydantic

from spa_bench.environments.environment import AnyEnvironment
from spa_bench.errors import InputError, SpaBenchError, nearest, told
from spa_bench.formats.format import Format
from spa_bench.models.model import Model, ModelOptions
from spa_bench.paths import expanded
from spa_bench.task import Task, TaskConfig

_MODEL_PARTS = ("name", "capabilities", "concurrency", "identity", "start", "generate", "close")
_FORMAT_PARTS = ("name", "prefill", "believes", "parse", "compose")


def plugins(kind: str) -> Mapping[str, EntryPoint]:
    """Returns the entry points of `spa_bench.<kind>`: environments, probes, formats or models."""
    return _entry_points(kind, tuple(sys.path))


@lru_cache  # a look through all that is installed: 20 ms, and each task asks for two or three
def _entry_points(kind: str, path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """Reads what is installed on a path as it is when it is first asked for."""
    return {entry.name: entry for entry in entry_points(group=f"spa_bench.{kind}")}


def unknown_plugin(kind: str, name: str) -> str:
    """Returns what is said where there is no plug-in of a name: which there are, and what to do."""
    known = plugins(kind)
    return (
        f"unknown {kind.removesuffix('s')} {name!r}{nearest(name, known)}; there are"
        f" {', '.join(sorted(known))}; a plug-in has to be installed (pip install .)"
    )


def load_plugin(kind: str, name: str) -> Any:
    """Imports one plug-in.

    Raises:
        InputError: if there is none of that name, or it cannot be imported.
    """
    known = plugins(kind)
    if name not in known:
        raise InputError(unknown_plugin(kind, name))
    try:
        return known[name].load()
    except (Exception, SystemExit) as error:  # whatever a plug-in does when it is imported
        raise InputError(
            f"{kind.removesuffix('s')} {name!r} cannot be loaded: {told(error)}"
        ) from None


def make_model(options: ModelOptions, provider: str) -> Model:
    """Builds the model of a provider, without contacting it yet.

    Raises:
        InputError: if it cannot be built.
    """
    with _making(f"model {provider!r}"):
        return as_model(load_plugin("models", provider)(options), f"model {provider!r}")


def as_model(made: Any, what: str) -> Model:
    """Returns somebody else's object as the model that it has to be.

    Raises:
        InputError: if it lacks a part of the `Model` protocol.
    """
    _check_parts(made, what, Model, _MODEL_PARTS)
    return cast(Model, made)


def _check_parts(made: Any, what: str, protocol: type[Any], parts: Iterable[str]) -> None:
    if missing := [part for part in parts if not hasattr(made, part)]:
        raise InputError(
            f"{what} is no `{protocol.__name__}`: {type(made).__name__} has no"
            f" {', '.join(missing)} ({protocol.__module__.replace('.', '/')}.py)"
        )


@contextmanager
def _making(what: str) -> Generator[None]:
    """Turns whatever a plug-in raises while it is made into an InputError of one line."""
    try:
        yield
    except (SpaBenchError, pydantic.ValidationError):
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{what} cannot be made: {told(error)}") from None


def resolve_model(model: str, **options: Any) -> tuple[str, ModelOptions]:
    """Reads a model's name as users write it; returns its provider and the options to load it.

    A registered provider before the first slash wins; `./`, `/` and `~` begin a path, which `hf`
    reads; a provider alone takes its model from `pretrained=` or `model=`, as in lm-eval.

    Raises:
        InputError: if it is none of these.
    """
    known = plugins("models")
    args = dict(cast(Mapping[str, str], options.pop("args", {})))
    provider, slash, name = model.partition("/")
    if model.startswith(("./", "../", "/", "~")) or model in (".", ".."):
        provider, name = "hf", model
    elif not slash:
        name = args.pop("pretrained", "") or args.pop("model", "")
    if provider not in known:
        for folder in (model, f"checkpoints/{model}"):
            if model and os.path.isdir(folder):
                raise InputError(f"unknown model {model!r}; to mean the folder write ./{folder}")
        hint = f"; models are written PROVIDER/NAME with a provider of {', '.join(sorted(known))}"
        raise InputError(
            f"unknown model {model!r}{nearest(provider, known)}{hint}, or a path ./DIR"
        )
    if not name:
        raise InputError(f"model {model!r} has no name: write {provider}/NAME")
    label = f"{provider}/{name}"
    if name.startswith((".", "/", "~")):
        label = _folder_name(name)  # a run says which model, not whose disk
    return provider, ModelOptions(model=name, label=label, args=args, **options)


def _folder_name(path: str) -> str:
    folder = Path(os.path.realpath(expanded(path)))
    return folder.name or str(folder)


def make_environment(settings: Mapping[str, Any]) -> AnyEnvironment:
    """Builds an environment from a mapping with its `name` and its parameters.

    Raises:
        InputError: for an unknown name.
        pydantic.ValidationError: for bad parameters.
    """
    parameters = dict(settings)
    name = parameters.pop("name", None)
    if not isinstance(name, str):
        raise InputError("environment needs a name")
    kind = _with_parameters("environments", name, parameters)
    with _making(f"environment {name!r}"):
        made = cast(AnyEnvironment, strictly(pydantic.TypeAdapter(kind), parameters))
        hash(made)  # what is known of a world is kept by the world
        return made


def make_probe_world(
    settings: Mapping[str, Any], base: AnyEnvironment, observation: str
) -> AnyEnvironment:
    """Builds the world of a probe from a mapping with its `name`, `question` and parameters.

    Beside these, `ranking: true` has a model choose among given answers.

    Raises:
        InputError: for an unknown name or parameter, a missing question, or one with a placeholder
            that the probe does not fill.
        pydantic.ValidationError: for bad parameters.
    """
    parameters = dict(settings)
    name, question = parameters.pop("name", None), parameters.pop("question", None)
    ranking = parameters.pop("ranking", False)
    if not isinstance(name, str) or not isinstance(question, str):
        missing = "question" if isinstance(name, str) else "name"
        raise InputError(f"probe needs a {missing}")
    if not isinstance(ranking, bool):
        raise InputError(f"probe.ranking must be true or false, not {ranking!r}")
    kind = _with_parameters("probes", name, parameters)
    with _making(f"probe {name!r}"):
        probe = strictly(pydantic.TypeAdapter(kind), parameters)
        return cast(AnyEnvironment, probe.world(base, question, observation, ranking))


def _with_parameters(kind: str, name: str, parameters: Iterable[str]) -> type[Any]:
    """Imports a plug-in's data class.

    Raises:
        InputError: if it is none, or has not all of these parameters.
    """
    loaded, what = load_plugin(kind, name), f"{kind.removesuffix('s')} {name!r}"
    if not (isinstance(loaded, type) and dataclasses.is_dataclass(loaded)):
        raise InputError(f"{what} is no class with @dataclass(frozen=True)")
    fields = {field.name for field in dataclasses.fields(loaded)}
    for key in parameters:
        if key not in fields:
            there = f"it has {', '.join(sorted(fields)) or 'none'}"
            raise InputError(f"{what} has no parameter {key!r}{nearest(key, fields)}; {there}")
    return loaded


def make_format(name: str) -> Format:
    """Returns the format of that name.

    Raises:
        InputError: if it cannot be made.
    """
    with _making(f"format {name!r}"):
        made = load_plugin("formats", name)()
        _check_parts(made, f"format {name!r}", Format, _FORMAT_PARTS)
        return cast(Format, made)


def make_task(name: str, config: TaskConfig) -> Task:
    """Builds a task from its settings, such as those that a run keeps.

    Raises:
        InputError, pydantic.ValidationError: for settings there are not.
    """
    environment = make_environment(config.environment)
    if config.probe is not None:
        environment = make_probe_world(config.probe, environment, config.observation)
    return Task(name, config, environment, make_format(config.format))


def strictly(schema: pydantic.TypeAdapter[Any], data: Mapping[str, Any]) -> Any:
    """Validates plain data as JSON: `yes`, "5" and 5.0 are not 5, but a list may be a tuple.

    Raises:
        pydantic.ValidationError: for what the schema does not allow.
    """
    return schema.validate_json(json.dumps(data), strict=True)
