"""Job arrays: a run dealt out to shards and merged is the run that was never split."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import spa_bench
from benchmarks.claims.claim import Claim, Measured
from spa_bench.merge import merge

COUNTS = (2, 3, 8)


def split_and_merged() -> Measured:
    """`baseline/random` on the group `spa`, whole and as 2, 3 and 8 shards merged in reverse order.

    Compared are the logs, line by line but for times and order, and the results but for times.
    """
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        _play(folder / "whole")
        expected = _told(folder / "whole")
        same: list[int] = []
        for count in COUNTS:
            parts = [folder / f"{i}-of-{count}" for i in range(1, count + 1)]
            for i, part in enumerate(parts, 1):
                _play(part, shard=f"{i}/{count}")
            merge(parts[::-1], folder / f"merged-{count}")
            if _told(folder / f"merged-{count}") == expected:
                same.append(count)
    return Measured(
        f"identical for {', '.join(map(str, same)) or 'no number of'} shards",
        tuple(same) == COUNTS and len(expected[0]) > 0,
        f"{len(expected[0]):,} episodes",
    )


def _play(folder: Path, shard: str | None = None) -> None:
    spa_bench.evaluate("baseline/random", "spa", output=folder, shard=shard)


def _told(run: Path) -> tuple[Sequence[str], Any]:
    """Returns log and results without times."""
    lines: list[str] = []
    for line in (run / "episodes.jsonl").read_bytes().splitlines():
        episode = json.loads(line)
        del episode["started"], episode["seconds"]
        for turn in episode["turns"]:
            del turn["seconds"]
        lines.append(json.dumps(episode, sort_keys=True))
    results = json.loads((run / "results.json").read_bytes())
    del results["efficiency"]
    for task in results["tasks"]:
        del task["seconds"]
    return sorted(lines), results


CLAIMS = [
    Claim(
        "split-and-merged",
        "scale",
        "a run dealt out to shards and merged has the log and the results of one that was not",
        "identical but for times and order",
        split_and_merged,
    ),
]
