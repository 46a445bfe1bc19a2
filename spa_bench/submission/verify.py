"""Verifies a submission by replay: boards, actions, prompts, readings and figures, all anew.

What the submission says is compared with what follows from the rules and the recorded replies.
Replay proves that these replies lead to these figures. It does not prove who wrote them, nor what
only a backend can know: stop reasons, tokens, seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from spa_bench.checkpoint import overlap
from spa_bench.errors import InputError, nearest
from spa_bench.registry import Registry
from spa_bench.results.results import Results, compute
from spa_bench.runner.log import write_atomically
from spa_bench.runner.plan import Plan
from spa_bench.submission import THIS_VERSION
from spa_bench.submission.differences import Differences, EnoughError
from spa_bench.submission.flags import flags
from spa_bench.submission.folder import VERIFICATION, SubmissionFolder, folders_in
from spa_bench.submission.replayed_log import ReplayedLog
from spa_bench.submission.schema import Submission, SubmittedTask, Verification
from spa_bench.task import Task


@dataclass(frozen=True)
class Report:
    """What a verifier found.

    Attributes:
        differences: a line each, at most `MOST_DIFFERENCES`; a submission with any has no badge.
        stopped: whether there may be more of them.
        plan: of a complete run of the submission's tasks; None if one is not ours.
        results: recomputed; None where the tasks or the log could not be replayed to their end.
        verification: None with any difference.
        seconds: that it took.
    """

    submission: Submission
    differences: list[str]
    stopped: bool
    plan: Plan | None
    results: Results | None
    verification: Verification | None
    episodes: int
    turns: int
    seconds: float


def verify(
    folder: SubmissionFolder, registry: Registry, others: Mapping[str, Sequence[str]] | None = None
) -> Report:
    """Computes a submission anew and compares.

    Args:
        registry: of the tasks that may be submitted.
        others: the samples of transcripts of other submissions, by name.

    Raises:
        InputError: for a folder that is no submission at all.
    """
    started = time.perf_counter()
    folder.check()
    submission, stated = folder.submission(), folder.results()
    training = folder.training_boards()
    folder.training_log()  # nothing of it can be computed anew, but it has to be one
    found, plan, results = Differences(), None, None
    replay: ReplayedLog | None = None
    verification: Verification | None = None
    stopped = False
    try:
        _check_statements(submission, folder, bool(training), found)
        plan = _plan(submission, registry, found)
        if plan is not None:
            run = submission.run
            replay = ReplayedLog(folder, plan, run.capabilities, found)
            results = compute(plan, run.model, replay.episodes(), run.price)
            if not replay.lacking:
                _compare_results(stated, results, found)
            if not found.lines:
                shares = _shares(plan, submission, training)
                verification = Verification(
                    submission=folder.digest(),
                    badge="replayed",
                    verified=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
                    spa_bench=THIS_VERSION,
                    episodes=replay.count,
                    turns=replay.turns,
                    overlap=shares,
                    flags=list(
                        flags(submission, results, replay.transcripts, shares, others or {})
                    ),
                    transcripts=replay.transcripts.sample(),
                )
    except EnoughError:
        stopped = True
    return Report(
        submission=submission,
        differences=found.lines,
        stopped=stopped,
        plan=plan,
        results=results,
        verification=verification,
        episodes=replay.count if replay else 0,
        turns=replay.turns if replay else 0,
        seconds=time.perf_counter() - started,
    )


def write_verification(folder: SubmissionFolder, verification: Verification | None) -> None:
    """Writes what was found beside the submission; with None, removes what was there.

    Nothing is removed through a link to a folder: what it leads to was not looked at.
    """
    path = folder.path / VERIFICATION
    if verification is None:
        if path.is_file() and not folder.path.is_symlink():
            path.unlink()
    else:
        write_atomically(
            path, verification.model_dump_json(by_alias=True, indent=1).encode() + b"\n"
        )


def with_earlier_badge(folder: SubmissionFolder, replayed: Verification) -> Verification:
    """Returns a verification by replay, with what weights said of exactly these files before."""
    try:
        earlier = folder.verification()
    except InputError:
        return replayed  # whatever was there, it is written anew
    if earlier is None or earlier.authorship is None:
        return replayed
    found = [flag for flag in earlier.flags if flag.kind == "unlike_weights"]
    return replayed.model_copy(
        update={
            "badge": earlier.badge,
            "authorship": earlier.authorship,
            "flags": [*replayed.flags, *found],
        }
    )


def samples_beside(folder: SubmissionFolder, *more: Path) -> dict[str, Sequence[str]]:
    """Returns the samples of transcripts of the verified submissions in the same parent folder, and
    in more folders of submissions.

    Raises:
        InputError: if there is no such folder.
    """
    samples: dict[str, Sequence[str]] = {}
    itself = folder.path.resolve()
    parents = (folder.path.absolute().parent, *more)
    for path in (path for parent in parents for path in folders_in(parent)):
        if path.resolve() == itself:
            continue
        other = SubmissionFolder(path)
        try:
            verified = other.verification()
        except InputError:
            continue  # is told when that one is verified
        if verified is not None:
            taken = other.name == folder.name or other.name in samples
            samples[str(path) if taken else other.name] = verified.transcripts
    return samples


def _check_statements(
    submission: Submission, folder: SubmissionFolder, listed: bool, found: Differences
) -> None:
    where = "submission.json"
    if submission.name != folder.name:
        found.add(where, f"name is {submission.name!r}, the folder's is {folder.name!r:.100}")
    if (submission.training == "listed") != listed:
        there = "are" if listed else "are none"
        found.add(where, f"training is {submission.training!r}, but there {there} training boards")


def _plan(submission: Submission, registry: Registry, found: Differences) -> Plan | None:
    """Returns what a complete run of the submission's tasks holds; None if one is not ours."""
    tasks: list[Task] = []
    for stated in submission.run.tasks:
        task = _task(stated, registry, found)
        if task is not None:
            tasks.append(task)
    names = [stated.task for stated in submission.run.tasks]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        found.add("submission.json", f"task {name!r} is there twice")
    if found.lines:
        return None
    return Plan(tasks, [stated.repeats for stated in submission.run.tasks], submission.run.salt)


def _task(stated: SubmittedTask, registry: Registry, found: Differences) -> Task | None:
    where = f"submission.json: task {stated.task!r}"
    if stated.task not in registry.task_names():
        close = nearest(stated.task, registry.task_names())
        found.add(where, f"there is no such task in spa-bench {THIS_VERSION}{close}")
        return None
    task = registry.load(stated.task)
    if task.hash != stated.hash:
        found.add(
            where,
            f"its hash is {task.hash[:12]}.., not {stated.hash[:12]}..: the task was altered,"
            f" or spa-bench {THIS_VERSION} has another version of it",
        )
        return None
    if len(task.boards[0]) != stated.boards:
        found.add(where, f"it has {len(task.boards[0])} boards, not {stated.boards}")
    return task


def _compare_results(stated: Results, made: Results, found: Differences) -> None:
    """Compares every figure with the one that follows from the log; one left out reads as null."""
    tasks, own = ([task.task for task in results.tasks] for results in (made, stated))
    if tasks != own:
        found.add("results.json: tasks", f"are {', '.join(tasks)}, not {', '.join(own)}")
        return
    for where, what in _unequal(_by_task(stated), _by_task(made)):
        found.add(f"results.json: {where}", what)


def _by_task(results: Results) -> dict[str, Any]:
    """Returns results as plain data, the tasks by their names, which are all different."""
    plain = results.model_dump(mode="json", by_alias=True)
    return {**plain, "tasks": {task["task"]: task for task in plain["tasks"]}}


def _unequal(said: Any, made: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yields where plain data differs from what it must be, and how."""
    stated, actual = _parts(said), _parts(made)
    if stated is None or actual is None:
        if said != made:
            yield where, f"is {made!r:.80}, not {said!r:.80}"
        return
    for key in actual | stated:
        here = f"{where}.{key}" if where else str(key)
        if key not in actual:
            yield here, f"is {stated[key]!r:.80}, which follows from nothing"
        elif key not in stated:
            yield here, f"is {actual[key]!r:.80}, and was left out"
        else:
            yield from _unequal(stated[key], actual[key], here)


def _parts(value: Any) -> dict[Any, Any] | None:
    """Returns what plain data holds, by key or by number; None where it has no parts."""
    if isinstance(value, list):
        return dict(enumerate(cast(list[Any], value)))
    return cast(dict[Any, Any], value) if isinstance(value, dict) else None


def _shares(
    plan: Plan, submission: Submission, training: Mapping[str, frozenset[str]]
) -> dict[str, float | None]:
    """Returns the share of each task's boards among the training boards; None where unknown."""
    if submission.training == "unknown":
        return {task.name: None for task in plan.tasks}
    shares: dict[str, float | None] = {}
    for task in plan.tasks:
        boards = plan.boards(task)
        seen = overlap(((board.id, board.board_key) for board in boards), training)
        shares[task.name] = seen / len(boards)
    return shares
