"""docs/world-model.md and its figures, made of the runs that `benchmarks.world_model` leaves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import WIDEST, draw_line, panels, percents, save
from benchmarks.tables import markdown
from spa_bench.results.results import Results, TaskResult
from spa_bench.results.schema import Interval
from spa_bench.results.shown import percent, with_interval

WORLDS = {
    "sokoban": "Sokoban",
    "frozenlake": "FrozenLake",
    "frozenlake_slippery": "FrozenLake, slippery",
    "sudoku": "Sudoku",
}
COUNTERFACTUAL = {
    "sokoban_mirrored": "Sokoban, mirrored",
    "sokoban_pull": "Sokoban, pulled",
    "frozenlake_mirrored": "FrozenLake, mirrored",
    "frozenlake_sliding": "FrozenLake, sliding",
    "sudoku_regions": "Sudoku, shifted regions",
}
PROBES = (
    "to_coordinates",
    "to_grid",
    "transition",
    "rollout",
    "inverse",
    "legality",
    "reward",
    "reachability",
)

_INTRODUCTION = """\
# What models know of the worlds

Made by `python -m benchmarks.world_model`; do not edit.

Every question is asked alone, at temperature 0, and answered by the kernel exactly. Scores are
accuracies in percent with 95% intervals clustered by board; *items* is how many were asked, of each
probe the first ones. *chance*: a random choice among each item's plausible answers. *copied*: what
is shown, given as the answer. Both are exact, and over all items of the probe; models may have been
asked fewer. *to coordinates* and *to grid* estimate a state, *transition* is one action, *rollout*
one to eight, *inverse* asks for the action between two states, *legality* whether an action changes
anything, *reward* what it brings and whether it ends the episode, *reachability* whether success is
still within reach. A probe with `_grid` shows the grid alone, the others the grid and coordinates.

Models that have been trained on nothing but play, as nano, have never met such questions and answer
them with moves: their 0 says that they did not answer, not what they know. *Belief inside episodes*
and *Foresight* ask them in their own format. There is one nano for each world, so a name such as
`nano-base` stands for three models, each asked about its own.
"""


@dataclass
class Measured:
    """What is known of a model, or of one family: of models that were each made for a world.

    Attributes:
        tasks: results by task. perplexity, foresight: a task each, as the commands write them.
    """

    name: str
    tasks: dict[str, TaskResult] = field(default_factory=dict[str, TaskResult])
    perplexity: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    foresight: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])


def write_page(runs: Path, page: Path) -> None:
    """Writes the page and its figures from all runs below a folder."""
    measured = sorted(_families(runs), key=lambda m: (not m.name.startswith("baseline/"), m.name))
    figures = page.parent / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    parts = [_INTRODUCTION, *_probe_sections(measured), *_ranking_section(measured)]
    if _draw_horizon(measured, figures / "world-model-rollout.svg"):
        parts.append(
            "## Over the horizon\n\n"
            "![Accuracy of roll-outs over one to eight actions]"
            "(figures/world-model-rollout.svg)\n\n"
            f"Bands are 95% intervals; those wider than {100 * WIDEST:.0f} points are left out.\n"
        )
    parts += [*_belief_section(measured), *_foresight_section(measured)]
    parts += _perplexity_section(measured)
    if _draw_belief(measured, figures / "world-model-belief.svg"):
        parts.append("![Exact predictions over the turns](figures/world-model-belief.svg)\n")
    page.write_text("\n".join(parts), encoding="utf-8")
    print(f"wrote {page} from {len(measured)} models in {runs}")


def _families(runs: Path) -> Iterator[Measured]:
    """Yields what is measured of each model; `nano-base-sokoban` is of the family `nano-base`."""
    families: dict[str, Measured] = {}
    for folder in sorted(path for path in runs.glob("*") if path.is_dir()):
        family = re.sub(r"-(sokoban|frozenlake|sudoku)$", "", folder.name)
        measured = families.setdefault(family, Measured(family.replace("baseline-", "baseline/")))
        for path in sorted(folder.glob("*/results.json")):
            results = Results.model_validate_json(path.read_bytes())
            measured.tasks |= {task.task: task for task in results.tasks}
        measured.perplexity += _scored(folder / "perplexity.json")
        measured.foresight += _scored(folder / "foresight.json")
    yield from families.values()


def _scored(path: Path) -> list[Mapping[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["tasks"] if path.exists() else []


# -- tables ---------------------------------------------------------------------------------------


def _probe_sections(measured: Sequence[Measured]) -> Iterator[str]:
    groups = [("Known worlds", WORLDS), ("Changed rules, stated in the question", COUNTERFACTUAL)]
    for title, worlds in groups:
        rows: list[list[str]] = []
        for world in worlds:
            for probe in PROBES:
                for suffix in ("", "_grid"):
                    rows += _probe_rows(f"{world}_{probe}{suffix}", measured)
        if rows:
            headers = ["probe", "chance", "copied", *(m.name for m in measured)]
            yield f"## {title}\n\n{markdown(headers, rows)}\n"
    yield _slippery(measured)


def _probe_rows(name: str, measured: Sequence[Measured]) -> Iterator[list[str]]:
    """Yields a row for the probe; for transitions one for each stratum too."""
    results = [m.tasks.get(name) for m in measured]
    found = [r.probe for r in results if r is not None and r.probe is not None]
    if not found:
        return
    whole = max(found, key=lambda probe: probe.items)
    cells = [_accuracy(r.probe.accuracy, r.probe.items) if r and r.probe else "-" for r in results]
    yield [f"`{name}`", percent(whole.chance), percent(whole.copied), *cells]
    if name.endswith("_transition"):
        for stratum, reference in whole.strata.items():
            of = [r.probe.strata.get(stratum) if r and r.probe else None for r in results]
            cells = [_accuracy(s.accuracy, s.items) if s else "-" for s in of]
            label = f"&nbsp;&nbsp;{stratum}"
            yield [label, percent(reference.chance), percent(reference.copied), *cells]


def _slippery(measured: Sequence[Measured]) -> str:
    rows = [
        [
            f"`{name}`",
            m.name,
            str(probe.items),
            percent(probe.accuracy.value),
            percent(probe.probability),
            percent(probe.best),
            percent(probe.chance_probability),
            percent(probe.copied_probability),
        ]
        for name in ("frozenlake_slippery_transition", "frozenlake_slippery_rollout")
        for m in measured
        if name in m.tasks and (probe := m.tasks[name].probe) is not None
    ]
    headers = ["probe", "model", "items", "possible", "probability", "best", "chance", "copied"]
    return (
        "## Where chance decides\n\nOn slippery ice an answer is right if it can happen, which"
        " after several actions is nearly everything nearby. *probability* is the mean probability"
        " of the answers by the kernel, beside that of the best possible answers, of chance and of"
        f" copying.\n\n{markdown(headers, rows)}\n"
    )


def _ranking_section(measured: Sequence[Measured]) -> Iterator[str]:
    names = sorted({n for m in measured for n in m.tasks if n.endswith("_ranking")})
    rows = [
        [
            f"`{name}`",
            m.name,
            percent(probe.chance),
            _accuracy(probe.accuracy, probe.items),
            percent(probe.ranking.mass),
            percent(probe.ranking.distance),
            percent(probe.ranking.calibration_error),
        ]
        for name in names
        for m in measured
        if name in m.tasks
        and (probe := m.tasks[name].probe) is not None
        and probe.ranking is not None
    ]
    if rows:
        headers = ["probe", "model", "chance", "accuracy", "mass", "distance", "calibration error"]
        yield (
            "## By ranking\n\nThe same items, but the model chooses among the plausible answers by"
            " log-probability. *mass*: the probability that it gives to right ones. *distance*:"
            " total variation distance between its distribution and the kernel's. *calibration"
            f" error*: of the probability of its choice.\n\n{markdown(headers, rows)}\n"
        )


def _belief_section(measured: Sequence[Measured]) -> Iterator[str]:
    rows = [
        [
            f"`{name}`",
            m.name,
            percent(task.metrics["pass@1"].value),
            f"{belief.turns}",
            with_interval(belief.observation.exact),
            with_interval(belief.prediction.exact),
            percent(belief.ceiling),
            percent(belief.prediction.cell_accuracy),
            percent(belief.prediction.object_f1),
            with_interval(belief.gain, sign=True),
        ]
        for name in (f"{world}_wm" for world in WORLDS)
        for m in measured
        if (task := m.tasks.get(name)) is not None and (belief := task.belief) is not None
    ]
    if rows:
        headers = ["task", "model", "Pass@1", "turns", "observed", "predicted", "best", "cells"]
        headers += ["F1", "gain"]
        yield (
            "## Belief inside episodes\n\nWhat models write in the world-model format while they"
            " play, at temperature 1: turns with an exact `<observation>` and an exact"
            " `<prediction>`; *best* is what the best possible predictions of the same turns get,"
            " *cells* and *F1* are agreement of predictions to the cell and to the object, *gain*"
            " how much more often a turn with an exact prediction leads to success than one"
            f" without.\n\n{markdown(headers, rows)}\n"
        )


def _foresight_section(measured: Sequence[Measured]) -> Iterator[str]:
    rows = [
        [
            f"`{name}`",
            m.name,
            percent(task["all"]["chance"]),
            _accuracy(Interval(**task["all"]["accuracy"]), task["all"]["items"]),
            percent(task["all"]["mass"]),
            *(
                percent(task["strata"][stratum]["accuracy"]["value"])
                if stratum in task["strata"]
                else "-"
                for stratum in ("changing", "blocked", "ending")
            ),
        ]
        for name in (f"{world}_wm" for world in WORLDS)
        for m in measured
        for task in m.foresight
        if task["task"] == name
    ]
    if rows:
        headers = ["task", "model", "chance", "accuracy", "mass", "changing", "blocked", "ending"]
        yield (
            "## Foresight, the reply begun for them\n\n`spa-bench foresight`: the items of"
            " *transition*, but in the words of the game. The reply begins with the true state and"
            " the action, and the model's likeliest prediction among the plausible states is"
            " taken. So models are measured, too, that have no habit of stating a prediction."
            f"\n\n{markdown(headers, rows)}\n"
        )


def _perplexity_section(measured: Sequence[Measured]) -> Iterator[str]:
    rows = [
        [
            task["task"],
            m.name,
            str(task["boards"]),
            str(task["symbols"]),
            *(
                f"{task['styles'][style][unit]:.2f}"
                for style in ("grid", "grid+coordinates")
                for unit in ("per_token", "per_character")
            ),
        ]
        for m in measured
        for task in m.perplexity
    ]
    if rows:
        headers = [
            "world",
            "model",
            "boards",
            "uniform, per cell",
            "grid, per token",
            "per character",
        ]
        headers += ["grid+coordinates, per token", "per character"]
        yield (
            "## Perplexity of states\n\n`spa-bench perplexity`: the text of starting states after"
            " the one word `State:`. *uniform, per cell*: symbols that a cell may hold, which is"
            " what guessing them uniformly gets for a cell. Where the layout is known that is"
            " 7^(36/41) = 5.5 per character on Sokoban, 6^(16/19) = 4.5 on FrozenLake and"
            f" 5^(16/39) = 1.9 on Sudoku.\n\n{markdown(headers, rows)}\n"
        )


def _accuracy(found: Interval, items: int) -> str:
    return f"{with_interval(found)} of {items}"


# -- figures --------------------------------------------------------------------------------------


def _draw_horizon(measured: Sequence[Measured], path: Path) -> bool:
    worlds = [w for w in ("sokoban", "frozenlake", "sudoku") if _with(measured, f"{w}_rollout")]
    if not worlds:
        return False
    figure, axes = panels(len(worlds))
    for axis, world in zip(axes, worlds, strict=True):
        some = _with(measured, f"{world}_rollout")
        for number, (name, task) in enumerate(some):
            strata = sorted(task.probe.strata.items(), key=lambda pair: int(pair[0]))
            points = [(int(k), s.accuracy) for k, s in strata]
            draw_line(axis, points, name, number)
        whole = max((task.probe for _, task in some), key=lambda probe: probe.items)
        ks = sorted(whole.strata, key=int)
        for label, values, dashes in (
            ("chance", [whole.strata[k].chance for k in ks], (0, (1, 1.5))),
            ("copied", [whole.strata[k].copied for k in ks], (0, (6, 2))),
        ):
            axis.plot(
                [int(k) for k in ks],
                percents(values),
                color="0.4",
                linestyle=dashes,
                linewidth=1.1,
                label=label,
            )
        axis.set(title=WORLDS[world], xlabel="actions", xticks=range(1, len(ks) + 1))
    axes[0].set_ylabel("exact states, %")
    save(figure, axes, path)
    return True


def _draw_belief(measured: Sequence[Measured], path: Path) -> bool:
    worlds = [w for w in WORLDS if any(t.belief for _, t in _with(measured, f"{w}_wm"))]
    if not worlds:
        return False
    figure, axes = panels(len(worlds))
    for axis, world in zip(axes, worlds, strict=True):
        for number, (name, task) in enumerate(_with(measured, f"{world}_wm")):
            if task.belief is not None:
                points = [(t.turn, t.prediction) for t in task.belief.by_turn]
                draw_line(axis, points, name, number)
        axis.set(title=WORLDS[world], xlabel="turn", xticks=range(1, 6), xlim=(0.7, 5.3))
    axes[0].set_ylabel("exact predictions, %")
    save(figure, axes, path)
    return True


def _with(measured: Sequence[Measured], task: str) -> list[tuple[str, Any]]:
    return [(m.name, m.tasks[task]) for m in measured if task in m.tasks]
