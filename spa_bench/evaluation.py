"""Evaluates a model on tasks: the Python entry point, and what `spa-bench evaluate` calls."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import pydantic

from spa_bench.arguments import ModelArguments, RunArguments
from spa_bench.errors import InputError, nearest
from spa_bench.models.model import Model
from spa_bench.plugins import as_model, make_model, resolve_model
from spa_bench.registry import Registry, task_names
from spa_bench.results.results import Results
from spa_bench.run import Evaluation, Progress, Silent, each_once, run
from spa_bench.runner.log import Price
from spa_bench.runner.shard import Shard
from spa_bench.task import Task

T = TypeVar("T")


async def evaluate_async(
    model: str | Model,
    tasks: str | Task | Sequence[str | Task] = "spa",
    *,
    output: str | Path | None = None,
    repeats: int | None = None,
    limit: int | None = None,
    shard: str | None = None,
    salt: str = "0",
    resume: bool = False,
    concurrency: int | None = None,
    log_tokens: bool = False,
    include_paths: str | Path | Sequence[str | Path] = (),
    gen_kwargs: Mapping[str, str] | None = None,
    price: tuple[float, float] | None = None,
    max_cost: float | None = None,
    max_tokens_total: int | None = None,
    progress: Progress | None = None,
    **model_options: Any,
) -> Results:
    """Evaluates a model and returns the results, which are also in `output` as `results.json`.

    Args:
        model: a name such as `hf/Qwen/Qwen2.5-1.5B-Instruct`, a path such as `./checkpoint`, or
            anything that follows the `Model` protocol.
        tasks: names, groups, tags, patterns or paths of task files; or `Task` objects.
        include_paths: a folder with more tasks, or several.
        output: the run's folder; by default one below `runs/` named by model and time.
        repeats, limit, salt, resume, concurrency, log_tokens: as `Evaluation` says.
        shard: `i/n`, such as `2/8`: the second of eight parts, to be put together by `merge`.
        gen_kwargs: `temperature`, `top_p` and `new_tokens` in place of the tasks' own.
        price: US dollars per million prompt tokens and per million completion tokens.
        max_cost, max_tokens_total: as `Evaluation` says; what they leave over is owed.
        model_options: fields of `ModelOptions`, such as `device` or `base_urls`.

    Raises:
        InputError: for anything that cannot be; before any episode is played.
        ModelGoneError: if the model stops answering for good; the run can be resumed.
    """
    options = ModelArguments.of(model_options)
    given = RunArguments.of(
        {
            "output": output,
            "repeats": repeats,
            "limit": limit,
            "shard": shard,
            "salt": salt,
            "resume": resume,
            "concurrency": concurrency,
            "log_tokens": log_tokens,
            "include_paths": include_paths,
            "gen_kwargs": gen_kwargs,
            "price": price,
            "max_cost": max_cost,
            "max_tokens_total": max_tokens_total,
        }
    )
    loaded = chosen_tasks(tasks, given.include_paths)
    chosen = each_once([with_overrides(task, given.gen_kwargs or {}) for task in loaded])
    made = _model(model, options, concurrency)
    return await run(
        Evaluation(
            made,
            chosen,
            default_output(made.name, shard) if given.output is None else given.output,
            repeats=repeats,
            limit=limit,
            shard=None if shard is None else Shard.parse(shard),
            salt=salt,
            resume=resume,
            concurrency=concurrency,
            log_tokens=log_tokens,
            price=given.price and Price(prompt=given.price[0], completion=given.price[1]),
            max_cost=max_cost,
            max_tokens_total=max_tokens_total,
        ),
        progress or Silent(),
    )


def _model(model: str | Model, options: ModelArguments, concurrency: int | None) -> Model:
    if isinstance(model, str):
        fields = {name: getattr(options, name) for name in ModelArguments.model_fields}
        provider, resolved = resolve_model(model, concurrency=concurrency, **fields)
        return make_model(resolved, provider)
    if not hasattr(model, "generate"):
        raise InputError(f"model={model!r}: a name such as hf/NAME or ./FOLDER, or a `Model`")
    as_model(model, "model")
    if options.model_fields_set:
        given = ", ".join(sorted(options.model_fields_set))
        raise InputError(f"{given}: options are for a model given by its name")
    return model


def evaluate(
    model: str | Model, tasks: str | Task | Sequence[str | Task] = "spa", **options: Any
) -> Results:
    """Does what `evaluate_async` does, and returns when it is done; works in a notebook too."""
    return _blocking(evaluate_async(model, tasks, **options))


def chosen_tasks(
    tasks: str | Task | Sequence[str | Task], include_paths: Sequence[Path] = ()
) -> list[Task]:
    """Returns the tasks that names, groups, tags, patterns or paths stand for, each once.

    Args:
        tasks: comma-separated; or a list of these, and of `Task` objects.
        include_paths: folders with more tasks.

    Raises:
        InputError: if there is no such task or folder, or no task at all.
    """
    registry = Registry.with_paths(include_paths)
    wanted: Any = [tasks] if isinstance(tasks, str | Task) else tasks
    if not isinstance(wanted, Iterable):
        raise InputError(f"tasks={wanted!r}: names of tasks, or `Task` objects")
    loaded: list[Task] = []
    for task in cast(Iterable[Any], wanted):
        if not isinstance(task, str | Task):
            raise InputError(f"tasks: {task!r} is neither a task's name nor a `Task`")
        loaded += registry.resolve(task_names(task)) if isinstance(task, str) else [task]
    if not loaded:
        raise InputError("no tasks to evaluate")
    return each_once(loaded)


def with_overrides(task: Task, gen_kwargs: Mapping[str, str]) -> Task:
    """Returns the task with other sampling settings: a variant, named `task*`, with its own hash.

    Raises:
        InputError: for settings there are not, or values they cannot have.
    """
    known = {"temperature", "top_p", "new_tokens"}
    config = task.config
    for key, value in gen_kwargs.items():
        name = "new_tokens" if key in ("max_new_tokens", "max_tokens", "max_gen_toks") else key
        if name not in known:
            raise InputError(f"--gen-kwargs: unknown setting {key!r}{nearest(key, known)}")
        part = "limits" if name == "new_tokens" else "sampling"
        section: pydantic.BaseModel = getattr(config, part)
        try:
            changed = type(section).model_validate({**section.model_dump(), name: value})
        except pydantic.ValidationError as error:
            raise InputError(f"--gen-kwargs {key}={value}: {error.errors()[0]['msg']}") from None
        config = config.model_copy(update={part: changed})
    variant = replace(task, config=config)
    return task if variant.hash == task.hash else replace(variant, name=f"{config.task}*")


def default_output(model: str, shard: str | None = None) -> Path:
    """Returns a new folder below `runs/`, named by model, shard and time; two that begin in the
    same second differ in four digits more."""
    slug = "".join(c if c.isalnum() or c in "-_." else "-" for c in model).strip("-.")
    part = "" if shard is None else f"-shard-{shard.replace('/', '-of-')}"
    return Path("runs") / f"{slug}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}{part}"


def _blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    # inside a running loop, as in a notebook: play in a loop of our own, in a thread of its own
    under_way = Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]]()
    finished = Future[T]()

    async def cancellable() -> T:
        task = asyncio.current_task()
        assert task is not None
        under_way.set_result((asyncio.get_running_loop(), task))
        return await coroutine

    def target() -> None:
        try:
            finished.set_result(asyncio.run(cancellable()))
        except BaseException as error:
            finished.set_exception(error)

    threading.Thread(target=target, name="spa-bench").start()
    try:
        return finished.result()
    except BaseException:
        if not finished.done():  # the notebook's interrupt reaches this thread, not that one
            loop, task = under_way.result()
            with suppress(RuntimeError):  # its loop has closed meanwhile
                loop.call_soon_threadsafe(task.cancel)
            wait([finished])
        raise
