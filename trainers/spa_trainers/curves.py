"""Pictures of how reinforcement learning went: `log.jsonl` of one run or several -> SVG and PNG.

A panel a quantity, a line a run. Lines differ in dash and marker as well as in shade, so that a
print in grey can be read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spa_bench.errors import InputError
from spa_trainers.step_log import read

_ACROSS = 4
_LOOKS: tuple[tuple[str, Any, str], ...] = (
    ("#000000", "-", "o"),
    ("#b2182b", "--", "s"),
    ("#2166ac", ":", "^"),
    ("#1a9850", "-.", "D"),
    ("#888888", (0, (6, 2)), "v"),
    ("#c47a00", (0, (1, 1)), "x"),
)


@dataclass(frozen=True)
class Panel:
    """One quantity: its title, the unit on its axis, and what its values are multiplied with."""

    title: str
    unit: str
    factor: float = 1.0


_OF_STEPS = {
    "reward": Panel("Reward", "mean of an episode"),
    "reward_spread": Panel("Spread of rewards", "standard deviation"),
    "entropy": Panel("Entropy", "nats a token"),
    "reply_tokens": Panel("Length of replies", "tokens"),
    "format": Panel("Replies in the format", "% of replies", 100),
    "cut_off": Panel("Replies cut off", "% of replies", 100),
    "kept": Panel("Episodes learnt from", "% of episodes", 100),
    "explained_variance": Panel("Explained variance", "share of returns' variance"),
}


def draw(folders: Sequence[Path], target: Path) -> tuple[Path, Path]:
    """Draws the curves of runs into `target`, once as SVG and once as PNG; returns both paths.

    Args:
        folders: each holds a `log.jsonl`, itself or in `rl/`.
        target: a path; its suffix does not matter.

    Raises:
        InputError: if a folder has no log, nothing is in it, or matplotlib is not installed.
    """
    logs = dict(zip(_names(folders), map(read, folders), strict=True))
    panels = panels_of(logs.values())
    if not panels:
        raise InputError(f"{folders[0]}: the log has no step yet")
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise InputError("curves are drawn by matplotlib: pip install matplotlib") from None
    # a figure of its own, without pyplot: no display is looked for, no state is left behind
    look: dict[Any, Any] = {"font.size": 8, "svg.fonttype": "none", "svg.hashsalt": "spa-bench"}
    look |= {"axes.spines.top": False, "axes.spines.right": False}
    down = math.ceil(len(panels) / _ACROSS)
    with rc_context(look):
        figure = Figure((3.0 * _ACROSS, 2.3 * down + 0.4), layout="constrained")
        for number, (key, panel) in enumerate(panels.items(), start=1):
            axis = figure.add_subplot(down, _ACROSS, number)
            for run, lines in enumerate(logs.values()):
                _line(axis, key, panel, lines, run)
            axis.set(title=panel.title, xlabel="step", ylabel=panel.unit)
            axis.ticklabel_format(useOffset=False)
            if panel.unit.startswith("%"):
                axis.set_ylim(-3, 103)
        if len(logs) > 1:
            handles = [_handle(name, run) for run, name in enumerate(logs)]
            figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False)
        pictures = target.with_suffix(".svg"), target.with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(pictures[0], metadata={"Date": None})
        figure.savefig(pictures[1], dpi=120)
    return pictures


def panels_of(logs: Iterable[Sequence[Mapping[str, Any]]]) -> dict[str, Panel]:
    """Returns what logs have curves of, held-out boards first: key -> panel."""
    keys = {key: None for lines in logs for line in lines for key in line}
    found = {key: panel for key in keys if (panel := _held_out(key))}
    found = dict(sorted(found.items(), key=lambda pair: (pair[0].partition("/")[0], pair[1].title)))
    return found | {key: panel for key, panel in _OF_STEPS.items() if key in keys}


def _held_out(key: str) -> Panel | None:
    task, slash, what = key.partition("/")
    if not slash:
        return None
    if what.startswith("pass@"):
        return Panel(f"{task}: P{what[1:]}", "% of held-out boards", 100)
    if what in ("observation", "prediction"):
        return Panel(f"{task}: exact {what}s", "% of held-out turns", 100)
    return None


def _line(axis: Any, key: str, panel: Panel, lines: Sequence[Mapping[str, Any]], run: int) -> None:
    points = [(line["step"], panel.factor * line[key]) for line in lines if key in line]
    colour, dash, marker = _LOOKS[run % len(_LOOKS)]
    style: dict[str, Any] = {"color": colour, "linestyle": dash, "linewidth": 1.1}
    if "/" in key:
        style |= {"marker": marker, "markersize": 3}
    elif len(points) > 40:
        axis.plot(*zip(*points, strict=True), color=colour, linewidth=0.5, alpha=0.3)
        points = _smoothed(points)
    if points:
        axis.plot(*zip(*points, strict=True), **style)


def _smoothed(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Returns the mean of ten steps at each, the five before it and those from it on."""
    values = [value for _, value in points]
    windows = (values[max(0, i - 5) : i + 5] for i in range(len(points)))
    return [
        (step, sum(window) / len(window)) for (step, _), window in zip(points, windows, strict=True)
    ]


def _handle(name: str, run: int) -> Any:
    from matplotlib.lines import Line2D

    colour, dash, marker = _LOOKS[run % len(_LOOKS)]
    return Line2D([], [], color=colour, linestyle=dash, marker=marker, markersize=3, label=name)


def _names(folders: Sequence[Path]) -> list[str]:
    """Returns names that tell folders apart, as short as can be."""
    paths = [folder.resolve() for folder in folders]
    paths = [path.parent if path.name == "rl" else path for path in paths]
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    raise InputError(f"{folders[0]}: given twice")
