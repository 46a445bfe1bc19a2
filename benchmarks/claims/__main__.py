"""Measures claims: `python -m benchmarks.claims [NAME ..] [--list] [--write PAGE]`.

Exits with 1 if a claim is not met. Best run on a quiet machine: figures of speed are wall time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tabulate import tabulate

from benchmarks.claims import report
from benchmarks.claims.claim import discover
from benchmarks.claims.row import Row, machine, measure


def main() -> int:
    """Measures what the command line asks for; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.claims",
        description="Measure the figures that the documents state.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all claims")
    parser.add_argument("--list", action="store_true", help="say what is claimed, measure nothing")
    parser.add_argument(
        "--write",
        type=Path,
        metavar="PAGE",
        help="write docs/claims.md and claims.json beside it; claims not named stay as they are",
    )
    chosen = parser.parse_args()
    claims = discover()
    unknown = [name for name in chosen.names if name not in claims]
    if unknown:
        parser.error(f"unknown claim {unknown[0]!r}; there are {', '.join(claims)}")
    wanted = [claims[name] for name in chosen.names or claims]
    if chosen.list:
        cells = [(claim.topic, claim.name, claim.says, claim.aim) for claim in wanted]
        print(tabulate(cells, headers=["topic", "claim", "says", "aim"]))
        return 0
    print(f"on {machine()}", flush=True)
    rows: list[Row] = []
    for claim in wanted:
        rows.append(measure(claim))
        print(report.line(rows[-1]), flush=True)
    print(f"\n{report.table(rows)}\n\n{report.summary(rows)}")
    if chosen.write:
        report.write(chosen.write, report.merged(report.read(chosen.write), rows, claims))
    return int(any(row.status == "not met" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
