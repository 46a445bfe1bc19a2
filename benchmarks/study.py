"""Writes the tables and the figures of the study's pages anew, from the leaderboard's own files.

    python -m benchmarks.study [--docs docs] [--check]

A table stands between two comments, `<!-- NAME -->` and `<!-- end -->`; all else of a page is
left alone. The figures go into `figures` beside the pages. `--check` writes nothing, and exits with
1 if a table is not as it would be written.
Nothing is played: the figures are those of leaderboard/submissions, leaderboard/study and
leaderboard/reported, the bounds are computed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean

from benchmarks import study_belief, study_chance, study_players
from benchmarks.figures import draw_line, panels, save
from benchmarks.tables import markdown
from spa_bench.metrics.success import normalised
from spa_bench.results.shown import percent, with_interval
from spa_bench.site.entries import Entry, measured_tasks, read_entries, read_reported
from spa_bench.site.rows import NOTHING, Cell, Row, Table, table

PAGES = ("study.md", "study-runs.md")
"""What is written: the study, and its runs one by one."""

_LEADERBOARD = Path(__file__).parents[1] / "leaderboard"
SUBMISSIONS = (_LEADERBOARD / "submissions", _LEADERBOARD / "study")
"""What ships and the baselines, and all other runs of the study."""

WORLDS = ("sokoban", "frozenlake", "sudoku")
METHODS = ("base", "world_model", "vanilla", "state_estimation", "vagen", "spa")
BELOW = "↓"
SETUPS = {
    "no baseline": r"-seed-(\d+)",
    "group's baseline": r"-group-seed-(\d+)",
    "the recipes": r"(?:-cut-off-seed-(\d+))?",
}
"""How reinforcement was done, and how names of runs end that tell it; other endings are tries.

The last is what the recipes say: each sets out from the one before. What ships is its seed 0.
"""


BY_THE_RECIPES: Mapping[str, str] = {
    "frozenlake": SETUPS["the recipes"],
    "frozenlake_slippery": r"-seed-(\d+)",
    "sokoban": SETUPS["the recipes"],
}
"""Worlds, and how the names of runs by the recipes end in each."""

METRICS = ("pass@1", "pass@8")

TRAINED = METHODS[2:]
SEEDS = 3
"""Runs of each method by the recipes, where all were made."""


ELSEWHERE = ("-unfamiliar", "-untold", "-across")
"""What the names of rows end in that are a checkpoint's on other tasks than its own."""

UNFAMILIAR: Mapping[str, Mapping[str, str]] = {
    "frozenlake": {
        "frozenlake_grid": "the grid alone",
        "frozenlake": "grid and coordinates",
        "frozenlake_mirrored": "Left and Right swapped",
        "frozenlake_mirrored_hidden": ".. untold",
        "frozenlake_symbols": "other symbols",
        "frozenlake_symbols_hidden": ".. untold",
        "frozenlake_6x6": "6x6",
        "frozenlake_sliding": "6x6, no stopping on the ice",
        "frozenlake_sliding_hidden": ".. untold",
        "sokoban": "Sokoban, grid and coordinates",
    },
    "sokoban": {
        "sokoban": "grid and coordinates",
        "sokoban_grid": "the grid alone",
        "sokoban_mirrored": "Left and Right swapped",
        "sokoban_mirrored_hidden": ".. untold",
        "sokoban_rotated": "controls turned by a quarter",
        "sokoban_rotated_hidden": ".. untold",
        "sokoban_pull": "boxes are pulled",
        "sokoban_pull_hidden": ".. untold",
        "sokoban_actions": "actions named North, South, West, East",
        "sokoban_words": "actions named by invented words",
        "sokoban_words_hidden": ".. untold",
        "sokoban_symbols": "other symbols",
        "sokoban_symbols_hidden": ".. untold",
        "sokoban_2boxes": "two boxes",
        "frozenlake": "FrozenLake, grid and coordinates",
    },
}
"""What checkpoints are measured on beside what they were trained on."""


def main() -> None:
    """Writes, or says what is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    parser.add_argument("--check", action="store_true")
    chosen = parser.parse_args()
    submissions = read_entries(*SUBMISSIONS)
    if submissions.problems:
        sys.exit("\n".join(submissions.problems))
    entries = submissions.entries
    found = read(entries)
    now = {page: (chosen.docs / page).read_text(encoding="utf-8") for page in PAGES}
    new = {page: written(text, found, entries) for page, text in now.items()}
    if chosen.check:
        stale = [str(chosen.docs / page) for page in PAGES if new[page] != now[page]]
        sys.exit(f"not what python -m benchmarks.study writes: {', '.join(stale)}" if stale else 0)
    for page, text in new.items():
        (chosen.docs / page).write_text(text, encoding="utf-8")
    figures = chosen.docs / "figures"
    draw(entries, found, figures / "study-curves.svg")
    chance = {m: _chance(found, "frozenlake", m.lower()) for m in ("Pass@1", "Pass@8")}
    starts = study_belief.read_starts(new["study.md"], entries)
    study_belief.draw(starts, chance, figures / "study-belief.svg")


def read(entries: Sequence[Entry]) -> Table:
    """Returns the leaderboard's table, with the tasks that the study is about."""
    worlds = (*WORLDS, "frozenlake_slippery")
    shown = [f"{world}{ending}" for ending in ("_grid", "_wm") for world in worlds]
    elsewhere = [task for tasks in UNFAMILIAR.values() for task in tasks]
    tasks = measured_tasks(["spa", *elsewhere, *shown], "spa")
    return table(entries, {}, read_reported(_LEADERBOARD / "reported"), tasks)


def written(page: str, found: Table, entries: Sequence[Entry] = ()) -> str:
    """Returns the page with its tables as they are now.

    Raises:
        KeyError: for a table that there is not.
    """
    made: Mapping[str, Callable[[], str]] = {
        **{name: partial(table, found) for name, table in TABLES.items()},
        "correlations": lambda: study_belief.correlations(study_belief.read_starts(page, entries)),
        "inside": lambda: study_belief.inside(entries),
        "players": study_players.players,
        "against_chance": lambda: study_chance.against_chance(by_the_recipes(entries)),
    }

    def one(match: re.Match[str]) -> str:
        return f"<!-- {match[1]} -->\n{made[match[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", one, page, flags=re.DOTALL)


# -- the paper's figures ---------------------------------------------------------------------------


def paper(found: Table) -> str:
    """Returns the reported rows, each score beside the exact floor and ceiling of its boards."""
    rows = [row for row in found.rows if row.kind == "reported"]
    lines = [
        [row.model, row.method, *(part for world in WORLDS for part in _reported(row, world))]
        for row in rows
    ]
    heads = ["model", "method"]
    for world in WORLDS:
        heads += [f"{world}: Pass@1", "normalised", "Pass@8"]
    return markdown(heads, lines)


def below_chance(found: Table) -> str:
    """Returns how many of the reported figures lie below what random play gets.

    Sudoku is left out: chance gets next to nothing there, and 0.0 is below that by rounding alone.
    """
    lines: list[list[str]] = []
    for method in dict.fromkeys(row.method for row in found.rows if row.kind == "reported"):
        rows = [row for row in found.rows if row.kind == "reported" and row.method == method]
        line = [method]
        for metric in ("pass@1", "pass@8"):
            cells = [_cell(row, world, metric) for row in rows for world in WORLDS[:2]]
            known = [cell for cell in cells if cell.value is not None]
            line.append(f"{sum(map(_below, known))} of {len(known)}")
        lines.append(line)
    heads = ["method", "Pass@1 below chance", "Pass@8 below chance"]
    return markdown(heads, lines)


def _reported(row: Row, world: str) -> Iterator[str]:
    one, eight = _cell(row, world, "pass@1"), _cell(row, world, "pass@8")
    if one.value is None:
        yield from ("", "", "")
        return
    yield percent(one.value)
    yield f"{normalised(one.value, one.floor or 0.0, one.ceiling or 1.0):+.2f}"
    yield f"{percent(eight.value)}{' ' + BELOW if _below(eight) else ''}"


def _cell(row: Row, world: str, metric: str) -> Cell:
    """Returns a score of a world; the 3B model's FrozenLake was the one of 6x6."""
    found = row.cells.get(f"{world}:{metric}", NOTHING)
    if found.value is None and world == "frozenlake":
        found = row.cells.get(f"frozenlake_6x6:{metric}", NOTHING)
    return found


def _below(cell: Cell) -> bool:
    return cell.value is not None and cell.floor is not None and cell.value < cell.floor


# -- over training ---------------------------------------------------------------------------------


def draw(entries: Sequence[Entry], found: Table, path: Path) -> None:
    """Draws success on held-out boards over the steps of training: a row a metric, in it a panel a
    world and set-up."""
    curves: dict[tuple[str, str], list[tuple[str, Mapping[str, list[tuple[float, float]]]]]] = {}
    for entry in sorted(entries, key=lambda e: (e.submission.method, e.submission.model)):
        method, model = entry.submission.method, entry.submission.model
        for world, (setup, ending) in product(WORLDS, SETUPS.items()):
            points = {metric: _points(entry, _task(world, method), metric) for metric in METRICS}
            if any(points.values()) and re.fullmatch(row_name(method, world) + ending, model):
                curves.setdefault((world, setup), []).append((method, points))
    order = sorted(curves, key=lambda panel: (panel[0], [*SETUPS].index(panel[1])))
    figure, axes = panels(len(order), len(METRICS))
    for axis, (metric, (world, setup)) in zip(axes, product(METRICS, order), strict=True):
        for method, points in curves[world, setup]:  # all seeds of a method look the same
            draw_line(axis, points[metric], method.replace("_", " "), METHODS.index(method))
        chance = 100 * _chance(found, world, metric)
        axis.axhline(chance, color="0.4", linestyle=":", linewidth=1.1, label="chance")
        if metric == METRICS[0]:
            axis.set_title(f"{world}, {setup}")
        else:
            axis.set_xlabel("steps, 256 episodes each")
    for axis, metric in zip(axes[:: len(order)], METRICS, strict=True):
        axis.set_ylabel(f"{metric.capitalize()} held out, %")
    save(figure, axes, path)


def _points(entry: Entry, task: str, metric: str) -> list[tuple[float, float]]:
    key = f"{task}/{metric}"
    return [(step["step"], step[key]) for step in entry.training if key in step]


def _chance(found: Table, world: str, metric: str) -> float:
    return _cell(_floor(found), world, metric).value or 0.0


def _floor(found: Table) -> Row:
    return next(row for row in found.rows if row.method == "floor")


# -- our rows --------------------------------------------------------------------------------------


def _task(world: str, method: str) -> str:
    """Returns the task of a world that a method is trained on: vanilla sees the grid alone, and the
    VAGEN-style method states beliefs."""
    return world + {"vanilla": "_grid", "vagen": "_wm"}.get(method, "")


def row_name(method: str, world: str) -> str:
    """Returns how the names of a method's rows in a world begin."""
    return f"nano-{method}-{world}".replace("_", "-")


def nano(found: Table) -> str:
    """Returns the rows of small checkpoints, world by world, in the order of the methods.

    Each is measured in what it was trained on: one without coordinates on the grid alone, too.
    """
    lines: list[list[str]] = []
    for world in WORLDS:
        rows = [row for row in found.rows if row.kind == "submission" and world in row.model]
        rows = [r for r in rows if r.method in METHODS and not r.model.endswith(ELSEWHERE)]
        for row in sorted(rows, key=lambda row: (METHODS.index(row.method), row.model)):
            tasks = (_task(world, row.method), f"{world}_grid")
            task = next((t for t in tasks if _cell(row, t, "pass@1").value is not None), world)
            one, eight = _cell(row, task, "pass@1"), _cell(row, task, "pass@8")
            slippery = _cell(row, _task(f"{world}_slippery", row.method), "pass@1")
            kinds = ("observation", "prediction", "changed")
            belief = [row.cells.get(f"belief:{kind}", NOTHING) for kind in kinds]
            scores = map(with_interval, (one, eight, slippery, *belief))
            lines.append([row.model, row.method, *scores, row.badge])
    scores = ["Pass@1", "Pass@8", "slippery: Pass@1", "observed", "predicted", ".. changes"]
    heads = ["model", "method", *scores, "badge"]
    return markdown(heads, lines)


def in_short(found: Table) -> str:
    """Returns Pass@1 / Pass@8 by the recipes: chance, the base, each method's mean over seeds.

    A star says that there are fewer than three seeds.
    """
    named = {row.model: row for row in found.rows}
    lines = list[list[str]]()
    for world, ending in BY_THE_RECIPES.items():
        line = [world]
        for row in (_floor(found), named[row_name("base", world.split("_")[0])]):
            cells = (_cell(row, world, metric) for metric in ("pass@1", "pass@8"))
            line.append(_both(cell.value for cell in cells))
        for method in TRAINED:
            runs = _runs(found, world, method, ending)
            means = map(fmean, zip(*runs.values(), strict=True))
            line.append(_both(means) + ("*" if len(runs) < SEEDS else "") if runs else "-")
        lines.append(line)
    return markdown(["Pass@1 / Pass@8, %", "chance", "before", *TRAINED], lines)


def by_the_recipes(entries: Sequence[Entry]) -> list[study_chance.Run]:
    """Returns the runs that were made by the recipes, world by world and method by method."""
    runs = list[study_chance.Run]()
    for (world, ending), method in product(BY_THE_RECIPES.items(), TRAINED):
        named = re.compile(row_name(method, world) + ending)
        task = _task(world, method)
        for entry in sorted(entries, key=lambda entry: entry.submission.model):
            match = named.fullmatch(entry.submission.model)
            if match is not None and task in {result.task for result in entry.results.tasks}:
                runs.append(study_chance.Run(world, method, int(match[1] or 0), task, entry))
    return runs


def seeds(found: Table) -> str:
    """Returns the seeds of each method, world by world and set-up by set-up, and their means."""
    lines = list[list[str]]()
    for world, setup, method in product(reversed(WORLDS), reversed(SETUPS), METHODS):
        runs = _runs(found, world, method, SETUPS[setup])
        if len(runs) < 2:
            continue
        line = [world, setup, method, ", ".join(map(str, sorted(runs)))]
        for values in zip(*(runs[seed] for seed in sorted(runs)), strict=True):
            line += [", ".join(map(percent, values)), percent(fmean(values))]
        lines.append(line)
    heads = [
        "world",
        "set-up",
        "method",
        "seeds",
        "Pass@1 of each",
        "mean",
        "Pass@8 of each",
        "mean",
    ]
    return markdown(heads, lines)


def _both(scores: Iterable[float | None]) -> str:
    return " / ".join(map(percent, scores))


def _runs(found: Table, world: str, method: str, ending: str) -> dict[int, list[float]]:
    """Returns Pass@1 and Pass@8 of each seed, from the rows whose names end so."""
    named = re.compile(row_name(method, world) + ending)
    runs = dict[int, list[float]]()
    for row in found.rows:
        if (name := named.fullmatch(row.model)) is None:
            continue
        cells = [_cell(row, _task(world, method), metric) for metric in ("pass@1", "pass@8")]
        values = [cell.value for cell in cells if cell.value is not None]
        if len(values) == len(cells):  # else a row of other tasks
            runs[int(name[1] or 0)] = values
    return runs


def unfamiliar(world: str, found: Table) -> str:
    """Returns Pass@1 of checkpoints on other tasks than their own, which are bold."""
    named = {row.model: row for row in found.rows}
    methods = [method for method in METHODS if f"{row_name(method, world)}{ELSEWHERE[0]}" in named]
    lines = list[list[str]]()
    for task, said in UNFAMILIAR[world].items():
        key = f"{task}:pass@1"
        line = [f"{said} (`{task}`)", percent(_floor(found).cells.get(key, NOTHING).value)]
        for method in methods:
            models = [f"{row_name(method, world)}{ending}" for ending in ("", *ELSEWHERE)]
            cells = [named[model].cells.get(key, NOTHING) for model in models if model in named]
            score = with_interval(next((c for c in cells if c.value is not None), NOTHING))
            trained = method != "base" and task == _task(world, method)
            line.append(f"**{score}**" if trained else score)
        lines.append(line)
    return markdown(["", "chance", *methods], lines)


TABLES: Mapping[str, Callable[[Table], str]] = {
    "paper": paper,
    "below_chance": below_chance,
    "nano": nano,
    "in_short": in_short,
    "seeds": seeds,
    "unfamiliar_frozenlake": partial(unfamiliar, "frozenlake"),
    "unfamiliar_sokoban": partial(unfamiliar, "sokoban"),
}


if __name__ == "__main__":
    main()
