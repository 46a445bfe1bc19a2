"""A run as one page: its results, and its episodes step by step. One file that fetches nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from markupsafe import Markup

import spa_bench
from spa_bench.results.results import Results, compute
from spa_bench.runner.log import RunFolder
from spa_bench.runner.record import Episode
from spa_bench.runner.run_log import RunLog
from spa_bench.site.episodes import Group, shown
from spa_bench.site.pages import alone, joined, render, static
from spa_bench.site.world_model import world_model

_SCRIPTS = ("board.js", "viewer.js")


def run_page(path: Path, most: int | None = None) -> str:
    """Returns the page of a run folder.

    Args:
        path: the folder; the run need not be complete.
        most: episodes a task to show; None shows all.

    Raises:
        InputError: if the folder holds no run.
    """
    log = RunLog(RunFolder(path))
    episodes = [episode for episode, _ in log.episodes()]
    results = _results(log, episodes)
    tasks = {task.hash: task for task in log.plan.tasks}
    view = shown(
        [
            Group(
                logged.task,
                tasks.get(logged.hash),
                log.info.salt,
                [e for e in episodes if e.task_hash == logged.hash],
            )
            for logged in log.info.tasks
        ],
        most,
    )
    notes = [
        f"{reason}; its episodes are shown as logged and it has no results here."
        for _, reason in log.lost
    ]
    if (bad := log.bad.told("episodes.jsonl")) is not None:
        notes.append(bad)
    script, style = joined(*_SCRIPTS), static("style.css")
    return render(
        "view.html",
        policy=alone(script, style),
        script=Markup(script),
        info=log.info,
        **world_model(results.tasks),
        episodes=sum(task.episodes for task in results.tasks) or len(episodes),
        owed=results.owed,
        notes=notes,
        index=view.index,
        chunks=view.chunks,
        left_out=view.left_out,
        version=spa_bench.__version__,
    )


def _results(log: RunLog, episodes: Iterable[Episode]) -> Results:
    """Computes the results anew: those in the folder may be older than the log."""
    found = compute(log.plan, log.info.model.name, episodes, log.info.price)
    # as the file would hold them: null where there is nothing to say
    return Results.model_validate_json(found.model_dump_json(by_alias=True))
