"""The page of a submission, and all that lies beside it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import spa_bench
from spa_bench.canonical import sha256_hex
from spa_bench.runner.plan import Done
from spa_bench.runner.record import Episode
from spa_bench.site.downloads import write_downloads
from spa_bench.site.entries import Counts, Entry, same_board
from spa_bench.site.episodes import Group, Shown, shown
from spa_bench.site.pages import SITE_POLICY, json_block, render
from spa_bench.site.pictures import training_charts
from spa_bench.site.rows import together
from spa_bench.site.world_model import world_model
from spa_bench.task import Task

LONGEST_TEXT = 20_000
"""Characters of a reply's part or of reasoning on the page: the log may hold 4 MB an episode."""

_STAMP = "stamp.json"


def write_submission(entry: Entry, folder: Path, tasks: Mapping[str, Task], most: int) -> Counts:
    """Writes the page of a submission, unless what is there is the same.

    Args:
        folder: of the page, which is made.
        tasks: the built-in ones that are on the leaderboard, by name.
        most: episodes a task to step through.

    Returns:
        How often each board was solved; nothing for a submission that nobody has verified.
    """
    key = _key(entry, most)
    made = _made(folder, key)
    if made is not None:
        return made
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "episodes").mkdir(parents=True)
    counts, view, left_out = _read_log(entry, tasks, most)
    for number, chunk in enumerate(view.chunks):
        script = f'spa.chunk({number},"{chunk}");\n'
        (folder / "episodes" / f"{number}.js").write_text(script, encoding="ascii")
    boards = {name: together(own, same_board(tasks[name])) for name, own in counts.items()}
    call = f"spa.counts({json_block(entry.slug)},{json_block(boards)});\n"
    (folder / "counts.js").write_text(call, encoding="utf-8")
    downloads = write_downloads(entry, folder, counts)
    (folder / "index.html").write_text(_page(entry, view, left_out, downloads), encoding="utf-8")
    stamp = {"key": key, "counts": counts}
    (folder / _STAMP).write_text(json.dumps(stamp), encoding="utf-8")
    return counts


def _page(entry: Entry, view: Shown, left_out: int, downloads: list[str]) -> str:
    return render(
        "submission.html",
        policy=SITE_POLICY,
        root="../../",
        here="",
        scripts=["board.js", "viewer.js"],
        version=spa_bench.__version__,
        s=entry.submission,
        badge=entry.badge,
        verification=entry.verification,
        **world_model(entry.results.tasks),
        training=training_charts(entry.training),
        downloads=downloads,
        index=view.index,
        left_out=left_out,
    )


def _read_log(
    entry: Entry, tasks: Mapping[str, Task], most: int
) -> tuple[dict[str, dict[str, tuple[int, int]]], Shown, int]:
    """Returns successes by task and board, the episodes to show, and how many others there are; of
    a verified log only."""
    counts: dict[str, dict[str, tuple[int, int]]] = {}
    if entry.verification is None:
        return counts, Shown({"tasks": [], "episodes": [], "folder": ""}), 0
    played: list[Task] = []
    for submitted in entry.submission.run.tasks:
        task = tasks.get(submitted.task)
        if task is not None and task.hash == submitted.hash:  # else of another version of it
            played.append(task)
            counts[task.name] = {}
    numbers = {task.hash: number for number, task in enumerate(played)}
    orders = [{board.id: i for i, board in enumerate(task.boards[0])} for task in played]
    done = Done()

    def chosen() -> Iterator[tuple[int, Episode]]:
        """Counts all episodes, and yields those to show."""
        for episode in entry.episodes():
            number = numbers.get(episode.task_hash)
            if number is None or not done.add(episode):
                continue
            own, order = counts[played[number].name], orders[number]
            n, c = own.get(episode.instance, (0, 0))
            own[episode.instance] = (n + 1, c + episode.success)
            if episode.repeat * len(order) + order.get(episode.instance, 0) < most:
                yield number, episode

    groups = [Group(task.name, task, entry.submission.run.salt) for task in played]
    view = shown(groups, chosen(), "episodes/", LONGEST_TEXT)
    return counts, view, done.count - len(view.index["episodes"])


def _key(entry: Entry, most: int) -> str:
    """Returns what the page depends on, as one hash."""
    checked = entry.verification
    verified = None if checked is None else checked.model_dump(mode="json")
    return sha256_hex([entry.folder.digest(), verified, most, spa_bench.__version__, _ours()])


@cache
def _ours() -> str:
    """Returns a hash of what makes pages."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.*")):
        if path.suffix in (".py", ".html", ".js", ".css"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _made(folder: Path, key: str) -> Counts | None:
    """Returns the counts of a page that is already as it would be made."""
    try:
        stamp: Any = json.loads((folder / _STAMP).read_bytes())
    except (OSError, ValueError):
        return None
    return cast(Counts, stamp["counts"]) if stamp.get("key") == key else None
