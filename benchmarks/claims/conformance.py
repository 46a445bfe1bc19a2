"""Rules and boards against the published code, by running the conformance tests.

The tests compare with recordings of gym-sokoban and of RAGEN's generator, which lie beside them;
how much was compared is counted in the recordings.
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.claims.claim import Claim, Measured, NotRunError

TESTS = Path(__file__).resolve().parents[2] / "tests" / "conformance"


def sokoban_transitions() -> Measured:
    """State, reward and end of every recorded transition of random play."""
    episodes = json.loads(gzip.decompress(_data("sokoban_gym.json.gz")))
    transitions = sum(len(episode["actions"]) for episode in episodes)
    return tested("test_sokoban_gym.py", transitions, "transitions", 10_000)


def sokoban_boards() -> Measured:
    """The 200 boards of the paper's setting, and those with two boxes and of 10x10."""
    recorded: dict[str, dict[str, Any]] = json.loads(_data("sokoban_ragen.json"))
    paper = len(recorded["6x6-1-300"])
    found = tested("test_sokoban_ragen.py", paper, "boards of 6x6 with one box", 200)
    more = {setting: len(boards) for setting, boards in recorded.items() if setting != "6x6-1-300"}
    also = ", ".join(f"{count} of {setting}" for setting, count in more.items())
    return Measured(found.value, found.met, f"{found.detail}; also {also}")


def _data(name: str) -> bytes:
    path = TESTS / "data" / name
    if not path.exists():
        raise NotRunError(f"{path.name} is not there: see tests/conformance")
    return path.read_bytes()


def tested(test: str, count: int, what: str, least: int) -> Measured:
    """Runs one test file; nothing may fail, and nothing may be skipped."""
    clean, told = passed(f"conformance/{test}")
    if clean:
        return Measured(f"all {count:,} {what} are equal", count >= least, f"{test}: {told}")
    return Measured(f"{what} differ, or could not be compared", False, f"{test}: {told}")


def passed(*tests: str) -> tuple[bool, str]:
    """Runs tests, given as pytest names them below `tests/`.

    Returns:
        Whether they ran and none failed or was skipped, and how many did what.
    """
    options = ["-q", "-o", "addopts=", "-p", "no:cacheprovider"]
    named = [str(TESTS.parent / test) for test in tests]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *named],
        cwd=TESTS.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named pytest" in done.stderr:
        raise NotRunError("pytest is not installed: pip install -e '.[dev]'")
    summary = _counts(done.stdout)
    clean = done.returncode == 0 and "passed" in summary and "skipped" not in summary
    return clean, ", ".join(f"{number} {word}" for word, number in summary.items()) or "no test ran"


def _counts(output: str) -> dict[str, int]:
    """Reads pytest's last line, such as `3 passed, 1 skipped in 0.20s`."""
    last = (output.strip().splitlines() or [""])[-1]
    found = re.findall(r"(\d+) (passed|failed|errors?|skipped|deselected|xfailed|warnings?)", last)
    return {word: int(number) for number, word in found}


CLAIMS = [
    Claim(
        "sokoban-transitions",
        "core",
        "Sokoban's random transitions equal gym-sokoban's in state, reward and end",
        "10,000, all equal",
        sokoban_transitions,
    ),
    Claim(
        "sokoban-boards",
        "core",
        "Sokoban's boards equal the published generator's",
        "200, all equal",
        sokoban_boards,
    ),
]
