"""Reads YAML strictly: safe tags, no duplicate keys, no anchors; keeps positions, merges includes.

Not for: knowing what the keys mean. That is the schema in `task`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, cast

import yaml as _untyped_yaml

from spa_bench.errors import InputError

KeyPath: TypeAlias = tuple[str | int, ...]

yaml: Any = _untyped_yaml  # its stubs leave nodes and events untyped
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_BYTES = 1_000_000
_MAX_DEPTH = 50


@dataclass
class Document:
    """A YAML mapping with all its includes merged in.

    Attributes:
        path: the file that was asked for.
        data: plain Python values.
        where: for each key path, the file and line (from 1) that it was read from.
    """

    path: Path
    data: dict[str, Any]
    where: dict[KeyPath, tuple[Path, int]] = field(default_factory=dict[KeyPath, tuple[Path, int]])

    def locate(self, key: KeyPath) -> str:
        """Returns `file:line` of a key, or of the nearest enclosing one that was written."""
        for length in range(len(key), -1, -1):
            if key[:length] in self.where:
                path, line = self.where[key[:length]]
                return f"{path}:{line}"
        return f"{self.path}:1"


def read(path: Path) -> Document:
    """Reads a file and everything it includes; what a file says wins over what it includes.

    Raises:
        InputError: for unreadable files, bad YAML and include cycles, with file and line.
    """
    return _read(path, ())


def _read(path: Path, including: tuple[Path, ...]) -> Document:
    if path in including:
        chain = " -> ".join(str(p) for p in (*including[including.index(path) :], path))
        raise InputError(f"include cycle: {chain}")
    own = _read_one(path)
    includes = own.data.pop("include", [])
    names = cast(list[Any], includes if isinstance(includes, list) else [includes])
    merged = Document(path, {})
    for name in names:
        if not isinstance(name, str):
            raise InputError(f"{own.locate(('include',))}: include must name files")
        included = path.parent / name
        if not included.is_file():
            raise InputError(f"{own.locate(('include',))}: include: no file {name!r}")
        _merge(merged, _read(included.resolve(), (*including, path)))
    _merge(merged, own)
    return merged


def _merge(into: Document, document: Document, key: KeyPath = ()) -> None:
    """Merges mappings key by key; every other value is replaced whole."""
    target: dict[str, Any] = into.data
    source: dict[str, Any] = document.data
    for name in key:
        target, source = target[cast(str, name)], source[cast(str, name)]
    if () in document.where:
        into.where.setdefault((), document.where[()])
    for name, value in source.items():
        path = (*key, name)
        if isinstance(value, dict) and isinstance(target.get(name), dict):
            into.where[path] = document.where[path]
            _merge(into, document, path)
            continue
        for stale in [k for k in into.where if k[: len(path)] == path]:
            del into.where[stale]
        target[name] = value
        into.where.update({k: v for k, v in document.where.items() if k[: len(path)] == path})


def _read_one(path: Path) -> Document:
    try:
        raw = path.read_bytes()
        if len(raw) > _MAX_BYTES:
            raise InputError(f"{path}: larger than {_MAX_BYTES} bytes; a task file is not")
        text = raw.decode()
        _refuse_anchors(path, text)
        node = yaml.compose(text, Loader=_Loader)
    except FileNotFoundError:
        raise InputError(f"no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}:{line}: not YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path}: not YAML: {error}") from None
    document = Document(path, {})
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"{path}:1: a task file is a mapping of keys to values")
    document.data = _construct(path, node, (), document.where)
    return document


def _refuse_anchors(path: Path, text: str) -> None:
    """Anchors and aliases can make a small file huge, and includes do their work."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise InputError(f"{path}:{line}: YAML anchors are not allowed; use include")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise InputError(f"{path}:{line}: nested too deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _construct(path: Path, node: Any, key: KeyPath, where: dict[KeyPath, tuple[Path, int]]) -> Any:
    line = node.start_mark.line + 1
    where.setdefault(key, (path, line))
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for name_node, value_node in cast(list[tuple[Any, Any]], node.value):
            at = name_node.start_mark.line + 1
            if not isinstance(name_node, yaml.ScalarNode):
                raise InputError(f"{path}:{at}: keys must be plain names")
            name = str(name_node.value)
            if name in mapping:
                raise InputError(f"{path}:{at}: key {name!r} is given twice")
            where[(*key, name)] = (path, at)
            mapping[name] = _construct(path, value_node, (*key, name), where)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        items = cast(list[Any], node.value)
        return [_construct(path, item, (*key, i), where) for i, item in enumerate(items)]
    return _scalar(path, node)


def _scalar(path: Path, node: Any) -> Any:
    loader = yaml.SafeLoader("")
    try:
        value: Any = loader.construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        line = node.start_mark.line + 1
        raise InputError(f"{path}:{line}: {str(error).splitlines()[0]}") from None
    finally:
        loader.dispose()
    # YAML 1.1 reads dates and 12:30:00; a task has no use for either, and text is meant
    return value if isinstance(value, str | int | float | bool | None) else str(node.value)


def flatten(data: Mapping[str, Any], key: KeyPath = ()) -> dict[KeyPath, Any]:
    """Returns all leaves of nested mappings by key path; used to print what differs."""
    leaves: dict[KeyPath, Any] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            leaves |= flatten(cast(Mapping[str, Any], value), (*key, name))
        else:
            leaves[(*key, name)] = value
    return leaves
