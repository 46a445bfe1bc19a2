"""The page of a task: what a model sees, who played it, and boards to step through."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import spa_bench
from spa_bench.environments.environment import AnyEnvironment
from spa_bench.errors import ModelGoneError
from spa_bench.models.baselines import OracleBaseline, RandomBaseline
from spa_bench.models.model import Model
from spa_bench.runner.episode import play
from spa_bench.runner.record import Episode
from spa_bench.runner.rollout import EpisodeSpec
from spa_bench.site.entries import MeasuredTask
from spa_bench.site.episodes import Group, shown
from spa_bench.site.pages import SITE_POLICY, render
from spa_bench.site.rows import Row, Table
from spa_bench.task import Task

_BOARDS = 8
_SALT = "0"


def task_page(measured: MeasuredTask, table: Table) -> str:
    """Returns the page of a task."""
    task = measured.task
    boards = task.boards[0]
    environment: AnyEnvironment = task.environment
    models = (OracleBaseline("baseline/oracle"), RandomBaseline("baseline/random"))
    played = {model.name: own for model in models if (own := _played(task, model))}
    view = shown(
        [Group(name, task, _SALT) for name in played],
        [(number, e) for number, own in enumerate(played.values()) for e in own],
    )
    first = boards[0]
    state = environment.observe(first.state, task.config.observation)
    return render(
        "task.html",
        policy=SITE_POLICY,
        root="../",
        here="tasks",
        scripts=["board.js", "viewer.js"],
        version=spa_bench.__version__,
        task=measured,
        config=task.config,
        boards=len(boards),
        rows=_rows(measured, table),
        board=first.id,
        message=task.opening_message(state, 1, task.limits.actions),
        index=view.index,
        chunks=view.chunks,
    )


def _rows(measured: MeasuredTask, table: Table) -> Sequence[Row]:
    key = f"{measured.name}:pass@1"
    played = [row for row in table.rows if key in row.cells]
    return sorted(played, key=lambda row: (row.kind == "bound", -(row.cells[key].value or 0.0)))


def _played(task: Task, model: Model) -> list[Episode]:
    """Plays the first boards; none where the model cannot."""

    async def all_of_them() -> list[Episode]:
        specs = [EpisodeSpec(task, board, 0, _SALT) for board in task.boards[0][:_BOARDS]]
        return [_timeless(await play(spec, model)) for spec in specs]

    try:
        with ThreadPoolExecutor(1) as thread:  # this one may run a loop, as in a notebook
            return thread.submit(asyncio.run, all_of_them()).result()
    except ModelGoneError:
        return []


def _timeless(episode: Episode) -> Episode:
    """Returns the episode without wall times, so that a page is the same whenever it is made."""
    return replace(episode, turns=tuple(replace(turn, seconds=0.0) for turn in episode.turns))
