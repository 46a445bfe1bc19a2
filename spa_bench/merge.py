"""Puts the shards of a run together again, or the halves of a run that was played in two places.

The merged folder is a run like any other: its log holds every episode once, its results are
computed from that log, and what no part has played it owes.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spa_bench.errors import InputError
from spa_bench.results.results import Results
from spa_bench.run import check_folder, write_results
from spa_bench.runner.log import BadLines, EpisodeWriter, RunFolder, RunInfo
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

    `output` appears when it is complete, or not at all.

    Args:
        runs: folders; the shards of one run, or runs of one and the same plan. Their order does
            not matter.
        output: a folder that does not exist yet, or is empty.
        note: told what a person should know.

    Raises:
        InputError: if they are not parts of one run, a shard is missing, or two of them tell
            one episode differently.
    """
    target = RunFolder(Path(output))
    check_folder(target, resume=False)
    if target.path.is_dir() and any(target.path.iterdir()):
        raise InputError(f"--output {target.path}: the folder is not empty; choose another")
    parts = _parts(runs)
    first = min((part.info for part in parts), key=lambda info: info.created)
    info = _whole(first, parts)
    plan = Plan.of(info)
    if len({frozenset(part.info.versions.items()) for part in parts}) > 1:
        note("the runs were played with different versions of spa-bench, Python or libraries")
    target.path.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=target.path.parent, prefix=f".{target.path.name}."))
    try:
        folder = RunFolder(work)
        with folder.writer() as writer:
            _merge_logs(parts, frozenset(task.hash for task in plan.tasks), writer, note)
        folder.write_info(info)
        results = write_results(folder, plan, info.model.name, info.price)
        work.chmod(0o755)
        work.replace(target.path)
    except BaseException:
        shutil.rmtree(work)
        raise
    return results


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


def _whole(first: RunInfo, parts: Sequence[_Part]) -> RunInfo:
    """Returns what the run is that all of them are parts of."""
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


def _merge_logs(
    parts: Sequence[_Part],
    tasks: frozenset[str],
    writer: EpisodeWriter,
    note: Callable[[str], None],
) -> None:
    """Writes every episode of the runs once.

    Raises:
        InputError: if two runs tell one complete episode differently.
    """
    told: dict[tuple[str, str, int], tuple[bytes, Path]] = {}
    for part in parts:
        bad = BadLines()
        own: set[tuple[str, str, int]] = set()
        for episode in part.folder.episodes(bad):
            if episode.task_hash not in tasks:
                continue  # of an earlier plan of that folder: no part of this run
            if episode.status == "complete":
                key = (episode.task_hash, episode.instance, episode.repeat)
                if key in own:
                    continue  # only the first of a log is scored
                own.add(key)
                digest, where = told.setdefault(key, (_digest(episode), part.folder.path))
                if where != part.folder.path:
                    if digest == _digest(episode):
                        continue
                    raise InputError(
                        f"{where} and {part.folder.path} tell {episode.task}"
                        f" {episode.instance}, repeat {episode.repeat}, differently: keep one of"
                        " them"
                    )
            writer.write(episode)
        if (told_of_bad := bad.told(part.folder.episodes_path)) is not None:
            note(told_of_bad)


def _digest(episode: Episode) -> bytes:
    """Returns a hash of all that an episode says but its times."""
    turns = tuple(replace(turn, seconds=0.0) for turn in episode.turns)
    timeless = replace(episode, turns=turns, started=None, seconds=None)
    return hashlib.sha256(to_line(timeless)).digest()
