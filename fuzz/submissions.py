"""A verifier reads any submission: it is refused in one line, differs, or is what was played."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
from datetime import date
from functools import cache
from typing import Any

from fuzz.edits import Bytes, edited
from fuzz.played import TASKS, few_boards
from fuzz.scratch import scratch
from spa_bench.errors import InputError
from spa_bench.models.baselines import load
from spa_bench.models.model import ModelOptions
from spa_bench.run import Evaluation, Silent, run
from spa_bench.runner.log import RunFolder
from spa_bench.submission.folder import CHECKSUMS, EPISODES, SubmissionFolder
from spa_bench.submission.pack import pack
from spa_bench.submission.schema import About
from spa_bench.submission.scrub import Scrubber
from spa_bench.submission.verify import verify

_FILES = ("submission.json", "results.json", EPISODES, "README.md", CHECKSUMS)
_ABOUT = About(
    name="fuzzed",
    model="random",
    provider="baseline",
    method="baseline",
    training="none",
    date=date(2026, 1, 1),
    submitted_by="nobody",
)


@cache
def folder() -> SubmissionFolder:
    """Returns a submission in memory."""
    work = scratch()
    tasks = [few_boards().load(name) for name in TASKS]
    model = load(ModelOptions(model="random", label="baseline/random"))
    asyncio.run(run(Evaluation(model, tasks, work / "run", repeats=2), Silent()))
    nobody = Scrubber({}, (), "/")
    return pack(RunFolder(work / "run"), _ABOUT, work / "fuzzed", few_boards(), scrubber=nobody)


@cache
def originals() -> dict[str, bytes]:
    """Returns the contents of its files."""
    return {name: (folder().path / name).read_bytes() for name in _FILES}


@cache
def _episodes() -> list[Any]:
    return [json.loads(line) for line in gzip.decompress(originals()[EPISODES]).splitlines()]


def one(data: bytes) -> None:
    """Alters a submission by bytes: one file raw, or edits of records; checksums follow or not."""
    source = Bytes(data)
    name = _FILES[source.below(len(_FILES))]
    raw, honest = source.below(4) == 0, source.below(8) == 0
    files = dict(originals())
    if raw or name not in ("submission.json", "results.json", EPISODES):
        at = source.below(max(1, len(files[name])))
        files[name] = files[name][:at] + data[4:] + files[name][at + source.below(64) :]
    elif name == EPISODES:
        records = [edited(r, source) if source.below(2) else r for r in _episodes()]
        lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records)
        files[name] = gzip.compress(lines.encode("utf-8", "replace"), 1, mtime=0)
    else:
        changed = edited(json.loads(files[name]), source)
        files[name] = json.dumps(changed).encode("utf-8", "replace")
    if not honest and name != CHECKSUMS:
        sums = {n: hashlib.sha256(files[n]).hexdigest() for n in files if n != CHECKSUMS}
        files[CHECKSUMS] = "".join(f"{sums[n]}  {n}\n" for n in sorted(sums)).encode()
    _write(files)
    try:
        report = verify(folder(), few_boards())
    except InputError as error:
        _check_line(str(error))
        return
    for difference in report.differences:
        _check_line(difference)
    if report.verification is not None:
        assert report.results is not None
        assert not report.differences
        _same(json.loads(originals()["results.json"]), json.loads(report.results.model_dump_json()))


def _write(files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder().path / name
        if os.path.getsize(path) != len(content) or path.read_bytes() != content:
            path.write_bytes(content)


def _check_line(line: str) -> None:
    assert line
    assert all(c.isprintable() for c in line), line
    assert len(line) < 2_000, line


def _same(original: dict[str, Any], recomputed: dict[str, Any]) -> None:
    """What is verified has the score that was played, whatever else was altered."""
    scores = [
        [(task["task"], task["metrics"]) for task in results["tasks"]]
        for results in (original, recomputed)
    ]
    assert scores[0] == scores[1]
