"""Episodes for the viewer: an index to choose from, and packed chunks to step through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from spa_bench.runner.log import RunTask
from spa_bench.runner.plan import Done
from spa_bench.runner.record import Episode
from spa_bench.site.pages import packed
from spa_bench.site.trace import Trace, trace
from spa_bench.task import Instance, Task

EPISODES_A_CHUNK = 64
"""So many are unpacked together: a chunk is some tens of kilobytes."""


@dataclass
class Shown:
    """Episodes as the viewer reads them.

    Attributes:
        index: tasks, and for each episode its task, board, repeat, outcome, chunk and place in it.
        chunks: what `packed` made.
        left_out: episodes of the log that are not among them.
    """

    index: dict[str, Any]
    chunks: list[str] = field(default_factory=list[str])
    left_out: int = 0


def shown(
    tasks: Iterable[tuple[RunTask, Task | None]],
    salt: str,
    episodes: Iterable[Episode],
    most: int | None = None,
    folder: str = "",
) -> Shown:
    """Returns what the viewer needs.

    Args:
        tasks: of the run, each with itself rebuilt, if it could be.
        episodes: in any order; repeated ones are left out.
        most: episodes a task; the first repeats of its boards come before their second ones.
            None shows all.
        folder: where the viewer finds the chunks that are not in its page.
    """
    pairs = list(tasks)
    place = {logged.hash: number for number, (logged, _) in enumerate(pairs)}
    boards = [_boards(task) for _, task in pairs]
    order = [{board: i for i, board in enumerate(known)} for known in boards]
    result = Shown({"tasks": [_described(*pair) for pair in pairs], "folder": folder})
    chosen: list[tuple[tuple[Any, ...], int, Episode]] = []
    done = Done()
    for episode in episodes:
        number = place.get(episode.task_hash)
        if number is not None and (done.add(episode) or episode.status != "complete"):
            rank = order[number].get(episode.instance, len(order[number]))
            key = (number, episode.repeat, rank, episode.instance, episode.status)
            chosen.append((key, number, episode))
    chosen.sort(key=lambda item: item[0])
    kept = Counter[int]()
    rows: list[tuple[int, str, int, str, int, int]] = []
    chunk: list[Trace] = []
    for _, number, episode in chosen:
        kept[number] += 1
        if most is not None and kept[number] > most:
            result.left_out += 1
            continue
        rows.append(
            (
                number,
                episode.instance,
                episode.repeat,
                _outcome(episode),
                len(result.chunks),
                len(chunk),
            )
        )
        board = boards[number].get(episode.instance)
        chunk.append(trace(pairs[number][1], board, salt, episode))
        if len(chunk) == EPISODES_A_CHUNK:
            result.chunks.append(packed(chunk))
            chunk = []
    if chunk:
        result.chunks.append(packed(chunk))
    rows.sort(key=lambda row: (row[0], order[row[0]].get(row[1], len(order[row[0]])), row[2]))
    result.index["episodes"] = rows
    return result


def _boards(task: Task | None) -> Mapping[str, Instance]:
    return {} if task is None else {board.id: board for board in task.boards[0]}


def _described(logged: RunTask, task: Task | None) -> dict[str, Any]:
    return {"name": logged.task, "believes": task is not None and task.format.believes}


def _outcome(episode: Episode) -> str:
    if episode.status != "complete":
        return "infrastructure"
    return "success" if episode.success else episode.failure or "failed"
