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


def measure(claim: Claim) -> Row:
    """Measures a claim in a new process. A measurement that breaks is a claim not met."""
    started = time.perf_counter()
    row = _measure_apart(claim)
    seconds = round(time.perf_counter() - started, 1)
    return replace(row, seconds=seconds, machine=machine())


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
