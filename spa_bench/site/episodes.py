"""Episodes for the viewer: an index to choose from, and packed chunks to step through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spa_bench.runner.plan import Done
from spa_bench.runner.record import Episode
from spa_bench.site.pages import packed
from spa_bench.site.trace import Trace, shortened, trace
from spa_bench.task import Task

EPISODES_A_CHUNK = 64
"""So many are unpacked together: a chunk is some tens of kilobytes."""


@dataclass(frozen=True)
class Group:
    """Episodes that are shown under one name, such as those of one task of a run.

    Attributes:
        task: None where it cannot be rebuilt here.
        salt: of the run.
    """

    name: str
    task: Task | None
    salt: str


@dataclass
class Shown:
    """Episodes as the viewer reads them.

    Attributes:
        index: groups, and for each episode its group, board, repeat, outcome, chunk and place in
            it. Goes into a page.
        chunks: what `packed` made.
    """

    index: dict[str, Any]
    chunks: list[str] = field(default_factory=list[str])


def shown(
    groups: Sequence[Group],
    episodes: Iterable[tuple[int, Episode]],
    folder: str = "",
    longest: int | None = None,
) -> Shown:
    """Returns what the viewer needs, of episodes that are read one by one and not kept.

    Args:
        groups: in the order in which they are offered.
        episodes: each with the number of its group, from 0.
        folder: where the viewer finds the chunks that are not in its page.
        longest: characters of a text; longer ones are cut. None cuts none.
    """
    described = [
        {"name": group.name, "believes": group.task is not None and group.task.format.believes}
        for group in groups
    ]
    result = Shown({"tasks": described, "folder": folder})
    boards = [{} if g.task is None else {b.id: b for b in g.task.boards[0]} for g in groups]
    rows: list[tuple[int, str, int, str, int, int]] = []
    chunk: list[Trace] = []
    for number, episode in episodes:
        place = (len(result.chunks), len(chunk))
        rows.append((number, episode.instance, episode.repeat, _outcome(episode), *place))
        group, board = groups[number], boards[number].get(episode.instance)
        chunk.append(shortened(trace(group.task, board, group.salt, episode), longest))
        if len(chunk) == EPISODES_A_CHUNK:
            result.chunks.append(packed(chunk))
            chunk = []
    if chunk:
        result.chunks.append(packed(chunk))
    result.index["episodes"] = sorted(rows, key=lambda row: (row[0], _number(row[1]), row[1:3]))
    return result


def first_repeats(
    task: Task | None, episodes: Iterable[Episode], most: int | None
) -> tuple[list[Episode], int]:
    """Returns a task's episodes to show, and how many others there are; repeated ones count once.

    Args:
        most: to show; the first repeats of the task's boards come before their second ones. None
            shows all.
    """
    each = list(_each_once(episodes))
    boards = () if task is None else task.boards[0]
    order = {board.id: place for place, board in enumerate(boards)}
    chosen = sorted(each, key=_by_repeat(order))[:most]
    return chosen, len(each) - len(chosen)


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
