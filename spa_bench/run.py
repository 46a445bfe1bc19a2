"""One run: what is evaluated, into which folder; and playing what it owes."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple, Protocol

import spa_bench
from spa_bench.canonical import canonical_json
from spa_bench.checkpoint import overlap
from spa_bench.errors import InputError, PluginError
from spa_bench.lock import NO_LOCKS
from spa_bench.models.meter import Meter, Metered, Spending
from spa_bench.models.model import Model, Trained, model_code
from spa_bench.models.ranking import can_rank
from spa_bench.results.results import Results, compute
from spa_bench.results.shown import counted
from spa_bench.runner.chance import MOST_SALT
from spa_bench.runner.log import (
    BadLines,
    EpisodeWriter,
    Price,
    RunFolder,
    RunInfo,
    RunModel,
    RunTask,
    UnwrittenError,
    write_atomically,
)
from spa_bench.runner.plan import Done, Plan
from spa_bench.runner.record import Episode
from spa_bench.runner.resume import check_same_run
from spa_bench.runner.scheduler import play_all
from spa_bench.runner.shard import Shard
from spa_bench.submission.scrub import Scrubber
from spa_bench.task import MOST_REPEATS, Instance, Task

_REASONS_TOLD = 3
"""Of episodes that broke; the log has all."""

_VERSIONED = ("numpy", "pydantic", "torch", "transformers", "vllm", "openai", "peft")


OTHER_VERSIONS = (
    "not all episodes were played with the same versions of spa-bench, Python and libraries;"
    " run.json names them all"
)

_AT_WORK: set[int] = set()
"""The models of runs under way: one that is started, metered and closed for two serves neither."""


class Progress(Protocol):
    """What is told to whoever watches a run."""

    def start(self, total: int, done: int) -> None:
        """The plan is known: so many episodes in all, so many of them in the log already."""
        ...

    def update(self, episode: Episode) -> None:
        """An episode ended."""
        ...

    def note(self, message: str) -> None:
        """Something happened that a person should know."""
        ...

    def stop(self) -> None:
        """No more episodes will come, for whatever reason."""
        ...


class Silent:
    """Nobody watches."""

    def start(self, total: int, done: int) -> None: ...
    def update(self, episode: Episode) -> None: ...
    def note(self, message: str) -> None: ...
    def stop(self) -> None: ...


@dataclass(frozen=True)
class Evaluation:
    """What to evaluate, and where to keep it.

    Attributes:
        model: a model, loaded or not yet; it is started and closed here.
        repeats: episodes a board; None takes each task's own.
        limit: boards a task, the first ones; marks the results partial.
        shard: the part of the boards to play; marks the results partial.
        salt: keys every stream of chance.
        resume: continue the run in `output`.
        price: of the model's tokens, for the cost in the results.
        max_cost: US dollars that the run may cost, all its starts together; needs a price.
        max_tokens_total: tokens that it may read and write.
    """

    model: Model
    tasks: Sequence[Task]
    output: Path
    repeats: int | None = None
    limit: int | None = None
    shard: Shard | None = None
    salt: str = "0"
    resume: bool = False
    concurrency: int | None = None
    log_tokens: bool = False
    price: Price | None = None
    max_cost: float | None = None
    max_tokens_total: int | None = None

    def plan(self) -> Plan:
        """Returns all episodes of this evaluation."""
        repeats = [self.repeats or task.config.repeats for task in self.tasks]
        return Plan(self.tasks, repeats, self.salt, self.limit, self.log_tokens, self.shard)


async def run(evaluation: Evaluation, progress: Progress) -> Results:
    """Plays what an evaluation owes and writes `run.json`, `episodes.jsonl` and `results.json`.

    Raises:
        InputError: for anything that cannot be; before any episode is played.
        ModelGoneError: if the model stops answering for good; the run can be resumed.
        PluginError: if the model cannot start for a reason that it has no words for.
        UnwrittenError: if a file of the run cannot be written; it can be resumed, too.
    """
    try:
        played = await play_owed(evaluation, progress)
        folder, plan = RunFolder(evaluation.output), evaluation.plan()
        return write_results(folder, plan, evaluation.model.name, played.info.price)
    except UnwrittenError as error:
        raise UnwrittenError(f"{error}; mend that and continue with --resume") from None


class Played(NamedTuple):
    """What a run is, and how many of its episodes are owed still: broken, or beyond the budget."""

    info: RunInfo
    owed: int


async def play_owed(evaluation: Evaluation, progress: Progress) -> Played:
    """Plays what an evaluation owes into its log; writes no results.

    Raises:
        InputError: for anything that cannot be; before any episode is played.
        ModelGoneError: if the model stops answering for good; the run can be resumed.
        PluginError: if the model cannot start for a reason that it has no words for.
        UnwrittenError: if a file of the run cannot be written.
    """
    model, plan = evaluation.model, evaluation.plan()
    folder = RunFolder(evaluation.output)
    _check_evaluation(evaluation, plan)
    check_folder(folder, evaluation.resume)
    if id(model) in _AT_WORK:
        raise InputError(f"{model.name} is at work in another run; load it once for each")
    meter = _meter(evaluation, folder)
    _AT_WORK.add(id(model))
    try:
        with model_code(model):
            await model.start()
        with folder.writer() as log:
            if not log.locked:
                progress.note(f"{folder.path}: {NO_LOCKS}")
            if log.torn_bytes:
                progress.note(f"removed {log.torn_bytes} bytes of an unfinished line")
            info = _begun(evaluation, plan, folder, progress)
            for task in info.tasks:
                if task.trained_on:
                    progress.note(
                        f"{task.task}: the model was trained on {task.trained_on}"
                        f" of this run's {counted(task.boards, 'board')}"
                    )
            done = _done(plan, folder, progress)
            owed = sum(1 for _ in plan.owed(done))
            if outside := done.count - (plan.total - owed):
                progress.note(
                    f"not counted, but kept in the log: {counted(outside, 'finished episode')}"
                    " beyond --limit or --repeats"
                )
            progress.start(plan.total, plan.total - owed)
            keep = _Keeper(log, progress)
            try:
                concurrency = evaluation.concurrency or model.concurrency
                await play_all(plan.owed(done), model, concurrency, keep)
            finally:
                progress.stop()
            if meter is not None:
                progress.note(_spent_so_far(evaluation, meter))
    finally:
        try:
            with model_code(model):
                await model.close()
        except PluginError as error:  # all is played, or something else went wrong first
            progress.note(str(error))
        finally:
            _AT_WORK.remove(id(model))
    return Played(info, owed - keep.complete)


def _begun(evaluation: Evaluation, plan: Plan, folder: RunFolder, progress: Progress) -> RunInfo:
    """Writes `run.json`: of a new run, or of the one that is continued; returns it.

    Raises:
        InputError: if the folder holds another run. It is looked at again, now that its log is
            locked: another process may have begun a run there meanwhile.
    """
    info = _run_info(evaluation, plan)
    check_folder(folder, evaluation.resume)
    if folder.exists():
        begun = folder.read_info()
        check_same_run(begun, info)
        versions = all_versions([begun, info])
        if several(versions):
            progress.note(OTHER_VERSIONS)
        price = info.price or begun.price
        kept = {"created": begun.created, "price": price, "versions": versions}
        info = info.model_copy(update=kept)
    folder.write_info(info)
    return info


def _done(plan: Plan, folder: RunFolder, progress: Progress) -> Done:
    """Returns what of a plan is in the log."""
    done, bad = Done(), BadLines()
    hashes = {task.hash for task in plan.tasks}
    for episode in folder.episodes(bad):
        if episode.task_hash in hashes:
            done.add(episode)
    if (told := bad.told(folder.episodes_path)) is not None:
        progress.note(told)
    return done


class _Keeper:
    """Writes each episode to the log the moment it ends, and tells whoever watches.

    Attributes:
        complete: how many of them were played to their end.
    """

    def __init__(self, log: EpisodeWriter, progress: Progress) -> None:
        self.complete = 0
        self._log = log
        self._progress = progress
        self._scrubber = Scrubber.of_this_machine()
        self._told: set[str] = set()

    def __call__(self, episode: Episode) -> None:
        why = episode.error
        if why is not None:  # a server's address, a path: for the terminal, not for a file
            episode = replace(episode, error=self._scrubber.text(why))
        self._log.write(episode)
        self.complete += episode.status == "complete"
        self._progress.update(episode)
        if why is not None and why not in self._told and len(self._told) < _REASONS_TOLD:
            self._told.add(why)
            self._progress.note(f"an episode broke and is owed: {why}")


def _meter(evaluation: Evaluation, folder: RunFolder) -> Meter | None:
    """Gives the model a meter, if the evaluation has a budget; returns it.

    It has counted what earlier starts of the run spent.

    Raises:
        InputError: if the budget cannot be kept to.
    """
    cost, tokens, model = evaluation.max_cost, evaluation.max_tokens_total, evaluation.model
    if cost is None and tokens is None:
        if isinstance(model, Metered):
            model.meter = None  # of an earlier evaluation
        return None
    for name, most in (("cost", cost), ("tokens-total", tokens)):
        if most is not None and not most > 0:
            raise InputError(f"--max-{name} must be more than 0, not {most:g}")
    if not isinstance(model, Metered):
        option = "--max-tokens-total" if cost is None else "--max-cost"
        raise InputError(f"{option}: {model.name} cannot be limited; only models of openai/ can")
    price = evaluation.price
    if price is None and folder.exists():
        price = folder.read_info().price
    if cost is not None and price is None:
        raise InputError("--max-cost needs --price, such as --price 0.15/0.60")
    model.meter = Meter(
        most_tokens=tokens, most_cost=cost, cost=(price or Price(prompt=0, completion=0)).of
    )
    if folder.exists():
        for episode in folder.episodes(BadLines()):
            model.meter.spend(_spent(episode))
    return model.meter


def _spent_so_far(evaluation: Evaluation, meter: Meter) -> str:
    """Returns what a run has spent and, where it stopped at that, what the rest needs."""
    spent = f"the run has spent {meter}"
    if not meter.refused:
        return spent
    limits = {"cost": evaluation.max_cost, "tokens-total": evaluation.max_tokens_total}
    larger = " or ".join(f"--max-{name}" for name, most in limits.items() if most is not None)
    return f"stopped at the budget: {spent}; the rest needs a larger {larger}"


def _spent(episode: Episode) -> Spending:
    """Returns the tokens of an episode of the log, as far as they were counted."""
    usages = [turn.usage for turn in episode.turns]
    return Spending(
        sum(usage.prompt_tokens or 0 for usage in usages),
        sum(usage.completion_tokens or 0 for usage in usages),
    )


def read_results(folder: RunFolder, plan: Plan, model: str, price: Price | None = None) -> Results:
    """Computes the results of a run folder from its log."""
    bad = BadLines()
    results = compute(plan, model, folder.episodes(bad), price)
    results.foreign_lines += bad.count
    return results


def write_results(folder: RunFolder, plan: Plan, model: str, price: Price | None = None) -> Results:
    """Computes the results of a run folder from its log and writes `results.json`."""
    results = read_results(folder, plan, model, price)
    content = results.model_dump_json(by_alias=True, indent=2).encode() + b"\n"
    write_atomically(folder.results_path, content)
    return results


def each_once(tasks: Sequence[Task]) -> list[Task]:
    """Returns the tasks without those that were named twice.

    Raises:
        InputError: for two tasks of one name, or two names of one task: results could not tell
            them apart.
    """
    by_name: dict[str, Task] = {}
    by_hash: dict[str, Task] = {}
    for task in tasks:
        named, same = by_name.get(task.name), by_hash.get(task.hash)
        if named is not None and named.hash != task.hash:
            raise InputError(f"two different tasks are called {task.name!r}; rename one of them")
        if same is not None and same.name != task.name:
            raise InputError(
                f"tasks {same.name!r} and {task.name!r} measure the same; choose one of them"
            )
        if named is None:
            by_name[task.name] = by_hash[task.hash] = task
    return list(by_name.values())


def _check_evaluation(evaluation: Evaluation, plan: Plan) -> None:
    """Refuses what cannot be, before the model costs anything."""
    wanted = {
        "repeats": evaluation.repeats,
        "limit": evaluation.limit,
        "concurrency": evaluation.concurrency,
    }
    for name, number in wanted.items():
        if number is not None and number < 1:
            raise InputError(f"--{name} must be at least 1, not {number}")
    for name, text in (("--seed", evaluation.salt), ("the model's name", evaluation.model.name)):
        if text != text.encode("utf-8", "replace").decode():
            raise InputError(f"{name} must be text: {text!r} is not UTF-8")
    if len(evaluation.salt) > MOST_SALT:
        raise InputError(f"--seed must have at most {MOST_SALT} characters")
    most = max(plan.repeats, default=1)
    if most > MOST_REPEATS:
        raise InputError(f"--repeats must be at most {MOST_REPEATS}, not {most}")
    if evaluation.log_tokens and not evaluation.model.capabilities.tokens:
        raise InputError(f"--log-tokens: {evaluation.model.name} returns no tokens")
    whole = replace(plan, shard=None)
    for task in each_once(plan.tasks):
        task.check_boards(plan.limit)
        if task.environment.choices(whole.boards(task)[0].state) and not can_rank(evaluation.model):
            raise InputError(
                f"task {task.name!r} ranks answers by log-probability, of which"
                f" {evaluation.model.name} returns none: leave it out, or take a local checkpoint"
                " (hf/) or a server's completions (--model-args api=completions)"
            )
    boards = sum(len(whole.boards(task)) for task in plan.tasks)
    if plan.shard is not None and plan.shard.count > boards:
        raise InputError(f"--shard {plan.shard}: only {counted(boards, 'board')} to deal out")


def check_folder(folder: RunFolder, resume: bool) -> None:
    """Refuses a folder that cannot be written, or holds a run that is not to be continued.

    Raises:
        InputError: with what to do.
    """
    path = folder.path
    try:
        there = next(p for p in (path, *path.absolute().parents) if p.exists())
        if not there.is_dir():
            raise InputError(f"--output {path}: {there} is a file")
        if not os.access(there, os.W_OK | os.X_OK):
            raise InputError(f"--output {path}: no permission to write in {there}")
        if folder.exists():
            folder.read_info()
            if not resume:
                raise InputError(
                    f"{path} already holds a run; add --resume to continue it,"
                    " or choose another --output"
                )
        elif (path / "recipe.json").is_file():
            raise InputError(f"{path} holds a training; choose another --output")
        elif folder.results_path.is_file():
            raise InputError(
                f"{folder.results_path} is there already and belongs to no run; choose another"
                " --output"
            )
    except OSError as error:
        raise InputError(f"--output {path}: {error.strerror}") from None


def _run_info(evaluation: Evaluation, plan: Plan) -> RunInfo:
    model = evaluation.model
    with model_code(model):
        identity = dict(model.identity())
    try:
        canonical_json(identity)
    except (TypeError, ValueError) as error:
        raise InputError(f"{model.name}: identity() is to be plain JSON: {error}") from None
    capabilities = {n: getattr(model.capabilities, n) for n in type(model.capabilities).__slots__}
    return RunInfo(
        created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        salt=plan.salt,
        limit=plan.limit,
        shard=None if plan.shard is None else str(plan.shard),
        price=evaluation.price,
        model=RunModel(name=model.name, identity=identity, capabilities=capabilities),
        tasks=[
            RunTask(
                task=task.name,
                hash=task.hash,
                repeats=repeats,
                boards=len(plan.boards(task)),
                skipped_seeds=plan.skipped_seeds(task),
                config=task.config.model_dump(mode="json"),
                trained_on=_overlap(model, plan.boards(task)),
            )
            for task, repeats in zip(plan.tasks, plan.repeats, strict=True)
        ],
        versions=_versions(),
    )


def _overlap(model: Model, boards: Sequence[Instance]) -> int | None:
    """Returns how many boards the model says it was trained on; None where it does not say."""
    if not isinstance(model, Trained) or not model.trained_boards:
        return None
    return overlap(((board.id, board.board_key) for board in boards), model.trained_boards)


def all_versions(infos: Iterable[RunInfo]) -> dict[str, str]:
    """Returns the versions that runs were played with; of one package several, as `1.0, 1.1`."""
    found: dict[str, dict[str, None]] = {}
    for info in infos:
        for name, text in info.versions.items():
            found.setdefault(name, {}).update(dict.fromkeys(text.split(", ")))
    return {name: ", ".join(texts) for name, texts in found.items()}


def several(versions: Mapping[str, str]) -> bool:
    """Returns whether these are more than one version of anything."""
    return any(", " in text for text in versions.values())


def _versions() -> dict[str, str]:
    versions = {"spa_bench": spa_bench.__version__, "python": platform.python_version()}
    for name in _VERSIONED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
