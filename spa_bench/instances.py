"""Manifests: which boards a task plays, with their keys, so that nobody has to trust a generator.

One file for each set of boards that tasks share (the formats of a task all play the same boards).
A manifest can be checked on any machine: the boards are made again and compared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from spa_bench.canonical import sha256_hex
from spa_bench.errors import InputError
from spa_bench.probes.world import ProbeWorld
from spa_bench.runner.log import write_atomically
from spa_bench.task import Task, split_of

MANIFEST_SCHEMA = "spa-bench/instances/1"


@dataclass(frozen=True)
class Manifest:
    """The boards that one or more tasks share."""

    name: str
    content: dict[str, Any]

    def to_json(self) -> bytes:
        """Returns the file's content: one board a line, so that a diff can be read."""
        head = {key: value for key, value in self.content.items() if key != "boards"}
        opening = json.dumps(head, indent=1, ensure_ascii=False)[:-2]
        rows = ",\n".join(
            "  " + json.dumps(board, ensure_ascii=False) for board in self.content["boards"]
        )
        return f'{opening},\n "boards": [\n{rows}\n ]\n}}\n'.encode()


def make_manifests(tasks: Sequence[Task], among: Iterable[Task] = ()) -> list[Manifest]:
    """Returns a manifest for each different set of boards among the tasks.

    Args:
        among: all tasks there are; those that play the same boards are named beside.
    """
    shared: dict[str, dict[str, Task]] = {}
    for task in (*tasks, *among):
        instances = task.config.instances.model_dump()
        group = sha256_hex([task.environment.environment_id, instances])
        shared.setdefault(group, {}).setdefault(task.name, task)
    wanted = {task.name for task in tasks}
    groups = (list(group.values()) for group in shared.values() if wanted & group.keys())
    return sorted(map(_manifest, groups), key=lambda m: m.name)


def _manifest(tasks: Sequence[Task]) -> Manifest:
    task = min(tasks, key=lambda t: (len(t.name), t.name))
    environment, instances = task.environment, task.config.instances
    boards, skipped = task.boards
    keys = [board.board_key for board in boards]
    variant = re.sub(r"[^A-Za-z0-9]+", "-", environment.variant).strip("-")
    count = f"-{instances.count}" if instances.count else ""
    seeds = re.sub(r"[^\d,]+", "-", instances.seeds).replace(",", "_")
    return Manifest(
        name=f"{environment.name}-{variant}-{instances.split}-{seeds}{count}.json",
        content={
            "schema": MANIFEST_SCHEMA,
            "environment": environment.name,
            "environment_id": environment.environment_id,
            "parameters": environment.parameters(),
            "split": instances.split,
            "seeds": instances.seeds,
            "tasks": sorted(t.name for t in tasks),
            "distinct_boards": len(set(keys)),
            "splits": {
                name: sum(split_of(key) == name for key in keys)
                for name in ("train", "validation", "test")
            },
            "skipped_seeds": [s.seed for s in skipped],
            **_contents(task),
        },
    )


def _contents(task: Task) -> dict[str, Any]:
    """Returns the boards of a task; of a probe, which asks about boards told elsewhere, a hash."""
    boards, world = task.boards[0], task.environment
    if isinstance(world, ProbeWorld):
        asked = [board.state for board in boards]
        return {"items": len(boards), "items_sha256": world.items_sha256(asked), "boards": []}
    return {"boards": [[board.id, board.board_key] for board in boards]}


def write_manifests(manifests: Sequence[Manifest], folder: Path, *, complete: bool) -> None:
    """Writes manifests into a folder.

    Args:
        complete: whether these are the manifests of all tasks. Then those of boards that no task
            plays any more are removed; files that are no manifests never are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for manifest in manifests:
        write_atomically(folder / manifest.name, manifest.to_json())
    if complete:
        for path in _strays(manifests, folder):
            path.unlink()


def check_manifests(manifests: Sequence[Manifest], folder: Path, *, complete: bool) -> list[str]:
    """Compares manifests just made with those in a folder; returns what differs, [] if nothing.

    Args:
        complete: whether these are the manifests of all tasks. Then those of boards that no task
            plays are told, too.

    Raises:
        InputError: if there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}")
    problems: list[str] = []
    for manifest in manifests:
        path = folder / manifest.name
        if not path.exists():
            problems.append(f"{path}: missing")
        elif path.read_bytes() != manifest.to_json():
            problems.append(f"{path}: {_first_difference(path, manifest)}")
    strays = _strays(manifests, folder) if complete else []
    return problems + [f"{path}: no task plays these boards" for path in strays]


def _strays(manifests: Sequence[Manifest], folder: Path) -> list[Path]:
    """Returns the manifests in a folder that are none of these."""
    names = {manifest.name for manifest in manifests}
    others = (path for path in sorted(folder.glob("*.json")) if path.name not in names)
    return [path for path in others if _is_manifest(path)]


def _is_manifest(path: Path) -> bool:
    try:
        content: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError):
        return False
    return isinstance(content, dict) and cast(Any, content).get("schema") == MANIFEST_SCHEMA


def _first_difference(path: Path, manifest: Manifest) -> str:
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
        boards = dict(old["boards"])
    except (ValueError, KeyError, TypeError, OSError):
        return "not a manifest"
    for name, key in manifest.content["boards"]:
        if boards.get(name) != key:
            return f"board {name} is {boards.get(name, 'missing')} there, {key} here"
    for key, value in manifest.content.items():
        if key != "boards" and old.get(key) != value:
            return f"{key} is {old.get(key)!r} there, {value!r} here"
    return "differs in layout only; make it again"
