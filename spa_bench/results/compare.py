"""Two runs side by side, paired by board: the same boards and, under one seed, the same luck.

Besides scores, what the turns of the world-model format believed, and how success goes with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from spa_bench.errors import InputError
from spa_bench.metrics.interval import Estimate, clustered
from spa_bench.metrics.paired import Paired, paired
from spa_bench.metrics.success import metric_of
from spa_bench.paths import typed
from spa_bench.results.belief import BELIEF, Belief, BeliefTally, Statement, belief_tally
from spa_bench.results.probe import ACCURACY
from spa_bench.results.shown import counted, percent, with_interval
from spa_bench.results.tabulated import tabulated
from spa_bench.runner.log import RunFolder, RunInfo, RunTask
from spa_bench.runner.run_log import RunLog
from spa_bench.task import UNMEASURED
from spa_bench.yaml_file import flatten

Counts = Mapping[str, tuple[int, int]]
"""Board -> (complete episodes, successes)."""


@dataclass(frozen=True)
class LoggedRun:
    """A run as its folder tells it: what was played, and how often each board was solved.

    Attributes:
        counts: by task hash. boards: the board key of each instance; the items of a probe share
            those of their boards.
        beliefs: by task hash, of the tasks that ask for them and can be made again here.
        notes: what a reader of its scores should know.
    """

    path: Path
    info: RunInfo
    counts: Mapping[str, Counts]
    boards: Mapping[str, str]
    beliefs: Mapping[str, BeliefTally]
    notes: Sequence[str]

    @classmethod
    def read(cls, path: Path) -> LoggedRun:
        """Reads a run folder.

        Raises:
            InputError: if it holds none, or its tasks have metrics that there are not.
        """
        folder = RunFolder(path)
        log = RunLog(folder)
        for task in log.info.tasks:
            _check_metrics(folder, task)
        tallies: dict[str, dict[str, tuple[int, int]]] = {task.hash: {} for task in log.info.tasks}
        beliefs = {
            task.hash: tally
            for task in log.plan.tasks
            if (tally := belief_tally(task, log.plan.boards(task)))
        }
        keys: dict[str, str] = {}
        for episode, scored in log.episodes():
            if scored:
                boards = tallies[episode.task_hash]
                n, c = boards.get(episode.instance, (0, 0))
                boards[episode.instance] = (n + 1, c + episode.success)
                keys[episode.instance] = episode.board_key
                if episode.task_hash in beliefs:
                    beliefs[episode.task_hash].add(episode)
        return cls(path, log.info, tallies, keys, beliefs, tuple(_notes(folder, log)))


def _check_metrics(folder: RunFolder, task: RunTask) -> None:
    """Makes sure that there are the metrics that `run.json` gives a task.

    Raises:
        InputError: if not.
    """
    try:
        for metric in _metrics(task):
            if metric not in (BELIEF, ACCURACY):
                metric_of(metric)
    except InputError as error:
        raise InputError(f"{folder.info_path}: task {task.task!r}: {error}") from None


def _metrics(task: RunTask) -> list[str]:
    """Returns the metrics that `run.json` gives a task; whatever stands there, as text."""
    names: Any = task.config.get("metrics", [])
    return list(map(str, cast("list[Any]", names) if isinstance(names, list) else [names]))


def _notes(folder: RunFolder, log: RunLog) -> Iterator[str]:
    """Yields what a reader should know of a run whose log was read."""
    for _, why in log.lost:
        yield f"{why}; all of its boards in the log count"
    if (bad := log.bad.told(folder.episodes_path)) is not None:
        yield bad
    if log.owed:
        yield (
            f"{log.owed} of {counted(log.total, 'episode')} still owed and not in these figures;"
            f" evaluate with --resume --output {typed(folder.path)}"
        )


@dataclass(frozen=True)
class Comparison:
    """One metric of two tasks over the boards that both runs played often enough.

    Attributes:
        differences: settings in which the two tasks differ, as `key: first -> second`.
        beliefs: of the first and of the second, for the metric `belief`, which itself is the share
            of turns with an exact prediction.
    """

    task: str
    metric: str
    first_score: Estimate
    second_score: Estimate
    result: Paired
    differences: tuple[str, ...]
    beliefs: tuple[Belief, Belief] | None = None


def compare(first: LoggedRun, second: LoggedRun) -> list[Comparison]:
    """Compares every task of one run with its counterpart in the other.

    A counterpart has the same name, or else, where a run played something under one name only
    (two formats of the same boards, say), shares boards with it.

    Raises:
        InputError: if the runs have no boards in common, or one has no episode yet.
    """
    for run in (first, second):
        if not any(run.counts.values()):
            raise InputError(f"{run.path} has no complete episode yet")
    found = [
        comparison
        for one, other in _counterparts(first, second)
        for comparison in _compare_tasks(first, one, second, other)
    ]
    if not found:
        one, other = (", ".join(task.task for task in run.info.tasks) for run in (first, second))
        raise InputError(
            f"{first.path} and {second.path} have no boards in common: the first played {one},"
            f" the second {other}"
        )
    return found


def _counterparts(first: LoggedRun, second: LoggedRun) -> Iterator[tuple[RunTask, RunTask]]:
    by_name = {task.task: task for task in second.info.tasks}
    named = {task.task for task in first.info.tasks} & set(by_name)
    for task in first.info.tasks:
        if task.task in named:
            yield task, by_name[task.task]
            continue
        for other in second.info.tasks:
            shared = set(first.counts[task.hash]) & set(second.counts[other.hash])
            if other.task not in named and shared:
                yield task, other


def _name(one: RunTask, other: RunTask) -> str:
    return one.task if one.task == other.task else f"{one.task} : {other.task}"


def _compare_tasks(
    first: LoggedRun, one: RunTask, second: LoggedRun, other: RunTask
) -> Iterator[Comparison]:
    name = _name(one, other)
    differences = tuple(_differences(one.config, other.config))
    for metric in _metrics(one):
        beliefs = None
        if metric == BELIEF:
            tallies = first.beliefs.get(one.hash), second.beliefs.get(other.hash)
            if tallies[0] is None or tallies[1] is None:
                continue
            beliefs = tallies[0].result(), tallies[1].result()
            sides = _predictions(tallies[0], tallies[1])
        else:
            sides = _scores(metric, first, one, second, other)
        if sides[0].values:
            yield Comparison(
                task=name,
                metric=metric,
                first_score=sides[0].score(),
                second_score=sides[1].score(),
                result=_paired(*sides),
                differences=differences,
                beliefs=beliefs,
            )


def notes(first: LoggedRun, second: LoggedRun) -> list[str]:
    """Returns what a reader of the comparison of two runs should know, a line each."""
    sides = (("first", first), ("second", second))
    told = [f"{name}: {note}" for name, run in sides for note in run.notes]
    matched = list(_counterparts(first, second))
    for (name, run), side in zip(sides, (0, 1), strict=True):
        compared = {pair[side].task for pair in matched}
        if alone := [task.task for task in run.info.tasks if task.task not in compared]:
            told.append(
                f"{name}: not compared, as the other has no counterpart: {', '.join(alone)}"
            )
        if unpaired := [text for pair in matched if (text := _unpaired(first, second, pair, side))]:
            told.append(
                f"{name}: not compared, as the other did not play them: {', '.join(unpaired)}"
            )
    seeds = first.info.salt, second.info.salt
    if seeds[0] != seeds[1]:
        told.append(
            f"the seeds differ ({seeds[0]!r} and {seeds[1]!r}): the boards are the same, the random"
            " draws on them are not"
        )
    return told


def _unpaired(
    first: LoggedRun, second: LoggedRun, pair: tuple[RunTask, RunTask], side: int
) -> str | None:
    """Returns how much of two tasks one side alone has played, such as `3 boards of sokoban`."""
    played = [set(run.counts[task.hash]) for run, task in zip((first, second), pair, strict=True)]
    alone = len(played[side] - played[1 - side])
    noun = "question" if ACCURACY in _metrics(pair[side]) else "board"
    return f"{counted(alone, noun)} of {_name(*pair)}" if alone else None


@dataclass(frozen=True)
class _Side:
    """What one of the two runs has of the boards that are common.

    The order of boards is their names', not the one in which a log has them: a permutation test
    draws by place, and says the same whichever run comes first and however they were played.

    Attributes:
        values: one a board. samples: how many episodes, items or turns those are.
        weights: how many of these each board has, where each of them counts the same in the score;
            None where each board does.
    """

    values: Sequence[float]
    samples: int
    weights: Sequence[float] | None = None

    @classmethod
    def of_shares(cls, counts: Sequence[tuple[int, int]]) -> _Side:
        """Returns the side of a share of samples: how many each board has, and how many right."""
        weights = [n for n, _ in counts]
        return cls([right / n for n, right in counts], sum(weights), weights)

    def score(self) -> Estimate:
        return clustered(self.values, self.samples, self.weights)


def _paired(first: _Side, second: _Side) -> Paired:
    if first.weights is None or second.weights is None:
        return paired(first.values, second.values)
    return paired(first.values, second.values, (first.weights, second.weights))


def _predictions(first: BeliefTally, second: BeliefTally) -> tuple[_Side, _Side]:
    one, other = first.exact_predictions(), second.exact_predictions()
    common = sorted(board for board in set(one) & set(other) if one[board][0] and other[board][0])
    return _Side.of_shares([one[b] for b in common]), _Side.of_shares([other[b] for b in common])


def _scores(
    metric: str, first: LoggedRun, one: RunTask, second: LoggedRun, other: RunTask
) -> tuple[_Side, _Side]:
    one_counts, other_counts = first.counts[one.hash], second.counts[other.hash]
    if metric == ACCURACY:
        return _accuracies(first, one_counts, other_counts)
    of = metric_of(metric)
    boards = [
        board
        for board, (n, _) in sorted(one_counts.items())
        if n >= of.k and other_counts.get(board, (0, 0))[0] >= of.k
    ]

    def side(counts: Counts) -> _Side:
        values = [of.of_samples(*counts[board]) for board in boards]
        return _Side(values, sum(counts[board][0] for board in boards))

    return side(one_counts), side(other_counts)


def _accuracies(run: LoggedRun, one: Counts, other: Counts) -> tuple[_Side, _Side]:
    """Takes together the items that are about one board: they are not independent."""

    def side(counts: Counts) -> _Side:
        boards: dict[str, tuple[int, int]] = {}
        for item in sorted(set(one) & set(other)):
            n, right = boards.get(run.boards[item], (0, 0))
            boards[run.boards[item]] = n + counts[item][0], right + counts[item][1]
        return _Side.of_shares(list(boards.values()))

    return side(one), side(other)


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    before, after, untold = flatten(first), flatten(second), UNMEASURED | {"task"}
    for key in dict.fromkeys([*before, *after]):
        if key[0] not in untold and before.get(key) != after.get(key):
            name, was, is_now = ".".join(map(str, key)), before.get(key), after.get(key)
            yield f"{name}: {_short(was)} -> {_short(is_now)}"


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:37]}.."


def format_comparisons(comparisons: Sequence[Comparison], style: str = "simple") -> str:
    """Returns comparisons as a table, followed by what differs between the tasks compared."""
    headers = ["task", "metric", "boards", "first", "second", "difference", "p"]
    rows = [
        [
            c.task,
            c.metric,
            c.result.boards,
            with_interval(c.first_score),
            with_interval(c.second_score),
            with_interval(c.result.difference, sign=True),
            "-" if c.result.p_value != c.result.p_value else f"{c.result.p_value:.4f}",
        ]
        for c in comparisons
    ]
    lines = [tabulated(headers, rows, style)]
    for task in dict.fromkeys(c.task for c in comparisons):
        differences = next(c.differences for c in comparisons if c.task == task)
        if differences:
            lines.append(f"\nDifferences in {task}: {'; '.join(differences)}")
    believed = [c for c in comparisons if c.beliefs is not None]
    if believed:
        lines.append(f"\n{_BELIEF_LEGEND}\n\n{_format_beliefs(believed, style)}")
    return "\n".join(lines)


_BELIEF_LEGEND = """\
`belief` above is the share of turns with an exact prediction. Below, for each statement: how often
it was made, how often it was exact, its agreement by cell and by object (F1), how often it was
exact in turns that changed the state, what repeating the shown state would get, the best exact
share that predictions can have, how often the predicted state is possible, and how probable it is.
Then how often the episode succeeds, over turns with an exact prediction and without one, and the
difference."""


def _format_beliefs(comparisons: Sequence[Comparison], style: str) -> str:
    beliefs = [
        (comparison.task, run, belief)
        for comparison in comparisons
        for run, belief in zip(("first", "second"), comparison.beliefs or (), strict=False)
    ]
    stated = tabulated(
        [
            *("task", "run", "statement", "stated", "exact", "cells", "F1"),
            *("of changed", "copied", "best", "possible", "probable"),
        ],
        [
            [task, run, *cells]
            for task, run, belief in beliefs
            for cells in (
                ["observation", *_statement(belief.observation), *("-", "-"), "100.0", "-", "-"],
                [
                    "prediction",
                    *_statement(belief.prediction),
                    with_interval(belief.changed),
                    percent(belief.copied),
                    percent(belief.ceiling),
                    percent(belief.supported),
                    percent(belief.probability),
                ],
            )
        ],
        style,
    )
    pays = tabulated(
        ["task", "run", "turns", "if right", "if wrong", "gain"],
        [
            [
                task,
                run,
                belief.turns,
                with_interval(belief.success_if_right),
                with_interval(belief.success_if_wrong),
                with_interval(belief.gain, sign=True),
            ]
            for task, run, belief in beliefs
        ],
        style,
    )
    return f"{stated}\n\n{pays}"


def _statement(statement: Statement) -> list[str]:
    return [
        percent(statement.stated),
        with_interval(statement.exact),
        percent(statement.cell_accuracy),
        percent(statement.object_f1),
    ]
