"""Any bytes are a log: what is no episode is told, and results come of the rest."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from typing import Any

from fuzz.edits import Bytes, edited
from fuzz.played import episodes, plan
from fuzz.scratch import scratch
from spa_bench.results.results import compute
from spa_bench.results.table import format_results
from spa_bench.runner.log import RunFolder
from spa_bench.runner.plan import Done
from spa_bench.runner.record import facts_from_log, to_line
from spa_bench.runner.replay import ReplayError, replay


@cache
def folder() -> RunFolder:
    """Returns a run folder in memory."""
    return RunFolder(scratch())


@cache
def _records() -> list[Any]:
    return [json.loads(to_line(episode)) for episode in episodes()]


def one(data: bytes) -> None:
    """Reads bytes as a log, or (if the first is odd) as edits of one that was played."""
    run = folder()
    run.episodes_path.write_bytes(_edited(data[1:]) if data[:1] and data[0] % 2 else data)
    read = list(run.episodes(lambda line: _check_reason(line.reason)))
    done = Done()
    boards = {(task.hash, b.id): (task, b.state) for task in plan().tasks for b in task.boards[0]}
    for episode in read:
        done.add(episode)
        for turn in episode.turns:
            facts_from_log(turn.facts_observed)
            facts_from_log(turn.facts_predicted)
        known = boards.get((episode.task_hash, episode.instance))
        if known is not None:
            with suppress(ReplayError):
                list(replay(known[0], known[1], episode))
    list(plan().owed(done))
    results = compute(plan(), "m", read)
    for style in ("table", "markdown", "json", "csv"):
        format_results([results], style)


def _check_reason(reason: str) -> None:
    assert reason
    assert "\n" not in reason, reason
    assert len(reason) < 1_000, reason


def _edited(data: bytes) -> bytes:
    source = Bytes(data)
    lines: list[bytes] = []
    for _ in range(1 + source.below(2)):
        record = _records()[source.below(len(_records()))]
        changed = edited(record, source) if source else record
        lines.append(json.dumps(changed, ensure_ascii=False).encode("utf-8", "replace"))
    return b"\n".join(lines) + b"\n"
