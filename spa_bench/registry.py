"""Finds tasks and groups by name in folders of YAML files. None is parsed whole before it is asked
for."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

from spa_bench import yaml_file
from spa_bench.errors import InputError, nearest
from spa_bench.task import Task
from spa_bench.task_file import (
    builtin_tasks_folder,
    kind_of,
    load_group,
    load_task,
    members_located,
    own_name,
)


def task_names(*texts: str) -> list[str]:
    """Returns the names in comma-separated lists of tasks, without the blanks around them."""
    return [name for text in texts for part in text.split(",") if (name := part.strip())]


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
            if path.is_file():
                raise InputError(f"--include-path {path}: is a file; give --tasks {path}")
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
        kind = kind_of(document)
        return Entry(
            name=own_name(document),
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

    def entries_of(self, names: Sequence[str]) -> list[Entry]:
        """Returns the entries of the tasks that these stand for, none of them loaded.

        Raises:
            InputError: as for `resolve`.
        """
        found = dict.fromkeys(self._expand(names, ()))
        return [self.entries.get(name) or self._entry(Path(name)) for name in found]

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
        for member, where in zip(group.tasks, members_located(path), strict=True):
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
                yield from self._expand(members, (*groups, name), members_located(entry.path))
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


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return cast(list[Any], value) if isinstance(value, list) else [value]
