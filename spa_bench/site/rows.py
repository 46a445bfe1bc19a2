"""The leaderboard's table: columns, rows, and what is in each cell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Literal

import numpy as np

from spa_bench.metrics.paired import linearised
from spa_bench.metrics.success import normalised
from spa_bench.results.results import TaskResult
from spa_bench.site.entries import (
    Counts,
    Entry,
    MeasuredTask,
    Reported,
    same_board,
    written_probes,
)
from spa_bench.site.ranks import Discipline, Rank, ranks

OVERALL = "overall"
_METRICS = (("pass@1", "Pass@1"), ("pass@8", "Pass@8"))
_PROBES = "probes"


@dataclass(frozen=True)
class Cell:
    """A value of the table; None where there is nothing to say.

    Attributes:
        low, high: its 95% interval. floor, ceiling: what it lies between.
        text: what is shown instead of a number.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    text: str | None = None


NOTHING = Cell()


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        kind: how its values are written: `score` is a share, in percent; `ratio` a plain number.
        shown: from the start, before the reader chooses.
        ranked: the name of the ranking that sorting by it shows, if there is one.
    """

    key: str
    label: str
    group: str
    kind: Literal["text", "score", "ratio", "count", "money"]
    shown: bool = True
    ranked: str = ""
    says: str = ""


@dataclass(frozen=True)
class Row:
    """One line.

    Attributes:
        kind: a submission, a figure that others reported, or a bound.
        slug: of a submission. link: to more about it.
        ranks: by ranking; without those it has no part in.
    """

    kind: Literal["submission", "reported", "bound"]
    model: str
    method: str
    badge: str
    link: str | None
    slug: str | None = None
    cells: Mapping[str, Cell] = field(default_factory=dict[str, Cell])
    ranks: Mapping[str, Rank] = field(default_factory=dict[str, Rank])
    flags: Sequence[str] = ()


@dataclass(frozen=True)
class Table:
    """The whole of it; `rankings` names each ranking and how many take part."""

    columns: list[Column]
    rows: list[Row]
    rankings: Mapping[str, int]


def table(
    entries: Sequence[Entry],
    counts: Mapping[str, Counts],
    reported: Sequence[Reported],
    tasks: Sequence[MeasuredTask],
) -> Table:
    """Returns the table: submissions by overall score, then reported figures, then bounds.

    Args:
        counts: by submission, of those that have been verified: the others have no ranks.
    """
    main = [task for task in tasks if task.main]
    every = _rankings(counts, main, tasks)
    rows = [_entry_row(entry, every, tasks, main) for entry in entries]
    rows.sort(key=lambda row: (-_known(row.cells[OVERALL].value), row.model, row.slug or ""))
    for source in reported:
        rows += [_reported_row(source, i, tasks) for i in range(len(source.rows))]
    wholes = [OVERALL, *([_PROBES] if any(_PROBES in row.cells for row in rows) else [])]
    rows += [
        _bound_row("best possible", "ceiling", tasks, wholes),
        _bound_row("uniformly random", "floor", tasks, wholes),
    ]
    needed = _needed(entries, tasks)
    columns = [
        replace(column, shown=column.shown or column.key in needed)
        for column in _columns(tasks)
        if any(told(row.cells.get(column.key)) for row in rows)
    ]
    return Table(columns, rows, {name: len(places) for name, places in every.items()})


def _needed(entries: Sequence[Entry], tasks: Sequence[MeasuredTask]) -> set[str]:
    """Returns the columns of submissions that played no main task: the first task of each."""
    known = {task.name: task.main for task in tasks}
    played = ([t.task for t in entry.results.tasks if t.task in known] for entry in entries)
    return {f"{own[0]}:pass@1" for own in played if own and not any(map(known.get, own))}


def _columns(tasks: Sequence[MeasuredTask]) -> Iterator[Column]:
    yield Column("parameters", "size", "", "count", says="parameters of the model")
    yield Column(
        OVERALL,
        "overall",
        "",
        "ratio",
        ranked=OVERALL,
        says="mean over the main tasks of (Pass@1 - floor) / (ceiling - floor)",
    )
    episodes = [task for task in tasks if task.probe is None]
    for metric, label in _METRICS:
        for task in episodes:
            shown = task.main and metric == "pass@1"
            ranked = task.name if metric == "pass@1" else ""
            yield Column(f"{task.name}:{metric}", task.name, label, "score", shown, ranked)
    for task in episodes:
        says = "(Pass@1 - floor) / (ceiling - floor)"
        yield Column(f"{task.name}:normalised", task.name, "normalised", "ratio", False, "", says)
    for what in ("observation", "prediction"):
        says = f"exact {what}s, over all tasks whose replies state them"
        yield Column(f"belief:{what}", what, "belief", "score", True, "", says)
    says = "exact predictions, over the turns that change the board: repeating it is never right"
    yield Column("belief:changed", "of changes", "belief", "score", True, "", says)
    says = "mean over the probes of world_model, all of them, of (right - chance) / (1 - chance)"
    yield Column(_PROBES, "all", "probes", "ratio", True, "", says)
    for task in tasks:
        if task.probe is not None:
            key = f"{task.name}:pass@1"
            yield Column(key, task.name, "probes", "score", False, task.name, "right answers")
    says = "prompt and completion tokens an episode, mean over the main tasks, all of them"
    yield Column("tokens", "tokens", "", "count", says=says)
    says = "US dollars per 1,000 episodes, mean over the main tasks, all of them"
    yield Column("cost", "$", "", "money", says=says)
    yield Column("date", "date", "", "text", says="of the submission")


# -- rows ------------------------------------------------------------------------------------------


def _entry_row(
    entry: Entry,
    every: Mapping[str, Mapping[str, Rank]],
    tasks: Sequence[MeasuredTask],
    main: Sequence[MeasuredTask],
) -> Row:
    submission = entry.submission
    cells: dict[str, Cell] = {"parameters": _count(submission.parameters)}
    cells |= _probes(entry, tasks)
    for task in tasks:
        result = entry.result(task.task)
        for metric, _ in _METRICS:
            score = None if result is None else result.metrics.get(metric)
            if score is not None and _known(score.value) >= 0:
                cells[f"{task.name}:{metric}"] = Cell(
                    score.value, score.low, score.high, *_limits(task, metric)
                )
        cells[f"{task.name}:normalised"] = Cell(_normalised(task, cells))
    cells[OVERALL] = Cell(_mean([cells[f"{task.name}:normalised"].value for task in main]))
    cells |= _spent([entry.result(task.task) for task in main]) | _belief(entry.results.tasks)
    cells["date"] = Cell(submission.date.toordinal(), text=submission.date.isoformat())
    verified = entry.verification
    return Row(
        kind="submission",
        model=submission.model,
        method=submission.method,
        badge=entry.badge,
        link=f"submissions/{entry.slug}/index.html",
        slug=entry.slug,
        cells=cells,
        ranks={name: places[entry.slug] for name, places in every.items() if entry.slug in places},
        flags=[] if verified is None else [flag.says for flag in verified.flags],
    )


def _reported_row(source: Reported, number: int, tasks: Sequence[MeasuredTask]) -> Row:
    row = source.rows[number]
    cells: dict[str, Cell] = {
        "parameters": _count(row.parameters),
        "date": Cell(date(source.source.year, 1, 1).toordinal(), text=str(source.source.year)),
    }
    for task in tasks:
        for (metric, _), value in zip(_METRICS, row.scores.get(task.name, ()), strict=False):
            cells[f"{task.name}:{metric}"] = Cell(value / 100, None, None, *_limits(task, metric))
        cells[f"{task.name}:normalised"] = Cell(_normalised(task, cells))
    return Row("reported", row.model, row.method, "reported", source.source.url, cells=cells)


def _bound_row(
    name: str,
    which: Literal["floor", "ceiling"],
    tasks: Sequence[MeasuredTask],
    wholes: Sequence[str],
) -> Row:
    """Returns the row of a bound; `wholes` are the columns that lie between 0 and 1."""
    cells = dict.fromkeys(wholes, Cell(1.0 if which == "ceiling" else 0.0))
    for task in tasks:
        for metric, _ in _METRICS:
            floor, ceiling = _limits(task, metric)
            value = ceiling if which == "ceiling" else floor
            cells[f"{task.name}:{metric}"] = Cell(value, None, None, floor, ceiling)
        cells[f"{task.name}:normalised"] = Cell(_normalised(task, cells))
    return Row("bound", name, which, "exact", None, cells=cells)


def _limits(task: MeasuredTask, metric: str) -> tuple[float | None, float | None]:
    return _finite(task.floor(metric)), _finite(task.ceiling(metric))


def _normalised(task: MeasuredTask, cells: Mapping[str, Cell]) -> float | None:
    cell = cells.get(f"{task.name}:pass@1", NOTHING)
    if cell.value is None or cell.floor is None or cell.ceiling is None:
        return None
    return _finite(normalised(cell.value, cell.floor, cell.ceiling))


def _spent(results: Sequence[TaskResult | None]) -> dict[str, Cell]:
    """Returns what an episode takes, of who played all of the tasks: who plays only the cheap ones
    spends no less."""
    tokens: list[float | None] = []
    costs: list[float | None] = []
    for task in results:
        if task is None or not task.episodes:
            return {}
        total, cost = task.tokens.prompt + task.tokens.completion, task.cost
        counted = total > 0 and task.tokens.turns_counted == task.turns
        tokens.append(total / task.episodes if counted else None)
        costs.append(None if cost is None else 1000 * cost / task.episodes)
    return {"tokens": Cell(_mean(tokens)), "cost": Cell(_mean(costs))}


def _belief(results: Sequence[TaskResult]) -> dict[str, Cell]:
    beliefs = [task.belief for task in results if task.belief is not None and task.belief.turns]
    cells: dict[str, Cell] = {}
    kinds = {
        "observation": [belief.observation.exact for belief in beliefs],
        "prediction": [belief.prediction.exact for belief in beliefs],
        "changed": [belief.changed for belief in beliefs],
    }
    for what, exact in kinds.items():
        if len(exact) == 1:
            cells[f"belief:{what}"] = Cell(exact[0].value, exact[0].low, exact[0].high)
        elif exact:
            cells[f"belief:{what}"] = Cell(_mean([interval.value for interval in exact]))
    return cells


def _probes(entry: Entry, tasks: Sequence[MeasuredTask]) -> dict[str, Cell]:
    """Returns the accuracy of each probe, and the mean of all that are written, above chance."""
    above: dict[str, float | None] = {}
    cells: dict[str, Cell] = {}
    for task in tasks:
        result = entry.result(task.task)
        found = None if result is None else result.probe
        if task.probe is None or found is None or found.accuracy.value is None:
            continue
        value, chance = found.accuracy.value, task.floor("pass@1")
        above[task.name] = _finite(normalised(value, chance, 1.0))
        cells[f"{task.name}:pass@1"] = Cell(
            value, found.accuracy.low, found.accuracy.high, *_limits(task, "pass@1")
        )
    if written_probes() <= above.keys():
        cells[_PROBES] = Cell(_mean([above[name] for name in sorted(written_probes())]))
    return cells


def _count(number: int | None) -> Cell:
    return NOTHING if number is None else Cell(float(number))


# -- ranks -----------------------------------------------------------------------------------------


def _rankings(
    counts: Mapping[str, Counts], main: Sequence[MeasuredTask], tasks: Sequence[MeasuredTask]
) -> dict[str, dict[str, Rank]]:
    """Returns for each ranking the ranks of those who take part: who played all of its boards."""
    found: dict[str, dict[str, Rank]] = {}
    weighted = [(task, task.ceiling("pass@1") - task.floor("pass@1")) for task in main]
    spans = [(task, 1 / span / len(main)) for task, span in weighted if span > 1e-9]
    groups = [(OVERALL, spans), *((task.name, [(task, 1.0)]) for task in tasks)]
    for name, disciplines in groups:
        boards = [same_board(task.task) for task, _ in disciplines]
        entrants = [
            slug
            for slug, own in counts.items()
            if all(
                {board for group in groups for board in group} <= own.get(task.name, {}).keys()
                for (task, _), groups in zip(disciplines, boards, strict=True)
            )
        ]
        if entrants:
            places = ranks(
                [
                    Discipline(
                        np.array([parts_of(counts[slug][task.name], groups) for slug in entrants]),
                        weight,
                    )
                    for (task, weight), groups in zip(disciplines, boards, strict=True)
                ]
            )
            found[name] = dict(zip(entrants, places, strict=True))
    return found


def together(
    counts: Mapping[str, tuple[int, int]], groups: Sequence[Sequence[str]]
) -> dict[str, tuple[int, int]]:
    """Returns the counts of each group by its first member, as far as they were played."""
    sums: dict[str, tuple[int, int]] = {}
    for group in groups:
        played = [counts[board] for board in group if board in counts]
        if played:
            sums[group[0]] = sum(n for n, _ in played), sum(c for _, c in played)
    return sums


def parts_of(
    counts: Mapping[str, tuple[int, int]], groups: Sequence[Sequence[str]]
) -> Sequence[float]:
    """Returns each board's part in the score: their mean is the score of the table, to which a
    board contributes by its items."""
    played = [(n or 1, c) for n, c in together(counts, groups).values()]
    return linearised([c / n for n, c in played], [n for n, _ in played])


# -- small things ----------------------------------------------------------------------------------


def told(cell: Cell | None) -> bool:
    """Returns whether a cell has something to say."""
    return cell is not None and cell.value is not None


def _known(value: float | None) -> float:
    """Returns the value, or what sorts after all values."""
    return -math.inf if value is None or math.isnan(value) else value


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None
