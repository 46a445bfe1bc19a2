"""Reads a task's or a group's file; whatever is wrong with it is said with file and line."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic_core import ErrorDetails

from spa_bench import yaml_file
from spa_bench.errors import InputError, complaint, nearest
from spa_bench.plugins import (
    make_environment,
    make_format,
    make_probe_world,
    plugins,
    strictly,
    unknown_plugin,
)
from spa_bench.task import GroupConfig, Task, TaskConfig, unknown_placeholders

_MOST_TOLD = 10
"""Problems of one file that are told."""

PACKAGE = Path(__file__).parent


class TaskFileError(InputError):
    """Keys of a task's or a group's file are wrong.

    Attributes:
        problems: a line each, the first that are told; the error itself is the first of all.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        more = f" (and {len(problems) - 1} more)"
        super().__init__(problems[0] + (more if len(problems) > 1 else ""))
        self.problems = problems[:_MOST_TOLD]


def builtin_tasks_folder() -> Path:
    """Returns the folder of the built-in tasks: inside the wheel, or in the checkout."""
    installed = PACKAGE / "_tasks"
    return installed if installed.is_dir() else PACKAGE.parent / "tasks"


@cache
def builtin_task_files() -> Mapping[str, Path]:
    """Returns the file of each built-in task and group by its name, which is the file's.

    And that of each part of tasks whose name is the only such one, as `_transition`.
    """
    files = list(builtin_tasks_folder().rglob("*.yaml"))
    times = Counter(path.stem for path in files)
    return {path.stem: path for path in files if times[path.stem] == 1}


def read_task_file(path: Path) -> yaml_file.Document:
    """Reads a task's or a group's file with what it includes: files, and built-in ones by name.

    Raises:
        InputError: for unreadable files, bad YAML and include cycles, with file and line.
    """
    return yaml_file.read(Path(os.path.realpath(path)), builtin_task_files())


def kind_of(document: yaml_file.Document) -> Literal["task", "group"]:
    """Returns what a file says that it is; what it includes does not say it."""
    own = document.file_of(("group",)) == document.path
    return "group" if "group" in document.data and own else "task"


def own_name(document: yaml_file.Document) -> str:
    """Returns the name that a task's or a group's file gives itself.

    Raises:
        InputError: if it gives none; that of what it includes is not inherited.
    """
    key = kind_of(document)
    name = document.data.get(key)
    if not isinstance(name, str) or document.file_of((key,)) != document.path:
        raise InputError(
            f"{document.path}:1: a task file needs `task:` or `group:` with a name of its own"
            " (that of an include is not inherited)"
        )
    return name


def load_task(path: Path) -> Task:
    """Reads and checks one task file.

    Raises:
        InputError: for everything that is wrong with it, with file and line.
    """
    document = read_task_file(path)
    if "group" in document.data:
        place, included = document.locate(("task",)), document.file_of(("group",)).name
        raise InputError(f"{place}: include: {included} is a group; a task can include tasks")
    written = document.data.get("format")
    if isinstance(written, str) and written not in plugins("formats"):
        place = document.locate(("format",))
        raise InputError(f"{place}: {unknown_plugin('formats', written)}")
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


def load_group(path: Path) -> GroupConfig:
    """Reads and checks one group file.

    Raises:
        InputError: for everything that is wrong with it, with file and line.
    """
    document = read_task_file(path)
    group: GroupConfig = _validated(GroupConfig, document)
    if not group.tasks:
        raise InputError(f"{document.locate(('tasks',))}: the group {group.group!r} has no tasks")
    return group


def members_located(path: Path) -> list[str]:
    """Returns where each member of a group file stands, as errors begin."""
    document = read_task_file(path)
    return [f"{document.locate(('tasks', i))}: " for i in range(len(document.data["tasks"]))]


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
        return strictly(pydantic.TypeAdapter(schema), document.data)
    except pydantic.ValidationError as error:
        # a misspelt key is also a missing one; what is there tells more than what is not
        details = sorted(
            error.errors(include_url=False), key=lambda detail: detail["type"] == "missing"
        )
        told = [f"{_place(one, document)}: {_say(one, '', schema)}" for one in details]
        raise TaskFileError(told) from None


def _place(detail: ErrorDetails, document: yaml_file.Document) -> str:
    return document.locate(detail["loc"]) if detail["loc"] else _place_of(detail["msg"], document)


def _place_of(message: str, document: yaml_file.Document) -> str:
    """Returns where the first key that a complaint about a whole file names is in that file."""
    for word in re.findall(r"[a-z_]+(?:\.[a-z_]+)*", message):
        place = document.where.get(tuple(word.split(".")), "")
        if place.startswith(f"{document.path}:"):
            return place
    return document.locate(())


def _say(detail: ErrorDetails, prefix: str, schema: type[Any] | None = None) -> str:
    loc = [str(part) for part in detail["loc"]]
    key = ".".join([prefix, *loc] if prefix else loc)
    if detail["type"] == "extra_forbidden":
        return f"unknown key {key!r}{nearest(loc[-1], _fields_at(schema, loc[:-1]))}"
    if detail["type"] == "missing" and loc[-1].isdigit():
        return f"{key.rpartition('.')[0]}: item {int(loc[-1]) + 1} is missing"
    if detail["type"] == "missing":
        return f"the key {key!r} is missing"
    return f"{key + ': ' if key else ''}{complaint(detail)}{_found(detail)}"


def _found(detail: ErrorDetails) -> str:
    """Returns the value that was found, as YAML has it, where the complaint does not say it."""
    value: Any = detail["input"]
    if detail["type"] == "value_error" or not isinstance(value, str | int | float | None):
        return ""
    text = detail["type"] == "string_type"
    return f", not {json.dumps(value)[:60]}{'; quote it if it is text' if text else ''}"


def _fields_at(schema: type[Any] | None, loc: Sequence[str]) -> list[str]:
    fields: Mapping[str, Any] = getattr(schema, "model_fields", {})
    for name in loc:
        fields = getattr(fields[name].annotation, "model_fields", {}) if name in fields else {}
    return list(fields)
