"""What can be downloaded, as CSV and JSON: the leaderboard, and what there is of a submission."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spa_bench.results.figures import as_csv, figures
from spa_bench.results.shown import no_formula
from spa_bench.site.entries import Counts, Entry
from spa_bench.site.rows import NOTHING, OVERALL, Cell, Table, told
from spa_bench.submission.folder import EPISODES, TRAINING_LOG

# -- the leaderboard -------------------------------------------------------------------------------


def as_json(table: Table) -> dict[str, Any]:
    """Returns the table as plain data: all of its columns, also those not shown at first."""
    return {
        "schema": "spa-bench/leaderboard/1",
        "rankings": dict(table.rankings),
        "rows": [
            {
                "kind": row.kind,
                "name": row.slug,
                "model": row.model,
                "method": row.method,
                "badge": row.badge,
                "ranks": {n: {"best": r.best, "worst": r.worst} for n, r in row.ranks.items()},
                "flags": list(row.flags),
                "values": {
                    column.key: _plain(row.cells[column.key])
                    for column in table.columns
                    if told(row.cells.get(column.key))
                },
            }
            for row in table.rows
        ],
    }


def _plain(cell: Cell) -> Any:
    names = ("value", "low", "high", "floor", "ceiling")
    told = {name: value for name in names if (value := getattr(cell, name)) is not None}
    return told if cell.text is None else cell.text


def as_lines(table: Table) -> Iterator[list[Any]]:
    """Yields the lines of the table as CSV: a line a row; `KEY:low` and `KEY:high` after `KEY`."""
    columns = [(column.key, _has_interval(table, column.key)) for column in table.columns]
    yield [
        "kind",
        "name",
        "model",
        "method",
        "badge",
        "rank_best",
        "rank_worst",
        *(key + end for key, wide in columns for end in (("", ":low", ":high") if wide else ("",))),
    ]
    for row in table.rows:
        rank = row.ranks.get(OVERALL)
        yield [
            row.kind,
            row.slug or "",
            no_formula(row.model),
            no_formula(row.method),
            row.badge,
            "" if rank is None else rank.best,
            "" if rank is None else rank.worst,
            *(part for key, wide in columns for part in _parts(row.cells.get(key, NOTHING), wide)),
        ]


def _has_interval(table: Table, key: str) -> bool:
    return any(row.cells.get(key, NOTHING).low is not None for row in table.rows)


def _parts(cell: Cell, wide: bool) -> Iterator[Any]:
    yield "" if cell.value is None else cell.text or cell.value
    if wide:
        yield from ("" if end is None else end for end in (cell.low, cell.high))


# -- a submission ----------------------------------------------------------------------------------


def write_downloads(entry: Entry, folder: Path, counts: Counts) -> list[str]:
    """Writes what there is to download; returns the names, one below the other on the page."""
    names = ["submission.json", "results.json"]
    if entry.training:
        names.append(TRAINING_LOG)
    if entry.verification is not None:
        names.append(EPISODES)
    for name in names:
        shutil.copyfile(entry.folder.path / name, folder / name)
    tables = {"results": list(figures(entry.results))}
    if entry.verification is not None:
        tables["boards"] = [
            {"task": task, "board": board, "episodes": n, "successes": c}
            for task, boards in counts.items()
            for board, (n, c) in boards.items()
        ]
        text = json.dumps(tables["boards"], indent=1)
        (folder / "boards.json").write_text(f"{text}\n", encoding="utf-8")
        names.append("boards.json")
    for name, rows in tables.items():
        (folder / f"{name}.csv").write_text(as_csv(rows), encoding="utf-8", newline="")
        names.append(f"{name}.csv")
    return sorted(names)
