"""Time and memory of a run as it grows: `baseline/random` on `sokoban`, 1,000 to 100,000 episodes.

    python -m benchmarks.growth [--rounds 3] [--write docs/figures/growth.svg]

Every run is a process of its own (`benchmarks.claims.memory`): 125 boards, 8 to 800 repeats, log
and results included. Prints a table of medians and draws it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.claims.memory import BOARDS, MEGABYTE, run_apart
from benchmarks.figures import styled

_REPEATS = (8, 24, 80, 240, 800)


def main() -> None:
    """Measures, prints and draws."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, default=Path("docs/figures/growth.svg"))
    chosen = parser.parse_args()
    runs: dict[int, list[tuple[float, float, float]]] = {}
    for _ in range(chosen.rounds):
        for repeats in _REPEATS:
            took = run_apart(repeats)
            print(f"{repeats} repeats: {took.seconds:.1f} s", file=sys.stderr)
            runs.setdefault(BOARDS * repeats, []).append(
                (took.seconds, took.processor, took.peak / MEGABYTE)
            )
    found = {
        episodes: tuple(map(statistics.median, zip(*took, strict=True)))
        for episodes, took in runs.items()
    }
    print("| episodes | seconds | CPU seconds | CPU ms an episode | peak memory, MB |")
    print("|---|---|---|---|---|")
    for episodes, (seconds, processor, peak) in found.items():
        each = 1000 * processor / episodes
        print(f"| {episodes:,} | {seconds:.1f} | {processor:.1f} | {each:.2f} | {peak:.0f} |")
    draw(
        {episodes: (seconds, peak) for episodes, (seconds, _, peak) in found.items()}, chosen.write
    )


def draw(found: Mapping[int, tuple[float, float]], path: Path) -> None:
    """Draws seconds and peak megabytes over the number of episodes."""
    figure, (left, right) = styled().subplots(1, 2, figsize=(7.0, 3.0))
    episodes = list(found)
    seconds, peaks = zip(*found.values(), strict=True)
    most = episodes[-1]
    linear = [seconds[-1] * count / most for count in episodes]
    left.plot(episodes, linear, ":", color="grey", linewidth=1, label="in proportion to the last")
    left.plot(episodes, seconds, "o-", color="black", markersize=4, label="a run")
    left.set(xscale="log", yscale="log", xlabel="episodes", ylabel="seconds")
    right.plot(episodes, peaks, "o-", color="black", markersize=4)
    right.set(xscale="log", xlabel="episodes", ylabel="peak memory, MB", ylim=(0, 1.4 * max(peaks)))
    left.yaxis.set_major_formatter("{x:g}")
    for axis in (left, right):
        _plain(axis, episodes)
    left.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def _plain(axis: Any, episodes: list[int]) -> None:
    axis.set_xticks(episodes, [f"{count:,}" for count in episodes])
    axis.tick_params(axis="x", which="minor", bottom=False)
    axis.grid(axis="y", linewidth=0.4, alpha=0.5)


if __name__ == "__main__":
    main()
