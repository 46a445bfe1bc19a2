"""Episodes of a task's boards, and what stands between two tags of a reply."""

from __future__ import annotations

import asyncio

from spa_bench.models.model import Model
from spa_bench.runner.episode import EpisodeSpec, play
from spa_bench.runner.record import Episode
from spa_bench.task import Task


def play_boards(task: Task, model: Model, repeats: int = 1) -> list[Episode]:
    """Plays every board of a task, one after the other."""

    async def all_of_it() -> list[Episode]:
        return [
            await play(EpisodeSpec(task, board, repeat, "s"), model)
            for board in task.boards[0]
            for repeat in range(repeats)
        ]

    return asyncio.run(all_of_it())


def between(text: str, tag: str) -> str:
    """Returns the inside of a tag, without the line breaks around it."""
    return text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0].strip("\n")
