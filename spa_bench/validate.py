"""Checks task files for all that can be known before a run; every problem with file and line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spa_bench import yaml_file
from spa_bench.environments.contract import breach, unsteady_board
from spa_bench.errors import InputError, PluginError, plugin_code
from spa_bench.metrics.success import metric_of
from spa_bench.registry import Registry
from spa_bench.results.belief import BELIEF
from spa_bench.results.bounds import board_bounds
from spa_bench.results.probe import ACCURACY
from spa_bench.task import Task, why_none
from spa_bench.task_file import TaskFileError, kind_of, load_task, own_name, read_task_file

_STEADY = 3
"""Boards that are made twice: chance may give the same board once."""


@dataclass
class Report:
    """What was checked, and what is wrong."""

    tasks: int = 0
    groups: int = 0
    boards: int = 0
    problems: list[str] = field(default_factory=list[str])


def validate_all(targets: Sequence[str], include_paths: Sequence[Path] = ()) -> Report:
    """Checks files, folders and names; goes on after a problem, so that all are told at once.

    Raises:
        InputError: for a target that is nothing.
    """
    registry = Registry.with_paths(include_paths)
    paths: list[Path] = []
    included: set[Path] = set()
    for target in targets:
        path = Path(target)
        if path.is_dir():
            found = sorted(p for p in path.rglob("*.yaml") if not p.name.startswith("_"))
            if not found:
                raise InputError(f"{path}: no task files (*.yaml) in this folder")
            paths += found
            included.update(found)
        elif path.suffix == ".yaml":
            paths.append(path)
        else:
            paths += [
                registry.entries[task.config.task].path for task in registry.resolve([target])
            ]
    paths = list(dict.fromkeys(paths))
    known = registry.with_files(paths)
    installed = {name: entry.path for name, entry in registry.entries.items()}
    report, names = Report(), dict[str, Path]()
    for path in paths:
        # a folder is included, beside all tasks there are; a file can be played by its path
        taken = installed if path in included else {}
        try:
            _check_file(path, names, taken, known, report)
        except TaskFileError as error:
            report.problems += error.problems
        except (InputError, PluginError) as problem:
            report.problems.append(str(problem))
    report.problems = list(dict.fromkeys(report.problems))
    return report


def _check_file(
    path: Path, names: dict[str, Path], taken: Mapping[str, Path], known: Registry, report: Report
) -> None:
    document = read_task_file(path)
    kind = kind_of(document)
    name = own_name(document)
    other = names.setdefault(name, taken.get(name, path))
    if os.path.realpath(other) != os.path.realpath(path):
        report.problems.append(f"{document.locate((kind,))}: the name {name!r} is taken by {other}")
    if kind == "group":
        report.problems += known.problems_of_group(path)
        report.groups += 1
        return
    task = load_task(path)
    report.tasks += 1
    _check_words(task, document, report)
    _check_boards(task, document, report)


def _check_words(task: Task, document: yaml_file.Document, report: Report) -> None:
    config = task.config
    if "{state}" not in config.prompt.turn:
        where = document.locate(("prompt", "turn"))
        report.problems.append(
            f"{where}: prompt.turn: no {{state}}: the model never sees the board"
        )
    places = [document.locate((key,)) for key in ("metrics", "repeats")]
    own = [place for place in places if place.startswith(f"{document.path}:")]
    for metric in config.metrics:
        if metric not in (BELIEF, ACCURACY) and (k := metric_of(metric).k) > config.repeats:
            report.problems.append(
                f"{(own or places)[0]}: metrics: {metric} needs {k} episodes a board;"
                f" `repeats` is {config.repeats}"
            )


def _check_boards(task: Task, document: yaml_file.Document, report: Report) -> None:
    boards, skipped = task.boards
    where = document.locate(("instances", "seeds"))
    if not boards:
        report.problems.append(f"{where}: no board: {why_none(skipped)}")
    report.boards += len(boards)
    with plugin_code(f"task {task.name!r}: its environment"):
        world = task.environment
        wrongs = [unsteady_board(world, board.seed) for board in boards[:_STEADY]]
        wrongs += [breach(world, board.state) for board in boards[:1]]
        for wrong in filter(None, wrongs):
            report.problems.append(f"{document.locate(('environment',))}: environment: {wrong}")
        for board in boards:
            if world.is_over(board.state):
                report.problems.append(
                    f"{where}: the board of seed {board.seed} is over before the first action;"
                    " leave the seed out"
                )
    if task.config.instances.split == "paper":
        if task.config.environment.get("generator", "ragen") == "ragen":
            return  # boards as they were published, also those out of reach: the ceiling says so
        report.problems.append(
            f"{document.locate(('instances', 'split'))}: instances.split: `paper` is for the"
            " paper's boards, which generator: ragen makes; name a split of your own seeds"
        )
    bounds = board_bounds(task, boards)
    for board in boards:
        if bounds[board.id].ceiling <= 0:
            report.problems.append(
                f"{where}: the board of seed {board.seed} cannot be solved within the task's"
                " limits; raise them, or leave the seed out"
            )
