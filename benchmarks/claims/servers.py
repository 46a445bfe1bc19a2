"""Asking a server: what a call costs, and how well answers that take long are waited for.

Both are benchmarks of their own, run as their pages say; their tables are read.
"""

from __future__ import annotations

import sys

from benchmarks.claims.claim import Claim, Measured
from benchmarks.claims.process import timed

CLIENT_AIM_MS = 0.6
BOUND_AIM = 1.1


def client_cost() -> Measured:
    """`benchmarks.client_cost` without the peers that need environments of their own."""
    costs = {name: float(cpu) for name, cpu, _ in _table("client_cost", "--without", "peers")}
    ours = costs.pop("spa-bench openai/")
    told = ", ".join(f"{name} {cost:.2f} ms" for name, cost in costs.items())
    return Measured(f"{ours:.2f} ms", ours <= CLIENT_AIM_MS, told)


def stragglers() -> Measured:
    """`benchmarks.stragglers` as it is."""
    ratios: dict[str, dict[str, float]] = {}
    for in_flight, name, _, ratio in _table("stragglers"):
        ratios.setdefault(name, {})[in_flight] = float(ratio)
    ours = ratios["spa-bench"]
    return Measured(
        f"{_times(ours)} times the bound",
        max(ours.values()) <= BOUND_AIM,
        f"in the same order without any cost {_times(ratios['in order'])} times,"
        f" lock-step {_times(ratios['lock-step'])} times",
    )


def _times(ratios: dict[str, float]) -> str:
    return ", ".join(f"{ratio:.2f} ({in_flight})" for in_flight, ratio in ratios.items())


def _table(benchmark: str, *options: str) -> list[list[str]]:
    """Runs a benchmark; returns the cells of the table that it prints, without its head."""
    printed = timed([sys.executable, "-m", f"benchmarks.{benchmark}", *options]).output
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


CLAIMS = [
    Claim(
        "client-cost",
        "core",
        "processor time of a call through `openai/`, a server that answers at once, 64 in flight",
        f"{CLIENT_AIM_MS} ms",
        client_cost,
    ),
    Claim(
        "stragglers",
        "core",
        "256 episodes against a server of log-normal latency, median 0.5 s, 64 and 256 in flight",
        "within 10% of the bound",
        stragglers,
    ),
]
