"""Puts the shards of a run together again, or the halves of a run that was played in two places.

The merged folder is a run like any other: its log holds every episode once, its results are
computed from that log, and what no part has played it owes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from spa_bench.errors import InputError
from spa_bench.lock import NO_LOCKS
from spa_bench.results.results import Results
from spa_bench.run import (
    OTHER_VERSIONS,
    all_versions,
    check_folder,
    several,
    write_results,
)
from spa_bench.runner.log import BadLines, RunFolder, RunInfo, UnwrittenError
from spa_bench.runner.plan import Plan
from spa_bench.runner.record import Episode, to_line
from spa_bench.runner.resume import Difference, differences, shortened
from spa_bench.runner.shard import Shard


@dataclass(frozen=True)
class _Part:
    """One of the runs that are merged."""

    folder: RunFolder
    info: RunInfo

    @property
    def shard(self) -> Shard | None:
        return None if self.info.shard is None else Shard.parse(self.info.shard)


def merge(
    runs: Sequence[str | Path],
    output: str | Path,
    note: Callable[[str], None] = lambda message: None,
) -> Results:
    """Writes the run that all `runs` are parts of, and returns its results.

    Where `output` holds that run already, from an earlier merge, what it lacks is appended to its
    log. A new folder appears when it is complete, or not at all.

    Args:
        runs: folders; the shards of one run, or runs of one and the same plan. Their order does
            not matter.
        output: a folder that does not exist yet, is empty, or holds the same run.
        note: told what a person should know.

    Raises:
        InputError: if they are not parts of one run, a shard is missing, two of them tell one
            episode differently, or `output` holds something else.
        UnwrittenError: if it cannot be written.
    """
    target = RunFolder(Path(os.path.realpath(output)))
    check_folder(target, resume=True)
    parts = _parts(runs)
    earlier = _earlier(target, parts) if target.exists() else None
    if earlier is None and target.path.is_dir() and any(target.path.iterdir()):
        raise InputError(f"--output {target.path}: the folder is not empty; choose another")
    info = earlier.info if earlier else _whole(parts)
    versions = all_versions([info, *(part.info for part in parts)])
    info = info.model_copy(update={"versions": versions})
    plan = Plan.of(info)
    if several(versions):
        note(OTHER_VERSIONS)

    def results_of(folder: RunFolder) -> Results:
        return write_results(folder, plan, info.model.name, info.price)

    with _draft(target) as draft:
        if earlier is None:
            _write_log(draft, parts, note)
            draft.write_info(info)
            results = results_of(draft)
            _move(draft.path, target.path)
        else:
            with target.writer() as log:
                if not log.locked:
                    note(f"{target.path}: {NO_LOCKS}")
                target.write_info(info)
                _write_log(draft, parts, note, earlier)
                for episode in draft.episodes():
                    log.write(episode)
            results = results_of(target)
    return results


@contextmanager
def _draft(target: RunFolder) -> Generator[RunFolder]:
    """Makes a folder beside the target, on the same disk, that is gone afterwards.

    Raises:
        UnwrittenError: if it cannot be made.
    """
    try:
        target.path.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=target.path.parent, prefix=f".{target.path.name}."))
    except OSError as error:
        raise UnwrittenError(f"{target.path}: cannot be written: {error.strerror}") from None
    try:
        yield RunFolder(work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _move(draft: Path, target: Path) -> None:
    """Gives a folder its name. An empty one that has it is filled: somebody may be in it."""
    if target.is_dir():
        for file in draft.iterdir():
            file.replace(target / file.name)
    else:
        draft.chmod(0o755)
        draft.replace(target)


def _earlier(target: RunFolder, parts: Sequence[_Part]) -> _Part:
    """Returns the run in the output folder, if it is what the parts make together.

    Raises:
        InputError: if it is not.
    """
    if any(part.folder.path.resolve() == target.path.resolve() for part in parts):
        raise InputError(f"--output {target.path} is one of the runs; choose another folder")
    earlier = _Part(target, target.read_info())
    found = _differences(parts[0].info, earlier.info)
    if earlier.shard is not None:
        found.insert(0, Difference("shard", "none", str(earlier.shard)))
    if found:
        told = shortened([f"{name} is {other}, not {one}" for name, one, other in found])
        raise InputError(f"--output {target.path} holds another run: {told}; choose another folder")
    return earlier


def _parts(runs: Sequence[str | Path]) -> list[_Part]:
    """Reads the runs and makes sure that they are all the parts of one; in order of their shards.

    Raises:
        InputError: if they are not.
    """
    paths = [Path(run) for run in runs]
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError("the same run is given twice")
    folders = [RunFolder(path) for path in paths]
    parts = [_Part(folder, folder.read_info()) for folder in folders]
    if not parts:
        raise InputError("no runs to merge")
    first = parts[0]
    for part in parts[1:]:
        if found := _differences(first.info, part.info):
            told = shortened([f"{name} is {one} and {other}" for name, one, other in found])
            raise InputError(
                f"{first.folder.path} and {part.folder.path} are not parts of one run: {told}"
            )
    shards = [part.shard for part in parts if part.shard is not None]
    if shards and len(shards) == len(parts):
        count = shards[0].count
        there = {shard.index for shard in shards}
        missing = [str(Shard(i, count)) for i in range(1, count + 1) if i not in there]
        if missing:
            raise InputError(f"shards are missing: {', '.join(missing)}; play them, then merge")
    return sorted(parts, key=lambda part: part.shard.index if part.shard else 0)


def _differences(first: RunInfo, second: RunInfo) -> list[Difference]:
    """Returns in what two runs differ that parts of one run must have in common."""
    found = differences(first, second)
    if found and found[0].setting == "list of tasks":
        return found

    def same(name: str, one: object, other: object) -> None:
        if one != other:
            found.append(Difference(name, str(one), str(other)))

    same("limit", first.limit, second.limit)
    same("price", first.price, second.price)
    repeats = [{task.hash: task.repeats for task in info.tasks} for info in (first, second)]
    for task in first.tasks:
        same(f"repeats of {task.task}", repeats[0][task.hash], repeats[1].get(task.hash))
    counts = [info.shard.partition("/")[2] if info.shard else "" for info in (first, second)]
    if all(counts):
        same("number of shards", *counts)
    return found


def _whole(parts: Sequence[_Part]) -> RunInfo:
    """Returns what the run is that all of them are parts of."""
    first = min((part.info for part in parts), key=lambda info: info.created)
    unsharded = [part.info for part in parts if part.info.shard is None]
    counted = unsharded[:1] or list({part.info.shard: part.info for part in parts}.values())

    def total(field: str, task_hash: str) -> int | None:
        numbers = [
            getattr(task, field)
            for info in counted
            for task in info.tasks
            if task.hash == task_hash
        ]
        return None if None in numbers else sum(numbers)

    tasks = [
        task.model_copy(update={name: total(name, task.hash) for name in ("boards", "trained_on")})
        for task in first.tasks
    ]
    return first.model_copy(update={"shard": None, "tasks": tasks})


def _write_log(
    folder: RunFolder,
    parts: Sequence[_Part],
    note: Callable[[str], None],
    earlier: _Part | None = None,
) -> None:
    """Writes every episode of the runs once, but for those that an earlier merge has already.

    Raises:
        InputError: if two runs tell one complete episode differently.
    """
    tasks = frozenset(task.hash for task in parts[0].info.tasks)
    seen = _Seen()
    with folder.writer() as writer:
        for part in parts if earlier is None else (earlier, *parts):
            bad = BadLines()
            for episode in part.folder.episodes(bad):
                if episode.task_hash not in tasks:
                    continue  # of an earlier plan of that folder: no part of this run
                if seen.is_new(episode, part.folder.path) and part is not earlier:
                    writer.write(episode)
            if (told := bad.told(part.folder.episodes_path)) is not None:
                note(told)


class _Told(NamedTuple):
    """A complete episode: its digest, the run that told it first, and the last one that did."""

    digest: bytes
    first: Path
    latest: Path


class _Seen:
    """What the runs told so far."""

    def __init__(self) -> None:
        self._complete: dict[tuple[str, str, int], _Told] = {}
        self._broken: dict[bytes, Path] = {}

    def is_new(self, episode: Episode, run: Path) -> bool:
        """Returns whether an episode is to be kept: a complete one once, any other from one run.

        Raises:
            InputError: if another run tells it differently.
        """
        if episode.status != "complete":
            line = hashlib.sha256(to_line(episode)).digest()
            return self._broken.setdefault(line, run) == run
        key = (episode.task_hash, episode.instance, episode.repeat)
        told = self._complete.get(key)
        if told is None:
            self._complete[key] = _Told(_digest(episode), run, run)
            return True
        if told.latest != run:  # of one log only the first is scored
            if told.digest != _digest(episode):
                raise InputError(
                    f"{told.first} and {run} tell {episode.task} {episode.instance},"
                    f" repeat {episode.repeat}, differently: keep one of them"
                )
            self._complete[key] = told._replace(latest=run)
        return False


def _digest(episode: Episode) -> bytes:
    """Returns a hash of all that an episode says but its times."""
    turns = tuple(replace(turn, seconds=0.0) for turn in episode.turns)
    timeless = replace(episode, turns=turns, started=None, seconds=None)
    return hashlib.sha256(to_line(timeless)).digest()
