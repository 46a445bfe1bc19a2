"""Episodes for the viewer: an index to choose from, and packed chunks to step through."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spa_bench.runner.plan import Done
from spa_bench.runner.record import Episode
from spa_bench.site.pages import packed
from spa_bench.site.trace import Trace, trace
from spa_bench.task import Task

EPISODES_A_CHUNK = 64
"""So many are unpacked together: a chunk is some tens of kilobytes."""

_ALL = 2**62


@dataclass(frozen=True)
class Group:
    """Episodes that are shown under one name, such as those of one task of a run.

    Attributes:
        task: None where it cannot be rebuilt here.
        salt: of the run.
        episodes: in any order; repeated ones are left out.
    """

    name: str
    task: Task | None
    salt: str
    episodes: Iterable[Episode]


@dataclass
class Shown:
    """Episodes as the viewer reads them.

    Attributes:
        index: groups, and for each episode its group, board, repeat, outcome, chunk and place in
            it. Goes into a page.
        chunks: what `packed` made.
        left_out: episodes that are not among them.
    """

    index: dict[str, Any]
    chunks: list[str] = field(default_factory=list[str])
    left_out: int = 0


def shown(groups: Sequence[Group], most: int | None = None, folder: str = "") -> Shown:
    """Returns what the viewer needs.

    Args:
        groups: in the order in which they are offered.
        most: episodes a group; the first repeats of its boards come before their second ones.
            None shows all.
        folder: where the viewer finds the chunks that are not in its page.
    """
    described = [
        {"name": group.name, "believes": group.task is not None and group.task.format.believes}
        for group in groups
    ]
    result = Shown({"tasks": described, "folder": folder})
    rows: list[tuple[int, str, int, str, int, int]] = []
    chunk: list[Trace] = []
    for number, group in enumerate(groups):
        boards = {} if group.task is None else {b.id: b for b in group.task.boards[0]}
        order = {board: place for place, board in enumerate(boards)}
        counted = _Counted(_each_once(group.episodes))
        first = heapq.nsmallest(_ALL if most is None else most, counted, _by_repeat(order))
        result.left_out += counted.count - len(first)
        for episode in first:
            place = (len(result.chunks), len(chunk))
            rows.append((number, episode.instance, episode.repeat, _outcome(episode), *place))
            board = boards.get(episode.instance)
            chunk.append(trace(group.task, board, group.salt, episode))
            if len(chunk) == EPISODES_A_CHUNK:
                result.chunks.append(packed(chunk))
                chunk = []
    if chunk:
        result.chunks.append(packed(chunk))
    result.index["episodes"] = sorted(rows, key=lambda row: (row[0], _number(row[1]), row[1:3]))
    return result


class _Counted:
    """Counts what goes through."""

    def __init__(self, episodes: Iterator[Episode]) -> None:
        self.count = 0
        self._episodes = episodes

    def __iter__(self) -> Iterator[Episode]:
        for episode in self._episodes:
            self.count += 1
            yield episode


def _each_once(episodes: Iterable[Episode]) -> Iterator[Episode]:
    done = Done()
    for episode in episodes:
        if done.add(episode) or episode.status != "complete":
            yield episode


def _by_repeat(order: Mapping[str, int]) -> Any:
    def key(episode: Episode) -> tuple[int, int, str, str]:
        rank = order.get(episode.instance, len(order))
        return episode.repeat, rank, episode.instance, episode.status

    return key


def _number(instance: str) -> tuple[int, str]:
    """Returns what sorts boards by their seed, as numbers."""
    seed = instance.rpartition("/")[2]
    return (int(seed) if seed.isdecimal() and len(seed) < 20 else 0, seed)


def _outcome(episode: Episode) -> str:
    if episode.status != "complete":
        return "infrastructure"
    return "success" if episode.success else episode.failure or "failed"
