"""What the leaderboard is made of: submissions, and figures that others have reported."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spa_bench.errors import InputError, first_complaint
from spa_bench.metrics.interval import Estimate
from spa_bench.probes.world import ProbeWorld
from spa_bench.registry import Registry
from spa_bench.results.bounds import BoardBounds, board_bounds, ceiling_of, closed_loop_of, floor_of
from spa_bench.results.probe import ACCURACY
from spa_bench.results.results import Results, Score, TaskResult, between
from spa_bench.runner.record import Episode
from spa_bench.submission.folder import MB, SubmissionFolder, folders_in
from spa_bench.submission.schema import Badge, Submission, Verification
from spa_bench.submission.training import Step
from spa_bench.task import Task

Counts = Mapping[str, Mapping[str, tuple[int, int]]]
"""Task -> board -> (complete episodes, successes)."""

_MOST_BYTES = 20_000 * MB


@dataclass(frozen=True)
class Entry:
    """A submission, as far as it has been checked; of its `training` only the form has been."""

    folder: SubmissionFolder
    submission: Submission
    results: Results
    verification: Verification | None
    training: Sequence[Step]

    @property
    def slug(self) -> str:
        """The name of the submission, which is safe in a path."""
        return self.submission.name

    @property
    def badge(self) -> Badge:
        """What is known of its figures."""
        return "reported" if self.verification is None else self.verification.badge

    def episodes(self) -> Iterator[Episode]:
        """Yields its log, which somebody must have verified."""
        return (episode for _, episode in self.folder.episodes(_MOST_BYTES))

    def result(self, task: Task) -> TaskResult | None:
        """Returns its result on exactly this task."""
        return next((t for t in self.results.tasks if t.task_hash == task.hash), None)


@dataclass(frozen=True)
class Found:
    """Submissions, and those that cannot be shown, with the reason."""

    entries: list[Entry]
    problems: list[str]


def read_entries(*folders: Path) -> Found:
    """Reads every submission below the folders; what is wrong with one keeps no other out.

    Raises:
        InputError: if there is no such folder.
    """
    found = Found([], [])
    first: dict[str, Path] = {}
    for path in (path for folder in folders for path in folders_in(folder)):
        try:
            entry = _entry(SubmissionFolder(path))
            if entry.slug in first:
                raise InputError(f"{path}: {first[entry.slug]} has the same name")
        except InputError as error:
            found.problems.append(str(error))
        else:
            first[entry.slug] = path
            found.entries.append(entry)
    return found


def _entry(folder: SubmissionFolder) -> Entry:
    folder.check()
    submission = folder.submission()
    if submission.name != folder.name:
        raise InputError(f"{folder.path}: submission.json calls it {submission.name!r}")
    results = folder.results()
    where = f"{folder.path}/results.json"
    _check_figures(where, results.model_dump())
    told = [(task.task, task.task_hash) for task in results.tasks]
    if told != [(task.task, task.hash) for task in submission.run.tasks]:
        raise InputError(f"{where}: its tasks are not those of submission.json; pack the run again")
    return Entry(folder, submission, results, folder.verification(), folder.training_log())


_SHARES = frozenset({"value", "low", "high", "floor", "ceiling", "closed_loop", "stated"})
_MOST = 1e15
_LONGEST = 100
_MOST_PARTS = 200


def _check_figures(where: str, part: Any) -> None:
    """Refuses numbers, names and lists that no run can have: pages would have to lay them out.

    Raises:
        InputError: for the first one.
    """
    if isinstance(part, dict | list) and len(cast(Any, part)) > _MOST_PARTS:
        raise InputError(f"{where}: holds a list of more than {_MOST_PARTS} parts")
    if isinstance(part, dict):
        for key, value in cast(dict[str, Any], part).items():
            if key in _SHARES and isinstance(value, float) and not -1 <= value <= 1:
                raise InputError(f"{where}: {key} is {value:.6g}, which no share can be")
            if len(key) > _LONGEST:
                raise InputError(f"{where}: holds a name of more than {_LONGEST} characters")
            _check_figures(where, value)
    elif isinstance(part, list):
        for value in cast(list[Any], part):
            _check_figures(where, value)
    elif isinstance(part, int | float) and not abs(part) < _MOST:
        raise InputError(f"{where}: holds a number that no run can have")


# -- reported figures ------------------------------------------------------------------------------


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


Percent = Annotated[float, Field(ge=0, le=100)]


class ReportedRow(_Strict):
    """A line of somebody's table; `scores` holds Pass@1 and Pass@8 in percent, by task."""

    model: str
    method: str
    parameters: int = Field(ge=1)
    scores: dict[str, tuple[Percent, Percent]]


class Source(_Strict):
    """Where figures were published."""

    title: str
    short: str
    url: Annotated[str, Field(pattern=r"^https://[^\s<>\"']+$")]
    year: int


class Reported(_Strict):
    """A file of figures that nobody here has checked.

    Attributes:
        notes: what a reader must know, by task; `*` concerns all.
    """

    schema_: Literal["spa-bench/reported/1"] = Field(alias="schema")
    source: Source
    notes: dict[str, str] = {}
    rows: list[ReportedRow]


def read_reported(folder: Path) -> list[Reported]:
    """Reads the files of reported figures in a folder; none if there is no such folder.

    Raises:
        InputError: for a file that is none.
    """
    found: list[Reported] = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(Reported.model_validate_json(path.read_bytes()))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        except ValidationError as error:
            raise InputError(f"{path}: {first_complaint(error)}") from None
    return found


# -- tasks -----------------------------------------------------------------------------------------


def same_board(task: Task) -> list[list[str]]:
    """Returns a task's instances, together those that are about one board.

    The items of a probe about one board are not independent, and count as one; the boards of
    episodes stand alone.
    """
    found: dict[str, list[str]] = {}
    probe = isinstance(task.environment, ProbeWorld)
    for board in task.boards[0]:
        found.setdefault(board.board_key if probe else board.id, []).append(board.id)
    return list(found.values())


@dataclass(frozen=True)
class MeasuredTask:
    """A task with its bounds, computed here and not taken from any submission.

    Attributes:
        main: whether it is one of those that make the overall score.
    """

    task: Task
    main: bool

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @property
    def probe(self) -> str | None:
        """The kind of probe, such as `transition` or, ranked, `transition ranked`."""
        world = self.task.environment
        if not isinstance(world, ProbeWorld):
            return None
        return f"{world.probe.name} ranked" if world.ranking else world.probe.name

    def floor(self, metric: str) -> float:
        """Returns what uniformly random actions get; NaN where unknown."""
        return floor_of(metric, self._bounds).value

    def ceiling(self, metric: str) -> float:
        """Returns what the best policy under all limits gets; NaN where unknown."""
        return ceiling_of(metric, self._bounds)

    def closed_loop(self, metric: str) -> float:
        """Returns what the best policy would get that looks before every action."""
        return closed_loop_of(metric, self._bounds)

    def between_bounds(self, metric: str, score: Score) -> Score:
        """Returns a score between the bounds of this task."""
        name = "pass@1" if metric == ACCURACY else metric  # an item is answered once
        figures = (score.value, score.low, score.high)
        estimate = Estimate(*(math.nan if figure is None else figure for figure in figures))
        return between(name, estimate, self._bounds)

    @cached_property
    def _bounds(self) -> list[BoardBounds]:
        return list(board_bounds(self.task, self.task.boards[0]).values())


def measured_tasks(names: list[str], main: str) -> list[MeasuredTask]:
    """Returns built-in tasks, those of the group `main` first; unknown names are left out."""
    registry = _builtin()
    known = set(registry.task_names())
    mains = [task.name for task in registry.resolve([main])]
    others = sorted({name for name in names if name in known} - set(mains))
    return [MeasuredTask(registry.load(name), name in mains) for name in (*mains, *others)]


@cache
def written_probes() -> frozenset[str]:
    """Returns the names of all probes whose answers are written: the group `world_model`."""
    entries = _builtin().entries.values()
    return frozenset(entry.name for entry in entries if "probe" in entry.tags)


@cache
def _builtin() -> Registry:
    return Registry.with_paths(())
