"""Whether belief predicts success: what docs/study.md has of it, from its starts and from rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.figures import panels, percents, save
from benchmarks.tables import markdown
from spa_bench.results.schema import Interval
from spa_bench.results.shown import missing, with_interval
from spa_bench.site.entries import Entry

_LINE = re.compile(r"^\| [^|]+ \| `([\w-]+)` \| ([\d.]+) \| ([\d.]+) \|", re.MULTILINE)
_MARKERS = "osD^vPX<>p"


@dataclass(frozen=True)
class Start:
    """A start of SPA's, and where reinforcement took it, seed by seed.

    Attributes:
        sees: share of the turns in which it says exactly what it sees, before reinforcement.
        foresees: what follows.
        after: what `_AFTER` names, of each run: Pass@k is on the paper's boards.
    """

    name: str
    sees: float
    foresees: float
    after: Mapping[str, Sequence[float]]


def read_starts(page: str, entries: Sequence[Entry]) -> list[Start]:
    """Returns the starts of the page's table, with what their rows say.

    Starts themselves are no rows, so what they see and foresee stands on the page alone.
    """
    found = list[Start]()
    for name, sees, foresees in _LINE.findall(page):
        named = re.compile(rf"nano-spa-frozenlake-{name}-seed-\d+")
        runs = [entry for entry in entries if named.fullmatch(entry.submission.model)]
        found.append(
            Start(
                name.replace("-", " "),
                float(sees) / 100,
                float(foresees) / 100,
                {what: [of(entry) for entry in runs] for what, of in _AFTER.items()},
            )
        )
    return found


def _solved(metric: str, entry: Entry) -> float:
    tasks = ("frozenlake", "frozenlake_grid")
    result = next(result for result in entry.results.tasks if result.task in tasks)
    return result.metrics[metric].value or 0.0


def _growth(entry: Entry) -> float:
    held_out = [
        value for step in entry.training for key, value in step.items() if key.endswith("/pass@8")
    ]
    return held_out[-1] - held_out[0]


_AFTER: Mapping[str, Callable[[Entry], float]] = {
    "Pass@1": partial(_solved, "pass@1"),
    "Pass@8": partial(_solved, "pass@8"),
    "growth of Pass@8, held out": _growth,
}


def correlation(xs: Sequence[float], ys: Sequence[float]) -> Interval:
    """Returns Pearson's r with its 95% interval, by Fisher's transformation."""
    from scipy.stats import pearsonr

    found = pearsonr(xs, ys)
    low, high = found.confidence_interval(0.95)
    return Interval(value=float(found.statistic), low=float(low), high=float(high))


_BEFORE: Mapping[str, Callable[[Start], float]] = {
    "says exactly what it sees": lambda start: start.sees,
    ".. and what follows": lambda start: start.foresees,
}


def correlations(starts: Sequence[Start]) -> str:
    """Returns how what starts know goes with what comes of them; a start is a point."""
    lines = list[list[str]]()
    for before, known in _BEFORE.items():
        line = [before]
        for what in _AFTER:
            reached = [fmean(start.after[what]) for start in starts]
            r = correlation([*map(known, starts)], reached)
            line.append(f"{r.value:.2f} [{r.low:.2f}, {r.high:.2f}]")
        lines.append(line)
    return markdown([f"share of turns in which one of {len(starts)} starts", *_AFTER], lines)


def inside(entries: Sequence[Entry]) -> str:
    """Returns what a turn with a right prediction is worth, of rows with enough for an interval."""
    lines = [
        [
            entry.submission.model,
            result.task,
            str(belief.turns),
            with_interval(belief.success_if_right),
            with_interval(belief.success_if_wrong),
            with_interval(belief.gain, sign=True),
        ]
        for entry in sorted(entries, key=lambda entry: entry.submission.model)
        for result in entry.results.tasks
        if entry.submission.method != "baseline"
        and (belief := result.belief) is not None
        and not missing(belief.gain.low)
    ]
    return markdown(["model", "task", "turns", "solved if right", "if wrong", "gain"], lines)


def draw(starts: Sequence[Start], chance: Mapping[str, float], path: Path) -> None:
    """Draws success after reinforcement over foresight before it, a point a run."""
    figure, axes = panels(len(chance))
    axis: Any
    for axis, (metric, floor) in zip(axes, chance.items(), strict=True):
        for number, start in enumerate(starts):
            values = start.after[metric]
            axis.plot(
                percents([start.foresees] * len(values)),
                percents(values),
                linestyle="",
                marker=_MARKERS[number % len(_MARKERS)],
                color=f"C{number}",
                markersize=5,
                alpha=0.85,
                label=start.name,
            )
        axis.axhline(100 * floor, color="0.4", linestyle=":", linewidth=1.1, label="chance")
        axis.set(title=f"{metric} after 100 steps, %", xlabel="foreseen before, % of turns")
    save(figure, axes, path)
