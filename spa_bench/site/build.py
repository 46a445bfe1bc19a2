"""Builds the leaderboard: static files that any server can hand out, and a disk as well."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import spa_bench
from spa_bench.errors import InputError, told
from spa_bench.metrics.interval import student_t
from spa_bench.site.bounded import bounded
from spa_bench.site.downloads import as_json, as_lines
from spa_bench.site.entries import (
    Counts,
    Entry,
    MeasuredTask,
    Reported,
    measured_tasks,
    read_entries,
    read_reported,
)
from spa_bench.site.pages import SITE_POLICY, render, static
from spa_bench.site.pictures import pictures
from spa_bench.site.rows import Table, table
from spa_bench.site.submission_page import write_submission
from spa_bench.site.task_page import task_page

MAIN = "spa"
"""The group of tasks whose scores make the overall one."""

_MARK = ".spa-bench-site"
_ASSETS = ("style.css", "board.js", "viewer.js", "table.js", "compare.js")


@dataclass(frozen=True)
class Built:
    """What was built; `problems` says which submissions were left out, and why."""

    submissions: int
    problems: list[str]


def build(
    submissions: Sequence[Path],
    output: Path,
    reported: Path,
    most: int,
    links: Sequence[tuple[str, str]] = (),
) -> Built:
    """Builds the site; pages of submissions that are as they were are kept.

    Args:
        submissions: folders with a folder a submission.
        output: a new folder, an empty one, or one that holds such a site.
        reported: a folder of reported figures.
        most: episodes a submission and task to step through.
        links: titles and addresses of other pages that the first one leads to.

    Raises:
        InputError: for folders that cannot be read, and one that holds something else.
    """
    found = read_entries(*submissions)
    sources = read_reported(reported)
    _prepare(output)
    tasks = measured_tasks(_task_names(found.entries, sources), MAIN)
    by_name = {task.name: task.task for task in tasks}
    entries: list[Entry] = []
    counts: dict[str, Counts] = {}
    for stated in found.entries:
        try:
            entry = bounded(stated, tasks)
            own = write_submission(entry, output / "submissions" / entry.slug, by_name, most)
        except InputError as error:
            found.problems.append(str(error))
            continue
        except Exception as error:  # whatever somebody's files do, the others are shown
            found.problems.append(f"{stated.folder.path}: has no page: {told(error)}")
            continue
        entries.append(entry)
        if entry.verification is not None:
            counts[entry.slug] = own
    _remove_others(output / "submissions", {entry.slug for entry in entries})
    whole = table(entries, counts, sources, tasks)
    _write_assets(output)
    _write(output / "index.html", _index(whole, counts, sources, tasks, entries, links))
    _write(output / "compare.html", _compare(entries, counts, tasks))
    _write_tasks(output / "tasks", whole, tasks)
    _write_downloads(output, whole)
    return Built(len(entries), found.problems)


def _task_names(entries: Sequence[Entry], sources: Sequence[Reported]) -> list[str]:
    names = {task.task for entry in entries for task in entry.submission.run.tasks}
    names |= {task for source in sources for row in source.rows for task in row.scores}
    return sorted(names)


def _prepare(output: Path) -> None:
    """Makes the folder, and refuses one that holds something that is not ours."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        if any(output.iterdir()) and not (output / _MARK).exists():
            raise InputError(
                f"{output}: not empty, and not a site made here; choose another folder"
            )
        (output / _MARK).touch()
    except OSError as error:
        raise InputError(f"{output}: {error.strerror}") from None


def _remove_others(folder: Path, kept: set[str]) -> None:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name in kept:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _write_assets(output: Path) -> None:
    for name in _ASSETS:
        _write(output / "assets" / name, static(name))


def _index(
    whole: Table,
    counts: dict[str, Counts],
    sources: Sequence[Reported],
    tasks: Sequence[MeasuredTask],
    entries: Sequence[Entry],
    links: Sequence[tuple[str, str]],
) -> str:
    slippery = next((task for task in tasks if task.name == "frozenlake_slippery"), None)
    bounds = None
    if slippery is not None:
        bounds = {
            "ceiling": slippery.ceiling("pass@1"),
            "closed_loop": slippery.closed_loop("pass@1"),
        }

    def above(source: Reported) -> int:
        """Returns how many of a source's FrozenLake figures no policy can reach on slippery ice."""
        reach = bounds["closed_loop"] if bounds else 1.0
        shown = [row.scores["frozenlake"][0] for row in source.rows if "frozenlake" in row.scores]
        return sum(score / 100 > reach for score in shown)

    return render(
        "index.html",
        **_site("leaderboard", ["board.js", "table.js"]),
        table=whole,
        ranks=[
            {name: [rank.best, rank.worst] for name, rank in row.ranks.items()}
            for row in whole.rows
        ],
        badges=sorted({row.badge for row in whole.rows}),
        methods=sorted({row.method for row in whole.rows if row.kind != "bound"}),
        charts=pictures(whole, counts, tasks, entries),
        main=[task.name for task in tasks if task.main],
        reported=sources,
        slippery=bounds,
        above=above,
        links=links,
    )


def _compare(
    entries: Sequence[Entry], counts: dict[str, Counts], tasks: Sequence[MeasuredTask]
) -> str:
    known = [entry for entry in entries if entry.slug in counts]
    most = max((len(boards) for own in counts.values() for boards in own.values()), default=2)
    return render(
        "compare.html",
        **_site("compare", ["board.js", "compare.js"]),
        entries=[
            (e.slug, f"{e.submission.model}, {e.submission.method} ({e.slug})") for e in known
        ],
        opening=opening([entry.slug for entry in known], counts),
        data={
            "tasks": [task.name for task in tasks],
            "probes": [task.name for task in tasks if task.probe is not None],
            "student_t": [round(student_t(degrees), 6) for degrees in range(1, most)],
        },
    )


def opening(slugs: Sequence[str], counts: Mapping[str, Counts]) -> tuple[str, ...]:
    """Returns the two that the page opens with: the first that have a task in common."""
    pairs = combinations(slugs, 2)
    both = (pair for pair in pairs if counts[pair[0]].keys() & counts[pair[1]].keys())
    return next(both, tuple(slugs[:2]))


def _write_tasks(folder: Path, whole: Table, tasks: Sequence[MeasuredTask]) -> None:
    played = {
        task.name: sum(
            row.kind == "submission" and f"{task.name}:pass@1" in row.cells for row in whole.rows
        )
        for task in tasks
    }
    overview = [(task, len(task.task.boards[0]), played[task.name]) for task in tasks]
    pages = {f"{task.name}.html": task_page(task, whole) for task in tasks}
    pages["index.html"] = render("tasks.html", **_site("tasks", [], "../"), tasks=overview)
    for name, page in pages.items():
        _write(folder / name, page)
    _remove_others(folder, set(pages))


def _write_downloads(output: Path, whole: Table) -> None:
    text = json.dumps(as_json(whole), indent=1, ensure_ascii=False, allow_nan=False)
    _write(output / "leaderboard.json", text + "\n")
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(as_lines(whole))
    _write(output / "leaderboard.csv", out.getvalue())


def _site(here: str, scripts: list[str], root: str = "") -> dict[str, Any]:
    return {
        "policy": SITE_POLICY,
        "root": root,
        "here": here,
        "scripts": scripts,
        "version": spa_bench.__version__,
    }
