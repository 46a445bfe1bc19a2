"""Submissions: tampering is found, replay is fast, the export passes its validator."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.claims.claim import Claim, Measured, NotRunError
from benchmarks.tampering import EXAMPLE, tried
from spa_bench.interop import every_eval_ever
from spa_bench.registry import Registry
from spa_bench.submission.folder import SubmissionFolder

FEWEST_KINDS = 20
PER_SECOND = 2000
REPETITIONS = 5
VALIDATOR = "EVERY_EVAL_EVER_PYTHON"

VERIFY = """
import time
from pathlib import Path
from spa_bench.registry import Registry
from spa_bench.submission.folder import SubmissionFolder
from spa_bench.submission.verify import verify
started = time.perf_counter()
report = verify(SubmissionFolder(Path({path!r})), Registry())
assert report.verification is not None, report.differences
print(report.episodes, report.turns, time.perf_counter() - started)
"""


def tampering() -> Measured:
    """Doctors a packed submission in every known way; all ways are listed in docs/tampering.md."""
    found = [tampering.says in said for tampering, said in tried(EXAMPLE, Registry())]
    return Measured(
        f"{sum(found)} of {len(found)} kinds",
        all(found) and len(found) >= FEWEST_KINDS,
        "docs/tampering.md lists them with what the verifier says",
    )


def replay_speed() -> Measured:
    """Verifies a submission of the group `spa` in a new process, on one core.

    The time includes the boards, their exact bounds and all figures; not the start of Python.
    """
    seconds: list[float] = []
    episodes = turns = 0
    for _ in range(REPETITIONS):
        code = VERIFY.format(path=str(EXAMPLE))
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        counted, turned, spent = ended.stdout.split()
        episodes, turns = int(counted), int(turned)
        seconds.append(float(spent))
    speed = episodes / statistics.median(seconds)
    return Measured(
        f"{speed:,.0f} a second",
        speed >= PER_SECOND,
        f"{episodes:,} episodes, {turns:,} turns in {statistics.median(seconds):.2f} s, boards and"
        f" exact bounds included; median of {REPETITIONS} new processes",
    )


def every_eval_ever_validates() -> Measured:
    """Exports the example submission and asks the format's own validator."""
    python = os.environ.get(VALIDATOR)
    if not python:
        raise NotRunError(
            f"{VALIDATOR} names no Python: every-eval-ever 0.3.0 needs Python 3.12 and an"
            " environment of its own"
        )
    folder = SubmissionFolder(EXAMPLE)
    path, record = every_eval_ever.export(
        folder.submission(), folder.results(), folder.digest(), Registry()
    )
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / path
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(record))
        command = [python, "-m", "every_eval_ever", "validate", "--format=json", str(file)]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=name, check=False)
    (report,) = json.loads(ended.stdout)
    clean = ended.returncode == 0 and report["valid"]
    said = f"errors {len(report['errors'])}, warnings {len(report.get('warnings', []))}"
    return Measured(
        said, clean, f"{len(record['evaluation_results'])} results of {folder.submission().name}"
    )


CLAIMS = [
    Claim(
        "tampering",
        "leaderboard",
        "ways to doctor a submission that `leaderboard verify` finds",
        f"all, of at least {FEWEST_KINDS} kinds",
        tampering,
    ),
    Claim(
        "replay-speed",
        "leaderboard",
        "episodes that `leaderboard verify` replays on one core, all told",
        f"{PER_SECOND:,} a second",
        replay_speed,
    ),
    Claim(
        "every-eval-ever",
        "leaderboard",
        "a submission's Every Eval Ever 0.3 export passes the format's own validator",
        "no error, no warning",
        every_eval_ever_validates,
    ),
]
