"""The leaderboard's pages: how soon the table can be used, how long they take to make."""

from __future__ import annotations

import shutil
import tempfile
import time
from functools import cache
from pathlib import Path

from benchmarks.claims.claim import Claim, Measured, NotRunError
from benchmarks.site_scale import Scale, measure, submissions_of_baselines
from spa_bench.evaluation import evaluate
from spa_bench.site.view import run_page

SIZES = (10, 200, 1000)
USABLE_SECONDS = 1.0
SECONDS_A_SUBMISSION = 0.5
PAGE_MEGABYTES = 0.5


def table_is_usable() -> Measured:
    """A click sorts the table of 200 submissions, from the moment the file is opened."""
    found = _scale(200)
    if found.usable is None:
        raise NotRunError("no Chromium, or no playwright: install both")
    value = f"{found.usable:.2f} s"
    return Measured(
        value, found.usable <= USABLE_SECONDS, f"a page of {found.index_kilobytes:,.0f} kB"
    )


def site_is_built() -> Measured:
    """The site is built, and built again with nothing changed."""
    found = [_scale(size) for size in SIZES]
    value = "; ".join(
        f"{s.submissions:,}: {s.build:.1f} s, again {s.again:.1f} s, {s.megabytes:,.0f} MB"
        for s in found
    )
    met = all(s.build <= max(10.0, SECONDS_A_SUBMISSION * s.submissions) for s in found)
    return Measured(value, met, "4,096 episodes a submission, 512 of them to step through")


@cache
def _scale(number: int) -> Scale:
    with tempfile.TemporaryDirectory() as folder:
        found = measure(number, _templates(), Path(folder))
        shutil.rmtree(Path(folder) / "site")
        return found


@cache
def _templates() -> list[Path]:
    return submissions_of_baselines(Path(_kept().name))


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    """Returns a folder that is removed at the end of the process."""
    return tempfile.TemporaryDirectory(prefix="spa-bench-site-")


def page_of_a_run() -> Measured:
    """The page of a whole run of one task in the world-model format, with all its episodes."""
    with tempfile.TemporaryDirectory() as folder:
        result = evaluate("baseline/random", "sokoban_wm", output=folder)
        started = time.perf_counter()
        megabytes = len(run_page(Path(folder)).encode()) / 1e6
        seconds = time.perf_counter() - started
    detail = f"{result.tasks[0].episodes:,} episodes, made in {seconds:.1f} s"
    return Measured(f"{megabytes:.2f} MB", megabytes <= PAGE_MEGABYTES, detail)


CLAIMS = [
    Claim(
        "leaderboard-usable",
        "leaderboard",
        "the leaderboard of 200 submissions, opened from the disk, has been sorted by a click",
        "1 s",
        table_is_usable,
    ),
    Claim(
        "leaderboard-build",
        "leaderboard",
        "the leaderboard is built",
        "0.5 s a submission",
        site_is_built,
    ),
    Claim(
        "run-page",
        "leaderboard",
        "the page of a run of 1,024 episodes in the world-model format",
        "0.5 MB",
        page_of_a_run,
    ),
]
