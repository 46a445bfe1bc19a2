"""The claims that were measured, as a table for people and as `docs/claims.md`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from tabulate import tabulate

from benchmarks.claims.row import Row

_HEAD = """# Claims

Figures that the documents state, each with its aim, measured again. `make claims`
(`python -m benchmarks.claims --write docs/claims.md`) writes this page and
[claims.json](claims.json); do not edit either by hand. Each row's command measures that row alone;
with `--write docs/claims.md` after it, it also updates the row here. *Not run* says what was
missing; it does not count as a success. *Commit* is the code that was measured, with a + if files
differed from it. A row with - was measured before this was noted.
"""


def summary(rows: Sequence[Row]) -> str:
    """Returns how many claims were met, not met and not run."""
    counts = [f"{sum(row.status == s for row in rows)} {s}" for s in ("met", "not met", "not run")]
    return f"{len(rows)} claims: {', '.join(counts)}"


def line(row: Row) -> str:
    """Returns one claim as a line, printed as soon as it is measured."""
    detail = f"; {row.detail}" if row.detail else ""
    return f"{row.name}: {row.status}: {row.value} (aim {row.aim}){detail} [{row.seconds:.0f} s]"


def table(rows: Sequence[Row]) -> str:
    """Returns the claims as a table for a terminal."""
    cells = [(row.topic, row.name, row.value, row.aim, row.status) for row in rows]
    headers = ["topic", "claim", "measured", "aim", ""]
    return tabulate(cells, headers=headers, maxcolwidths=[None, None, 50, 34, None])


def read(page: Path) -> list[Row]:
    """Returns the claims that a page was last written from; none if there is no such page."""
    data = page.with_suffix(".json")
    return [Row(**row) for row in json.loads(data.read_text("utf-8"))] if data.exists() else []


def write(page: Path, rows: Sequence[Row]) -> None:
    """Writes claims as a page, and beside it as JSON."""
    data = json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False)
    page.with_suffix(".json").write_text(data + "\n", encoding="utf-8")
    page.write_text(_markdown(rows), encoding="utf-8")


def merged(old: Iterable[Row], new: Iterable[Row], names: Iterable[str]) -> list[Row]:
    """Returns the newest row of each name, in the order of the names; other names are gone."""
    newest = {row.name: row for row in (*old, *new)}
    return [newest[name] for name in names if name in newest]


def _markdown(rows: Sequence[Row]) -> str:
    machines = list(dict.fromkeys(row.machine for row in rows))
    cells = [
        (
            row.topic,
            row.says,
            row.aim,
            f"{row.value} ({row.detail})" if row.detail else row.value,
            row.status,
            1 + machines.index(row.machine),
            row.date or "-",
            row.commit or "-",
            f"`{row.command}`",
        )
        for row in rows
    ]
    headers = ["topic", "claim", "aim", "measured", "", "on", "date", "commit", "command"]
    escaped = [[str(cell).replace("|", "\\|") for cell in cells_of_row] for cells_of_row in cells]
    body = tabulate(escaped, headers=headers, tablefmt="github", disable_numparse=True)
    told = "\n".join(f"{number}. {machine}" for number, machine in enumerate(machines, start=1))
    return f"{_HEAD}\n{summary(rows)}. *On*:\n\n{told}\n\n{body}\n"
