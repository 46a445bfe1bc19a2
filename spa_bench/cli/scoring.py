"""What the commands share that have a model score texts: their options, and the way through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from spa_bench.models.model import Model
    from spa_bench.task import Task

ModelOption = Annotated[
    str, typer.Option(help="A model that scores texts: hf/NAME, ./DIR, or completions.")
]
TasksOption = Annotated[str, typer.Option(help="Whose boards; comma-separated.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Only the first so many boards.")]
ModelArgsOption = Annotated[
    str, typer.Option(help="Settings of the model, as key=value,key=value.")
]
BaseUrlOption = Annotated[
    list[str] | None, typer.Option(help="An OpenAI-compatible server; may be given again.")
]
BatchSizeOption = Annotated[int | None, typer.Option(min=1, help="Largest batch of a local model.")]
DeviceOption = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ..")]
DtypeOption = Annotated[str | None, typer.Option(help="float32, bfloat16, float16 or auto.")]
IncludePathOption = Annotated[
    list[Path] | None, typer.Option(help="A folder with more tasks; may be given again.")
]
OutputOption = Annotated[Path | None, typer.Option(help="A file for the numbers, as JSON.")]

Found = TypeVar("Found", bound="BaseModel")


@dataclass(frozen=True)
class Scoring:
    """Which model scores the texts of which tasks, as the command line says it."""

    model: str
    tasks: str
    limit: int | None
    model_args: str
    base_urls: tuple[str, ...]
    batch_size: int | None
    device: str | None
    dtype: str | None
    include_path: Sequence[Path]
    output: Path | None

    def measured(
        self,
        measure: Callable[[Model, Task, int | None], Awaitable[Found]],
        what: str,
        check: Callable[[Task], None] = lambda task: None,
    ) -> list[Found]:
        """Measures every task, and writes what came of it to `output`, as `spa-bench/WHAT/1`.

        Raises:
            InputError: if model, tasks or `output` do not do, before anything is measured.
        """
        import asyncio

        from spa_bench.cli.evaluate import key_values
        from spa_bench.errors import InputError
        from spa_bench.models.ranking import check_scores
        from spa_bench.registry import Registry, make_model, resolve_model

        if self.output is not None and not self.output.parent.is_dir():
            raise InputError(f"--output {self.output}: no folder {self.output.parent}")
        names = [part.strip() for part in self.tasks.split(",") if part.strip()]
        found = Registry.with_paths(self.include_path).resolve(names)
        for task in found:
            check(task)
        provider, options = resolve_model(
            self.model,
            args=key_values(self.model_args, "--model-args"),
            base_urls=self.base_urls,
            batch_size=self.batch_size,
            device=self.device,
            dtype=self.dtype,
        )
        made = make_model(options, provider)
        check_scores(made, what)

        async def all_of_them() -> list[Found]:
            try:
                await made.start()
                return [await measure(made, task, self.limit) for task in found]
            finally:
                await made.close()

        measured = asyncio.run(all_of_them())
        if self.output is not None:
            _write(self.output, what, made.name, measured)
        return measured


def _write(path: Path, what: str, model: str, measured: Sequence[BaseModel]) -> None:
    import json

    from spa_bench.runner.log import write_atomically

    content = {
        "schema": f"spa-bench/{what}/1",
        "model": model,
        "tasks": [one.model_dump(mode="json") for one in measured],
    }
    write_atomically(path, json.dumps(content, indent=2).encode() + b"\n")
