"""Packs a run into the folder of a submission: complete, unmodified, scrubbed, in fixed order."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import tempfile
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, TypeAlias

from pydantic import ValidationError

from spa_bench.errors import InputError, SpaBenchError
from spa_bench.registry import Registry
from spa_bench.results.results import Results, compute
from spa_bench.results.table import format_results
from spa_bench.runner.log import RunFolder, RunInfo
from spa_bench.runner.plan import Plan
from spa_bench.runner.record import Episode, episode_adapter, to_line
from spa_bench.submission import THIS_VERSION
from spa_bench.submission.folder import (
    CHECKSUMS,
    EPISODES,
    TRAINING_BOARDS,
    TRAINING_LOG,
    SubmissionFolder,
    briefly,
)
from spa_bench.submission.order import Order
from spa_bench.submission.schema import About, Submission, SubmittedRun, SubmittedTask
from spa_bench.submission.scrub import Scrubber
from spa_bench.submission.training import Step, to_lines
from spa_bench.task import Task

TrainingBoards: TypeAlias = Mapping[str, frozenset[str]]
"""World, such as `sokoban/6x6-1/ragen` -> short keys of boards."""


def pack(
    run: RunFolder,
    about: About,
    output: Path,
    registry: Registry,
    training: TrainingBoards | None = None,
    scrubber: Scrubber | None = None,
    training_log: Sequence[Step] = (),
) -> SubmissionFolder:
    """Writes the submission of a run into a new folder, whole or not at all.

    Args:
        about: what cannot be known from the run.
        output: the folder of the submission, named as `about` says.
        registry: of the tasks that may be submitted: the built-in ones.
        training: the boards that the model was trained on, where `about` says they are listed.
        training_log: how the training went, where that is to be shown.

    Raises:
        InputError: for a run that is not complete, whose tasks were changed, or that holds a key
            in a model's reply; and for a folder that is there already.
    """
    if os.path.lexists(output):
        raise InputError(f"{output} is there already; choose another --output or remove it")
    if output.name != about.name:
        raise InputError(
            f"--output {output}: a submission's folder has its name, which is {about.name}; give"
            f" --name {output.name}, or another folder"
        )
    if about.training == "listed" and not training:
        raise InputError(
            "training: listed needs the boards; give --checkpoint FOLDER, one that holds"
            " training_boards.json.gz"
        )
    if training and about.training != "listed":
        raise InputError("training boards go with `training: listed`, and with nothing else")
    info = run.read_info()
    plan = _plan(run, info, registry)
    places = _Places.of(run, plan)
    scrubber = scrubber or Scrubber.of_this_machine()
    try:
        submission = Submission(**dict(about), run=_run(info, plan, scrubber))
    except ValidationError as error:
        raise InputError(f"{run.path}: cannot be submitted: {briefly(error)}") from None
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}."))
    except OSError as error:
        raise InputError(f"{output}: cannot be made: {error.strerror}") from None
    try:
        _write(draft, submission, plan, places.episodes(run, scrubber), training, training_log)
        SubmissionFolder(draft).check()
        draft.chmod(0o755)
        draft.rename(output)
    except OSError as error:
        raise SpaBenchError(f"{output}: cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return SubmissionFolder(output)


def check_whole(run: RunFolder, info: RunInfo) -> None:
    """Refuses a run that was not to be complete.

    Raises:
        InputError: if it has a limit, or is a shard.
    """
    if info.limit is not None or info.shard is not None:
        raise InputError(
            f"{run.path}: a partial run (--limit or --shard); only complete runs can be packed"
        )


def _plan(run: RunFolder, info: RunInfo, registry: Registry) -> Plan:
    """Returns what a complete run of the same tasks holds.

    Raises:
        InputError: for a task that is not exactly a built-in one, and for a partial run.
    """
    tasks: list[Task] = []
    for played in info.tasks:
        task = registry.load(played.task) if played.task in registry.task_names() else None
        if task is None or task.hash != played.hash:
            raise InputError(
                f"{run.path}: task {played.task!r} is not the built-in one of spa-bench"
                f" {THIS_VERSION}: only unmodified tasks can be compared"
            )
        tasks.append(task)
    check_whole(run, info)
    return Plan(tasks, [task.repeats for task in info.tasks], info.salt)


def _run(info: RunInfo, plan: Plan, scrubber: Scrubber) -> SubmittedRun:
    return SubmittedRun(
        created=info.created,
        salt=info.salt,
        model=scrubber.text(info.model.name),
        identity=scrubber.value(info.model.identity),
        capabilities=info.model.capabilities,
        price=info.price,
        versions=info.versions,
        tasks=[
            SubmittedTask(
                task=task.name, hash=task.hash, repeats=repeats, boards=len(plan.boards(task))
            )
            for task, repeats in zip(plan.tasks, plan.repeats, strict=True)
        ],
    )


@dataclass
class _Places:
    """Where in a log the episodes of a plan begin, so that they can be read in another order.

    Attributes:
        complete: for each place in the order, the offset of the line that is scored, or -1.
        broken: offsets of the lines of broken episodes, by place.
    """

    order: Order
    complete: array[int]
    broken: dict[int, list[int]] = field(default_factory=dict[int, list[int]])

    @classmethod
    def of(cls, run: RunFolder, plan: Plan) -> _Places:
        """Reads a log once.

        Raises:
            InputError: if an episode of the plan is not in it.
        """
        found = cls(Order(plan), array("q", [-1]) * plan.total)
        offset = 0
        with suppress(FileNotFoundError), run.episodes_path.open("rb") as log:  # none: all is owed
            for line in log:
                found._add(line, offset)
                offset += len(line)
        owed = found.complete.count(-1)
        if owed:
            raise InputError(
                f"{run.path}: {owed:,} of {plan.total:,} episodes are not done; finish the run"
                " first: `spa-bench evaluate .. --resume`"
            )
        return found

    def _add(self, line: bytes, offset: int) -> None:
        try:
            episode = episode_adapter().validate_json(line)
        except ValidationError:
            return  # torn or foreign: `evaluate` has said so
        planned = self.order.place(episode)
        if planned is None:
            return
        place, _ = planned
        if episode.status != "complete":
            self.broken.setdefault(place, []).append(offset)
        elif self.complete[place] < 0:
            self.complete[place] = offset

    def episodes(self, run: RunFolder, scrubber: Scrubber) -> Iterator[Episode]:
        """Yields the episodes in order, scrubbed; broken ones before the complete one.

        Raises:
            InputError: if a model's text holds a key of this process.
        """
        with run.episodes_path.open("rb") as log:
            for place, offset in enumerate(self.complete):
                for start in (*self.broken.get(place, ()), offset):
                    log.seek(start)
                    yield _scrubbed(episode_adapter().validate_json(log.readline()), scrubber)


def _scrubbed(episode: Episode, scrubber: Scrubber) -> Episode:
    for number, turn in enumerate(episode.turns, 1):
        # what a model wrote cannot be changed: every later prompt holds it
        if scrubber.holds_secret(f"{turn.reply}\n{turn.reasoning or ''}"):
            raise InputError(
                f"{episode.instance} repeat {episode.repeat}, turn {number}: the reply holds the"
                " value of a key of this machine's environment; such a run cannot be published"
            )
    turns = tuple(replace(turn, tokens=None) for turn in episode.turns)
    error = None if episode.error is None else scrubber.text(episode.error)
    return replace(episode, turns=turns, error=error)


def _write(
    folder: Path,
    submission: Submission,
    plan: Plan,
    episodes: Iterator[Episode],
    training: TrainingBoards | None,
    training_log: Sequence[Step],
) -> None:
    with (folder / EPISODES).open("wb") as file, _gzipped(file) as log:

        def written() -> Iterator[Episode]:
            for episode in episodes:
                log.write(to_line(episode))
                yield episode

        results = compute(plan, submission.run.model, written(), submission.run.price)
    if training:
        listed = {world: sorted(keys) for world, keys in sorted(training.items())}
        with (folder / TRAINING_BOARDS).open("wb") as file, _gzipped(file) as boards:
            boards.write(json.dumps(listed).encode())
    if training_log:
        (folder / TRAINING_LOG).write_bytes(to_lines(training_log))
    for name, model in (("submission.json", submission), ("results.json", results)):
        (folder / name).write_text(
            model.model_dump_json(by_alias=True, indent=1) + "\n", encoding="utf-8"
        )
    (folder / "README.md").write_text(readme(submission, results), encoding="utf-8")
    with (folder / CHECKSUMS).open("x", encoding="utf-8") as sums:
        for path in sorted(folder.iterdir()):
            if path.name != CHECKSUMS:
                sums.write(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")


def _gzipped(file: BinaryIO) -> gzip.GzipFile:
    """Opens a gzip file that holds no name and no time: equal contents make equal files."""
    return gzip.GzipFile("", "wb", fileobj=file, mtime=0)


def readme(submission: Submission, results: Results) -> str:
    """Returns the submission's README: what its JSON says, for people."""
    about = {
        "model": submission.model,
        "provider": submission.provider,
        "method": submission.method,
        "parameters": None if submission.parameters is None else f"{submission.parameters:,}",
        "base model": submission.base_model,
        "training boards": submission.training,
        "date": submission.date.isoformat(),
        "submitted by": submission.submitted_by,
        "notes": submission.notes,
    }
    lines = [f"- {key}: {_plain(value)}" for key, value in about.items() if value is not None]
    lines += [f"- {_plain(key)}: <{link}>" for key, link in submission.links.items()]
    return (
        f"# {_plain(submission.model)}\n\n"
        + "\n".join(lines)
        + f"\n\n{format_results([results], 'markdown')}\n\n"
        + "As submitted. What a verifier found is in `verification.json`, and"
        + " `spa-bench leaderboard verify` finds it again.\n"
    )


def _plain(text: str) -> str:
    """Returns text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>#!|~&])", r"\\\1", text)
