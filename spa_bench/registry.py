"""Finds what has a name: tasks and groups in YAML folders; environments, formats and models by
entry point. Nothing is imported or parsed before it is asked for."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

import pydantic
from pydantic_core import ErrorDetails

from spa_bench import yaml_file
from spa_bench.environments.environment import AnyEnvironment
from spa_bench.errors import InputError, complaint, nearest, told
from spa_bench.formats.format import Format
from spa_bench.models.model import Model, ModelOptions
from spa_bench.paths import expanded
from spa_bench.task import GroupConfig, Task, TaskConfig, unknown_placeholders

PACKAGE = Path(__file__).parent


def builtin_tasks_folder() -> Path:
    """Returns the folder of the built-in tasks: inside the wheel, or in the checkout."""
    installed = PACKAGE / "_tasks"
    return installed if installed.is_dir() else PACKAGE.parent / "tasks"


def plugins(kind: str) -> dict[str, EntryPoint]:
    """Returns the entry points of `spa_bench.<kind>`: environments, formats or models."""
    return {entry.name: entry for entry in entry_points(group=f"spa_bench.{kind}")}


def load_plugin(kind: str, name: str) -> Any:
    """Imports one plug-in.

    Raises:
        InputError: if there is none of that name, or it cannot be imported.
    """
    known = plugins(kind)
    if name not in known:
        singular = kind.removesuffix("s")
        raise InputError(f"unknown {singular} {name!r}{nearest(name, known)}")
    try:
        return known[name].load()
    except (Exception, SystemExit) as error:  # whatever a plug-in does when it is imported
        raise InputError(
            f"{kind.removesuffix('s')} {name!r} cannot be loaded: {told(error)}"
        ) from None


def task_names(text: str) -> list[str]:
    """Returns the names in a comma-separated list of tasks, without the blanks around them."""
    return [name for part in text.split(",") if (name := part.strip())]


def make_model(options: ModelOptions, provider: str) -> Model:
    """Builds the model of a provider, without contacting it yet."""
    return cast(Model, load_plugin("models", provider)(options))


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
        if os.path.isdir(model):
            raise InputError(f"unknown model {model!r}; to mean the folder write ./{model}")
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
    kind: type[AnyEnvironment] = load_plugin("environments", name)
    fields = {field.name for field in dataclasses.fields(cast(Any, kind))}
    for key in parameters:
        if key not in fields:
            raise InputError(f"environment {name!r} has no parameter {key!r}{nearest(key, fields)}")
    try:
        return cast(AnyEnvironment, _strictly(pydantic.TypeAdapter(kind), parameters))
    except (pydantic.ValidationError, InputError):
        raise
    except Exception as error:
        raise InputError(f"environment {name!r} cannot be made: {told(error)}") from None


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
    kind: type[Any] = load_plugin("probes", name)
    fields = {field.name for field in dataclasses.fields(kind)}
    for key in parameters:
        if key not in fields:
            raise InputError(f"probe {name!r} has no parameter {key!r}{nearest(key, fields)}")
    probe = _strictly(pydantic.TypeAdapter(kind), parameters)
    return cast(AnyEnvironment, probe.world(base, question, observation, ranking))


def make_task(name: str, config: TaskConfig) -> Task:
    """Builds a task from its settings, such as those that a run keeps.

    Raises:
        InputError, pydantic.ValidationError: for settings there are not.
    """
    environment = make_environment(config.environment)
    if config.probe is not None:
        environment = make_probe_world(config.probe, environment, config.observation)
    return Task(name, config, environment, make_format(config.format))


@dataclass(frozen=True)
class Entry:
    """A named file in a task folder."""

    name: str
    kind: str
    path: Path
    description: str
    tags: tuple[str, ...]
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class Registry:
    """All tasks and groups below some folders; later folders may not repeat a name."""

    folders: Sequence[Path] = field(default_factory=lambda: (builtin_tasks_folder(),))
    _loaded: dict[str, Task] = field(
        default_factory=dict[str, Task], init=False, repr=False, compare=False
    )

    @classmethod
    def with_paths(cls, include_paths: Sequence[Path]) -> Registry:
        """Returns the built-in tasks and those below the given folders.

        Raises:
            InputError: for a path that is no folder.
        """
        for path in include_paths:
            if not path.is_dir():
                raise InputError(f"--include-path {path}: no such folder")
        return cls((builtin_tasks_folder(), *include_paths))

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """All entries by name."""
        found: dict[str, Entry] = {}
        for folder in self.folders:
            for path in sorted(folder.rglob("*.yaml")):
                if path.name.startswith("_"):
                    continue
                entry = self._entry(path)
                if entry.name in found:
                    taken = found[entry.name].path
                    if os.path.realpath(taken) == os.path.realpath(path):
                        continue  # a folder given twice, or inside another
                    raise InputError(f"{path}: the name {entry.name!r} is taken by {taken}")
                found[entry.name] = entry
        return found

    def _entry(self, path: Path) -> Entry:
        document = yaml_file.read_alone(path)  # name and tags are its own; includes can wait
        kind = "group" if "group" in document.data else "task"
        name = document.data.get(kind)
        if not isinstance(name, str):
            raise InputError(f"{path}:1: a task file needs `task:` or `group:` with a name")
        return Entry(
            name=name,
            kind=kind,
            path=path,
            description=str(document.data.get("description", "")),
            tags=tuple(map(str, _as_list(document.data.get("tag")))),
            members=tuple(map(str, _as_list(document.data.get("tasks")))),
        )

    def task_names(self) -> list[str]:
        """Returns the names of all tasks, sorted."""
        return sorted(name for name, entry in self.entries.items() if entry.kind == "task")

    def resolve(self, names: Sequence[str]) -> list[Task]:
        """Returns the tasks that names, groups, tags, patterns or paths stand for, each once.

        Raises:
            InputError: for a name that is nothing, with the nearest that are something.
        """
        return [self.load(name) for name in dict.fromkeys(self._expand(names, ()))]

    def with_files(self, paths: Iterable[Path]) -> Registry:
        """Returns a registry that knows the tasks and groups of these files, too.

        Names that are taken stay what they are; files that cannot be read are left out.
        """
        more = Registry(self.folders)
        for path in paths:
            with suppress(InputError):
                entry = self._entry(path)
                more.entries.setdefault(entry.name, entry)
        return more

    def problems_of_group(self, path: Path) -> list[str]:
        """Returns why members of a group file stand for no task, [] if each does.

        Raises:
            InputError: if it is no group file.
        """
        group, problems = load_group(path), list[str]()
        for member, where in zip(group.tasks, _members_located(path), strict=True):
            try:
                list(self._expand([member], (group.group,), [where]))
            except InputError as problem:
                problems.append(str(problem))
        return problems

    def _expand(
        self, names: Sequence[str], groups: tuple[str, ...], places: Sequence[str] = ()
    ) -> Iterator[str]:
        """Yields the tasks that names stand for.

        Args:
            groups: the groups that these names are members of, the outermost first.
            places: file and line of each name, for errors.
        """
        tags = {tag for entry in self.entries.values() for tag in entry.tags}
        for name, where in zip_longest(names, places, fillvalue=""):
            entry = self.entries.get(name)
            if entry is None and name.endswith(".yaml"):
                entry = self._entry(Path(name))
            matching = fnmatch.filter(self.task_names(), name) if set(name) & set("*?[") else []
            if name in groups:
                raise InputError(f"{where}group cycle: {' -> '.join((*groups, name))}")
            if entry is not None and entry.kind == "group":
                members = load_group(entry.path).tasks
                yield from self._expand(members, (*groups, name), _members_located(entry.path))
            elif entry is not None:
                yield name
            elif name in tags:
                yield from (t for t in self.task_names() if name in self.entries[t].tags)
            elif matching:
                yield from matching
            elif os.path.isdir(name):
                raise InputError(
                    f"{where}{name!r} is a folder: give --include-path {name}, and name its tasks"
                )
            elif os.sep in name or name.endswith(".yml"):
                raise InputError(f"{where}{name}: no such task file; they end in .yaml")
            else:
                known = {*self.entries, *tags}
                raise InputError(
                    f"{where}unknown task {name!r}{nearest(name, known)};"
                    " `spa-bench list tasks` shows all"
                )

    def load(self, name: str) -> Task:
        """Loads one task by name, once, with the boards it has made; or from a path in .yaml."""
        if name.endswith(".yaml"):
            return load_task(Path(name))
        if name not in self._loaded:
            self._loaded[name] = load_task(self.entries[name].path)
        return self._loaded[name]


def load_task(path: Path) -> Task:
    """Reads and checks one task file.

    Raises:
        InputError: for everything that is wrong with it, with file and line.
    """
    document = _read(path)
    written = document.data.get("format")
    if isinstance(written, str) and written not in plugins("formats"):
        raise InputError(
            f"{document.locate(('format',))}: unknown format {written!r}"
            f"{nearest(written, plugins('formats'))}"
        )
    config = _validated(TaskConfig, document)
    task = _located(document, config)
    for key, placeholder, known in unknown_placeholders(config, task.environment):
        raise InputError(
            f"{document.locate(key)}: {'.'.join(key)}: unknown placeholder {{{placeholder}}}"
            f"{nearest(placeholder, known)}"
        )
    if "belief" in config.metrics and not task.format.believes:
        raise InputError(
            f"{document.locate(('metrics',))}: metrics: `belief` needs a format that states"
            f" beliefs, such as world_model; {config.format!r} does not"
        )
    return task


def make_format(name: str) -> Format:
    """Returns the format of that name."""
    return cast(Format, load_plugin("formats", name)())


def load_group(path: Path) -> GroupConfig:
    """Reads and checks one group file.

    Raises:
        InputError: for everything that is wrong with it, with file and line.
    """
    document = _read(path)
    group: GroupConfig = _validated(GroupConfig, document)
    if not group.tasks:
        raise InputError(f"{document.locate(('tasks',))}: the group {group.group!r} has no tasks")
    return group


def _members_located(path: Path) -> list[str]:
    """Returns where each member of a group file stands, as errors begin."""
    document = _read(path)
    return [f"{document.locate(('tasks', i))}: " for i in range(len(document.data["tasks"]))]


def _read(path: Path) -> yaml_file.Document:
    return yaml_file.read(Path(os.path.realpath(path)))


def _located(document: yaml_file.Document, config: TaskConfig) -> Task:
    """Builds a task; complaints about its world or its probe name file and line."""
    part, settings = "environment", config.environment
    try:
        environment = make_environment(settings)
        if config.probe is not None:
            part, settings = "probe", config.probe
            environment = make_probe_world(settings, environment, config.observation)
    except pydantic.ValidationError as error:
        detail = error.errors(include_url=False)[0]
        where = document.locate((part, *detail["loc"]))
        raise InputError(f"{where}: {_say(detail, part)}") from None
    except InputError as error:
        named = (k for k in settings if repr(k) in str(error) or f"{part}.{k}" in str(error))
        raise InputError(f"{document.locate((part, next(named, 'name')))}: {error}") from None
    return Task(config.task, config, environment, make_format(config.format))


def _validated(schema: type[Any], document: yaml_file.Document) -> Any:
    try:
        return _strictly(pydantic.TypeAdapter(schema), document.data)
    except pydantic.ValidationError as error:
        # a misspelt key is also a missing one; what is there tells more than what is not
        details = sorted(
            error.errors(include_url=False), key=lambda detail: detail["type"] == "missing"
        )
        loc = details[0]["loc"]
        place = document.locate(loc) if loc else _place_of(details[0]["msg"], document)
        first = f"{place}: {_say(details[0], '', schema)}"
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        raise InputError(first + more) from None


def _place_of(message: str, document: yaml_file.Document) -> str:
    """Returns where the first key that a complaint about a whole file names is in that file."""
    for word in re.findall(r"[a-z_]+(?:\.[a-z_]+)*", message):
        place = document.where.get(tuple(word.split(".")), "")
        if place.startswith(f"{document.path}:"):
            return place
    return document.locate(())


def _strictly(schema: pydantic.TypeAdapter[Any], data: Mapping[str, Any]) -> Any:
    """Validates plain data as JSON: `yes`, "5" and 5.0 are not 5, but a list may be a tuple."""
    return schema.validate_json(json.dumps(data), strict=True)


def _say(detail: ErrorDetails, prefix: str, schema: type[Any] | None = None) -> str:
    loc = [str(part) for part in detail["loc"]]
    key = ".".join([prefix, *loc] if prefix else loc)
    if detail["type"] == "extra_forbidden":
        return f"unknown key {key!r}{nearest(loc[-1], _fields_at(schema, loc[:-1]))}"
    if detail["type"] == "missing":
        return f"the key {key!r} is missing"
    return f"{key + ': ' if key else ''}{complaint(detail)}"


def _fields_at(schema: type[Any] | None, loc: Sequence[str]) -> list[str]:
    fields: Mapping[str, Any] = getattr(schema, "model_fields", {})
    for name in loc:
        fields = getattr(fields[name].annotation, "model_fields", {}) if name in fields else {}
    return list(fields)


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return cast(list[Any], value) if isinstance(value, list) else [value]
