"""What the commands have in common that have a model score texts: all but what and the table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar

import typer

from spa_bench.cli.options import (
    Adapter,
    BaseUrl,
    BatchSize,
    Device,
    Dtype,
    IncludePath,
    ModelArgs,
    path_option,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

    from spa_bench.models.model import Model
    from spa_bench.task import Task

Found = TypeVar("Found", bound="BaseModel")
Measure: TypeAlias = "Callable[[Model, Task, int | None], Awaitable[Found]]"


def command(
    what: str,
    default_tasks: str,
    about: str,
    measure: Callable[[], Measure[Found]],
    table: Callable[[Sequence[Found]], str],
    check: Callable[[Task], None] = lambda task: None,
) -> Callable[..., None]:
    """Returns a command that measures tasks with a model and prints a table.

    Args:
        what: its name; the file it writes has the schema `spa-bench/WHAT/1`.
        about: its help.
        measure: imports what measures a task, with so many boards, when it is needed.
        check: raises InputError for a task that cannot be measured.
    """

    default = [default_tasks]

    def run(
        model: Annotated[
            str,
            typer.Option(
                help="A model that scores text: hf/, vllm/, ./FOLDER, or openai/ with"
                " api=completions."
            ),
        ],
        tasks: Annotated[
            list[str],
            typer.Option(help="Tasks whose boards to use, comma-separated; can be repeated."),
        ] = default,
        limit: Annotated[
            int | None, typer.Option(min=1, help="Use only the first N boards.")
        ] = None,
        model_args: ModelArgs = "",
        base_url: BaseUrl = None,
        batch_size: BatchSize = None,
        device: Device = None,
        dtype: Dtype = None,
        include_path: IncludePath = None,
        adapter: Adapter = None,
        output: Annotated[Path | None, path_option("JSON file to write the figures to.")] = None,
    ) -> None:
        import asyncio

        from spa_bench.cli.evaluate import key_values
        from spa_bench.evaluation import chosen_tasks
        from spa_bench.models.model import model_code
        from spa_bench.models.ranking import check_scores
        from spa_bench.plugins import make_model, resolve_model

        if output is not None:
            _check_file(output)
        found = chosen_tasks(tasks, include_path or ())
        for task in found:
            check(task)
            task.check_boards(limit)
        provider, options = resolve_model(
            model,
            args=key_values(model_args, "--model-args"),
            base_urls=tuple(base_url or ()),
            batch_size=batch_size,
            device=device,
            dtype=dtype,
            adapter=adapter,
        )
        made, one = make_model(options, provider), measure()
        check_scores(made, what)
        measured: list[Found] = []

        async def all_of_them() -> None:
            with model_code(made, what):
                try:
                    await made.start()
                    for task in found:
                        measured.append(await one(made, task, limit))
                        if output is not None:  # now, so that no later task can lose it
                            _write(output, what, made.name, measured)
                finally:
                    await made.close()

        try:
            asyncio.run(all_of_them())
        finally:
            if measured:
                typer.echo(table(measured))

    run.__name__, run.__doc__ = what, about
    return run


def _check_file(path: Path) -> None:
    """Refuses what cannot be written, before the numbers cost anything."""
    import os

    from spa_bench.errors import InputError

    if path.is_dir():
        raise InputError(f"--output {path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise InputError(f"--output {path}: no folder {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"--output {path}: no permission to write in {path.parent}")


def _write(path: Path, what: str, model: str, measured: Sequence[BaseModel]) -> None:
    import json

    from spa_bench.errors import ModelError
    from spa_bench.runner.log import write_named

    content = {
        "schema": f"spa-bench/{what}/1",
        "model": model,
        "tasks": [one.model_dump(mode="json") for one in measured],
    }
    try:
        text = json.dumps(content, indent=2, allow_nan=False)
    except ValueError:
        raise ModelError(
            f"{what}: {model} gives figures that are no finite numbers; not written to {path}"
        ) from None
    write_named(path, text.encode() + b"\n")
