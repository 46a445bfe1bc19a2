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
from spa_bench.site.episodes import Group, first_repeats, shown
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
    groups: list[Group] = []
    chosen: list[tuple[int, Episode]] = []
    left_out = 0
    for number, logged in enumerate(log.info.tasks):
        task = tasks.get(logged.hash)
        groups.append(Group(logged.task, task, log.info.salt))
        own = (episode for episode in episodes if episode.task_hash == logged.hash)
        first, others = first_repeats(task, own, most)
        chosen += [(number, episode) for episode in first]
        left_out += others
    view = shown(groups, chosen)
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
        left_out=left_out,
        version=spa_bench.__version__,
    )


def _results(log: RunLog, episodes: Iterable[Episode]) -> Results:
    """Computes the results anew: those in the folder may be older than the log."""
    found = compute(log.plan, log.info.model.name, episodes, log.info.price)
    # as the file would hold them: null where there is nothing to say
    return Results.model_validate_json(found.model_dump_json(by_alias=True))
