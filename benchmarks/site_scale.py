"""How long the leaderboard takes to build, how large it is, how soon its table can be used.

    python -m benchmarks.site_scale 10 200 1000

A few real submissions (both baselines on the group `spa`, packed and verified) are repeated under
other names. A table is usable once a click on a column has sorted it, in headless Chromium, opened
from the disk.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spa_bench.evaluation import evaluate
from spa_bench.registry import Registry
from spa_bench.runner.log import RunFolder
from spa_bench.site.build import build
from spa_bench.submission.about import check
from spa_bench.submission.folder import CHECKSUMS, VERIFICATION
from spa_bench.submission.pack import pack
from spa_bench.submission.verify import verify, write_verification

REPORTED = Path(__file__).parents[1] / "leaderboard" / "reported"
BASELINES = ("random", "oracle")


@dataclass(frozen=True)
class Scale:
    """One size of leaderboard.

    Attributes:
        build: seconds; again: seconds of a second build, which keeps what has not changed.
        megabytes: of the whole site; index_kilobytes: of the page with the table.
        usable: seconds until the table has been sorted by a click; None without a browser.
    """

    submissions: int
    build: float
    again: float
    megabytes: float
    index_kilobytes: float
    usable: float | None


def measure(number: int, templates: list[Path], folder: Path, most: int = 128) -> Scale:
    """Builds a leaderboard of so many submissions, twice, and opens it."""
    submissions, site = folder / "submissions", folder / "site"
    for i in range(number):
        repeat_as(templates[i % len(templates)], submissions / f"s{i:04}", i)
    seconds: list[float] = []
    for _ in range(2):
        started = time.perf_counter()
        built = build([submissions], site, REPORTED, most)
        seconds.append(time.perf_counter() - started)
        assert built.submissions == number, built.problems
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    index = site / "index.html"
    return Scale(
        number, seconds[0], seconds[1], size / 1e6, index.stat().st_size / 1e3, usable(index)
    )


def usable(index: Path) -> float | None:
    """Returns the seconds from opening a leaderboard to its table sorted by a click and laid out.

    By the page's own clock, which starts with the navigation; the median of five visits, each in
    a fresh context. None without a browser.
    """
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if chromium is None:
        return None
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    times: list[float] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(5):
            context = browser.new_context()
            page: Any = context.new_page()
            page.goto(index.absolute().as_uri(), wait_until="domcontentloaded")
            times.append(page.evaluate(_SORT) / 1000)
            context.close()
        browser.close()
    return sorted(times)[len(times) // 2]


_SORT = """() => {
  const head = document.querySelector('th[data-key="sokoban:pass@1"]');
  head.querySelector("button").click();
  document.body.getBoundingClientRect();
  if (!head.hasAttribute("aria-sort")) throw new Error("the table was not sorted");
  return performance.now();
}"""


def submissions_of_baselines(folder: Path) -> list[Path]:
    """Plays, packs and verifies both baselines on the group `spa`."""
    paths: list[Path] = []
    for name in BASELINES:
        run = folder / "runs" / name
        evaluate(f"baseline/{name}", "spa", output=run)
        about = {"name": name, "model": name, "method": "baseline", "training": "none"}
        about |= {"provider": "baseline", "submitted_by": "spa-bench", "date": "2026-01-01"}
        submission = pack(RunFolder(run), check(about), folder / "packed" / name, Registry())
        write_verification(submission, verify(submission, Registry()).verification)
        paths.append(submission.path)
    return paths


def repeat_as(source: Path, target: Path, number: int) -> None:
    """Copies a verified submission under another name; its badge stays valid."""
    shutil.copytree(source, target)
    path = target / "submission.json"
    stated = json.loads(path.read_text()) | {"name": target.name, "model": f"Model {number:04}"}
    path.write_text(json.dumps(stated))
    lines = [
        f"{hashlib.sha256((target / name).read_bytes()).hexdigest()}  {name}\n"
        for name in sorted(p.name for p in target.iterdir())
        if name not in (CHECKSUMS, VERIFICATION)
    ]
    (target / CHECKSUMS).write_text("".join(lines))
    digest = hashlib.sha256((target / CHECKSUMS).read_bytes()).hexdigest()
    verified = json.loads((target / VERIFICATION).read_text()) | {"submission": digest}
    (target / VERIFICATION).write_text(json.dumps(verified))


def main(numbers: list[int]) -> None:
    """Measures each size and prints a line."""
    with tempfile.TemporaryDirectory() as folder:
        templates = submissions_of_baselines(Path(folder))
        for number in numbers:
            print(measure(number, templates, Path(folder) / str(number)), flush=True)
            shutil.rmtree(Path(folder) / str(number))


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [10, 200])
