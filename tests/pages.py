"""What pages are made of: a run, and submissions, played, packed and verified for real."""

from __future__ import annotations

import os
from html.parser import HTMLParser
from pathlib import Path

import pytest
from believer import Believer
from filelock import FileLock

import spa_bench
from spa_bench.models.baselines import RandomBaseline
from spa_bench.registry import Registry
from spa_bench.runner.log import RunFolder
from spa_bench.submission.about import check
from spa_bench.submission.pack import pack
from spa_bench.submission.verify import verify, write_verification

REPORTED = Path(__file__).parents[1] / "leaderboard" / "reported"
RUN_TASKS = "sokoban_wm,frozenlake_slippery_wm,sudoku_wm"
MODELS = {
    "strong": Believer("scripted/strong", 0.95),
    "middling": Believer("scripted/middling", 0.5),
    "random": RandomBaseline("baseline/random"),
    "unchecked": Believer("scripted/unchecked", 0.7),
}


def play_run(folder: Path) -> Path:
    """Plays a run whose model believes much that is wrong, and writes markup."""
    spa_bench.evaluate(Believer(), RUN_TASKS, limit=3, repeats=2, output=folder)
    return folder


def submissions_once(factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of `make_submissions`, made by the first of the workers that asks."""
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    made, unfinished = shared / "leaderboard", factory.mktemp("made")
    with FileLock(shared / "leaderboard.lock"):
        if not made.is_dir():
            make_submissions(unfinished)
            unfinished.rename(made)
    return made / "submissions"


def make_submissions(folder: Path) -> Path:
    """Makes a submission of each model, `unchecked` without a verification."""
    registry = Registry()  # one for all: boards are made once
    tasks = registry.resolve(["spa", "frozenlake_wm", "sokoban_transition"])
    for name, model in MODELS.items():
        run = folder / "runs" / name
        spa_bench.evaluate(model, tasks, repeats=1, output=run)
        about = {
            "name": name,
            "model": f"{name.capitalize()}-1B",
            "method": "baseline" if name == "random" else "spa",
            "parameters": 1_000_000_000,
            "provider": "tests",
            "date": "2026-01-01",
            "training": "none",
            "submitted_by": "tests",
        }
        path = folder / "submissions" / name
        submission = pack(RunFolder(run), check(about), path, registry)
        if name != "unchecked":
            report = verify(submission, registry)
            assert not report.differences
            write_verification(submission, report.verification)
    return folder / "submissions"


class Elements(HTMLParser):
    """The elements of a page, as a browser reads it: name, attributes and text of each."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.found:
            tag, attrs, text = self.found[-1]
            self.found[-1] = (tag, attrs, text + data)
