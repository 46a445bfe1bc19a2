"""One claim, measured in a process of its own, so that no claim sees another's memory or imports.

    python -m benchmarks.claims.row NAME FILE

measures one claim in this process and writes its row to FILE as JSON.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from benchmarks.claims.claim import Claim, NotRunError, Topic, discover

ROOT = Path(__file__).resolve().parents[2]

TIMEOUT = 3600
"""Seconds after which a measurement is given up."""

_COUNT = 10_000_000

Status: TypeAlias = Literal["met", "not met", "not run"]


@dataclass(frozen=True)
class Row:
    """A claim and what its measurement found.

    Attributes:
        status: `not run` where something that it needs is absent; `value` then says what.
        seconds: that the measurement took; 0 where nobody noted it.
        machine: on which.
        date: of the measurement, such as 2026-11-29. commit: as `commit` says. Empty where nobody
            noted it.
    """

    name: str
    topic: Topic
    says: str
    aim: str
    status: Status
    value: str
    detail: str = ""
    seconds: float = 0.0
    machine: str = ""
    date: str = ""
    commit: str = ""

    @property
    def command(self) -> str:
        """Measures this claim again."""
        return f"python -m benchmarks.claims {self.name}"


@functools.cache
def machine() -> str:
    """Returns what the figures were measured on, and how fast it was when first asked.

    Shared machines differ from hour to hour by more than any claim of speed leaves room for.
    """
    started = time.perf_counter()
    for _ in range(_COUNT):
        pass
    seconds = time.perf_counter() - started
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}"
        f" (an empty loop counts to ten million in {seconds:.2f} s)"
    )


@functools.cache
def commit(root: Path = ROOT) -> str:
    """Returns the short hash of the code in a folder, with a + if the files differ from it.

    The page of the claims is left out: it changes with each claim that is measured. Empty where
    git knows of no commit.
    """
    page = [":/", ":(exclude,top)docs/claims.md", ":(exclude,top)docs/claims.json"]
    try:
        head = _git(root, "rev-parse", "--short", "HEAD")
        differs = _git(root, "status", "--porcelain", "--", *page)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{head}+" if differs else head


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def measure(claim: Claim) -> Row:
    """Measures a claim in a new process. A measurement that breaks is a claim not met."""
    date, code = f"{datetime.now(UTC):%Y-%m-%d}", commit()
    started = time.perf_counter()
    row = _measure_apart(claim)
    seconds = round(time.perf_counter() - started, 1)
    return replace(row, seconds=seconds, machine=machine(), date=date, commit=code)


def _measure_apart(claim: Claim) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "row.json"
        command = [sys.executable, "-m", "benchmarks.claims.row", claim.name, str(file)]
        try:
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            return _row(claim, "not met", f"gave up after {TIMEOUT} s")
        if done.returncode or not file.exists():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return _row(claim, "not met", f"broke: {last}")
        return Row(**json.loads(file.read_text(encoding="utf-8")))


def _measure_here(claim: Claim) -> Row:
    try:
        found = claim.measure()
    except NotRunError as reason:
        return _row(claim, "not run", str(reason))
    return _row(claim, "met" if found.met else "not met", found.value, found.detail)


def _row(claim: Claim, status: Status, value: str, detail: str = "") -> Row:
    return Row(claim.name, claim.topic, claim.says, claim.aim, status, value, detail)


def _main() -> None:
    name, file = sys.argv[1:]
    row = _measure_here(discover()[name])
    Path(file).write_text(json.dumps(asdict(row)), encoding="utf-8")


if __name__ == "__main__":
    _main()
