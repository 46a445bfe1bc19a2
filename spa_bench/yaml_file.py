"""Reads YAML strictly: safe tags, no duplicate keys, no anchors; keeps positions, merges includes.

Not for: knowing what the keys mean. That is the schema in `task`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, cast

import yaml as _untyped_yaml

from spa_bench.errors import InputError, nearest

KeyPath: TypeAlias = tuple[str | int, ...]

yaml: Any = _untyped_yaml  # its stubs leave nodes and events untyped


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Reads 1e-3 as a number, as YAML 1.2 does; in 1.1 it is text without a point and a sign."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)

_MAX_BYTES = 1_000_000
_MAX_DEPTH = 50
_MAX_DIGITS = 100
_MAX_VALUES = 50_000
_MAX_FILES = 1000
_MAX_INCLUDES = 100
_ODD_NUMBER = re.compile(r"[-+]?0\d+|.*:.*")
"""YAML 1.1 reads 010 as 8 and 1:30 as 90; whoever writes them in a task means text."""


@dataclass
class _Left:
    """What may still be read, of a file and of all that it includes together."""

    files: int = _MAX_FILES
    bytes: int = _MAX_BYTES
    values: int = _MAX_VALUES


@dataclass
class Document:
    """A YAML mapping with all its includes merged in.

    Attributes:
        path: the file that was asked for.
        data: plain Python values.
        where: for each key path, `file:line` (from 1) that it was read from, or the flag.
    """

    path: Path
    data: dict[str, Any]
    where: dict[KeyPath, str] = field(default_factory=dict[KeyPath, str])

    def locate(self, key: KeyPath) -> str:
        """Returns where a key was written, or the nearest enclosing one that was."""
        places = (self.where.get(key[:length]) for length in range(len(key), -1, -1))
        return next((place for place in places if place), f"{self.path}:1")

    def file_of(self, key: KeyPath) -> Path:
        """Returns the file that a key was read from: this one, or one that it includes."""
        return Path(self.locate(key).rpartition(":")[0])

    def change(self, key: tuple[str, ...], value: Any, place: str) -> None:
        """Gives a key another value; `place` is where that was said.

        Raises:
            InputError: if the key is to be in what is no section.
        """
        data = self.data
        for length, part in enumerate(key[:-1], start=1):
            if part not in data:
                data[part] = {}
                self.where[key[:length]] = place
            if not isinstance(data[part], dict):
                raise InputError(f"{place}: {part} is not a section")
            data = cast(dict[str, Any], data[part])
        data[key[-1]] = value
        kept = {one: at for one, at in self.where.items() if one[: len(key)] != key}
        self.where = {**kept, key: place}


def read(path: Path, named: Mapping[str, Path] = MappingProxyType({})) -> Document:
    """Reads a file and everything it includes; what a file says wins over what it includes.

    Args:
        path: the file.
        named: what can be included by a name alone, and the file of it.

    Raises:
        InputError: for unreadable files, bad YAML and include cycles, with file and line.
    """
    return _read(path, named, (), _Left())


def _read(
    path: Path, named: Mapping[str, Path], including: tuple[Path, ...], left: _Left
) -> Document:
    left.files -= 1
    if len(including) > _MAX_INCLUDES or left.files < 0:
        raise InputError(f"{including[-1]}:1: includes more files than any task can need")
    own = _read_alone(path, left)
    includes = own.data.pop("include", [])
    names = cast(list[Any], includes if isinstance(includes, list) else [includes])
    documents: list[Document] = []
    for name in names:
        if not isinstance(name, str):
            raise InputError(f"{own.locate(('include',))}: include must name files")
        included = path.parent / name
        if not included.is_file():
            included = named.get(name, included)
        if not included.is_file():
            close = nearest(name, named)
            raise InputError(f"{own.locate(('include',))}: include: no file {name!r}{close}")
        chain = (*including, path)
        if (found := included.resolve()) in chain:
            cycle = " -> ".join(str(p) for p in (*chain[chain.index(found) :], found))
            raise InputError(f"{own.locate(('include',))}: include cycle: {cycle}")
        documents.append(_read(found, named, chain, left))
    merged, *later = *documents, own
    merged.path = path
    for document in later:
        _merge(merged, document)
    return merged


def _merge(into: Document, document: Document) -> None:
    """Merges mappings key by key; every other value is replaced whole."""
    _merge_data(into.data, document.data, (), into.where)
    into.where |= document.where


def _merge_data(
    target: dict[str, Any], source: dict[str, Any], key: KeyPath, where: dict[KeyPath, str]
) -> None:
    for name, value in source.items():
        old: Any = target.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            inner = cast(dict[str, Any], value)
            _merge_data(cast(dict[str, Any], old), inner, (*key, name), where)
        else:
            target[name] = value
            _forget(where, (*key, name), old)


def _forget(where: dict[KeyPath, str], key: KeyPath, value: Any) -> None:
    """Removes the places of a value, and of all within it."""
    where.pop(key, None)
    if isinstance(value, dict):
        for name, inner in cast(dict[str, Any], value).items():
            _forget(where, (*key, name), inner)
    elif isinstance(value, list):
        for i, inner in enumerate(cast(list[Any], value)):
            _forget(where, (*key, i), inner)


def read_alone(path: Path) -> Document:
    """Reads a file and nothing it includes: for what a file says of itself, such as its name.

    Raises:
        InputError: for unreadable files and bad YAML, with file and line.
    """
    return _read_alone(path, _Left())


def _read_alone(path: Path, left: _Left) -> Document:
    raw = b""
    try:
        with path.open("rb") as file:
            raw = file.read(left.bytes + 1)
        left.bytes -= len(raw)
        if left.bytes < 0:
            raise InputError(
                f"{path}: larger than {_MAX_BYTES} bytes, includes counted; a task file is not"
            )
        text = raw.decode()
        _refuse_anchors(path, text, left)
        node = yaml.compose(text, Loader=_Loader)
    except FileNotFoundError:
        raise InputError(f"no file {path}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{path}:{line}: not UTF-8: {error.reason}") from None
    except ValueError as error:  # a path with a zero byte in it
        raise InputError(f"{str(path)!r}: cannot be read: {error}") from None
    except yaml.reader.ReaderError as error:
        line = raw[: error.position].count(b"\n") + 1
        raise InputError(f"{path}:{line}: not YAML: {error.reason}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        if "nesting depth" in str(error.problem):  # newer parsers have a limit of their own
            raise InputError(f"{path}:{line}: nested too deep") from None
        at = "".join(raw.decode().splitlines()[line - 1 : line]).lstrip(" ")
        tab = "cannot start any token" in str(error.problem) and at.startswith("\t")
        says = "a tab; indent with spaces" if tab else error.problem
        raise InputError(f"{path}:{line}: not YAML: {says}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path}: not YAML: {error}") from None
    document = Document(path, {})
    if not isinstance(node, yaml.MappingNode):
        raise InputError(f"{path}:1: a task file is a mapping of keys to values")
    document.data = _construct(path, node, (), document.where)
    return document


def _refuse_anchors(path: Path, text: str, left: _Left) -> None:
    """Anchors and aliases can make a small file huge, and includes do their work."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        left.values -= isinstance(event, yaml.NodeEvent)
        if left.values < 0:
            raise InputError(
                f"{path}:{line}: more than {_MAX_VALUES} keys and values, includes counted"
            )
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise InputError(f"{path}:{line}: YAML anchors are not allowed; use include")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise InputError(f"{path}:{line}: nested too deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _construct(path: Path, node: Any, key: KeyPath, where: dict[KeyPath, str]) -> Any:
    line = node.start_mark.line + 1
    where.setdefault(key, f"{path}:{line}")
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for name_node, value_node in cast(list[tuple[Any, Any]], node.value):
            at = name_node.start_mark.line + 1
            if not isinstance(name_node, yaml.ScalarNode):
                raise InputError(f"{path}:{at}: keys must be plain names")
            name = str(name_node.value)
            if name in mapping:
                raise InputError(f"{path}:{at}: key {name!r} is given twice")
            where[(*key, name)] = f"{path}:{at}"
            mapping[name] = _construct(path, value_node, (*key, name), where)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        items = cast(list[Any], node.value)
        return [_construct(path, item, (*key, i), where) for i, item in enumerate(items)]
    value = _scalar(path, node)
    if isinstance(value, float) and not math.isfinite(value):
        name = ".".join(map(str, key))
        raise InputError(f"{path}:{line}: {name}{': ' if name else ''}must be a finite number")
    return value


def _scalar(path: Path, node: Any) -> Any:
    text, line = str(node.value), node.start_mark.line + 1
    kind = str(node.tag).rpartition(":")[2]
    try:
        if kind in ("int", "float"):
            if _ODD_NUMBER.fullmatch(text):
                return text
            if len(text) > _MAX_DIGITS:
                raise ValueError
        value: Any = yaml.constructor.SafeConstructor().construct_object(node)
    except yaml.MarkedYAMLError as error:
        raise InputError(f"{path}:{line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, ArithmeticError):
        raise InputError(f"{path}:{line}: {text[:40]!r} cannot be read as {kind}") from None
    # dates are text too
    return value if isinstance(value, str | int | float | bool | None) else text


def read_value(text: str) -> Any:
    """Returns what a value given on a command line means, as it would mean in a file.

    Raises:
        InputError: if it is no YAML, or such as a file may not have.
    """
    place = Path("value")
    try:
        _refuse_anchors(place, text, _Left())
        node = yaml.compose(text, Loader=_Loader)
        return None if node is None else _construct(place, node, (), {})
    except (yaml.YAMLError, ValueError):
        raise InputError(f"{text!r} is no YAML value") from None
    except InputError as error:
        raise InputError(str(error).partition(": ")[2]) from None


def flatten(data: Mapping[str, Any], key: KeyPath = ()) -> dict[KeyPath, Any]:
    """Returns all leaves of nested mappings by key path; used to print what differs."""
    leaves: dict[KeyPath, Any] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            leaves |= flatten(cast(Mapping[str, Any], value), (*key, name))
        else:
            leaves[(*key, name)] = value
    return leaves
