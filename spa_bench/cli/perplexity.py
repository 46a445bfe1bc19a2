"""`spa-bench perplexity`: how unlikely a model finds the text of states."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spa_bench.models.model import Model
    from spa_bench.probes.perplexity import Perplexity
    from spa_bench.task import Task


def perplexity(
    model: Annotated[
        str, typer.Option(help="A model that scores texts: hf/NAME, ./DIR, or completions.")
    ],
    tasks: Annotated[
        str, typer.Option(help="Whose boards; comma-separated.")
    ] = "sokoban,frozenlake,sudoku",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many boards.")] = None,
    model_args: Annotated[
        str, typer.Option(help="Settings of the model, as key=value,key=value.")
    ] = "",
    base_url: Annotated[
        list[str] | None, typer.Option(help="An OpenAI-compatible server; may be given again.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Largest batch of a local model.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ..")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16, float16 or auto.")] = None,
    include_path: Annotated[
        list[Path] | None, typer.Option(help="A folder with more tasks; may be given again.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="A file for the numbers, as JSON.")] = None,
) -> None:
    """Measure the perplexity of states: the grid alone, and the grid with coordinates.

    Per token and per character, over the starting states of the tasks' boards. `symbols` is what
    guessing uniformly gets for each cell of the grid.
    """
    import asyncio

    from spa_bench.cli.evaluate import key_values
    from spa_bench.probes.perplexity import check_scores
    from spa_bench.registry import Registry, make_model, resolve_model

    found = Registry.with_paths(include_path or ()).resolve(
        [part.strip() for part in tasks.split(",") if part.strip()]
    )
    provider, options = resolve_model(
        model,
        args=key_values(model_args, "--model-args"),
        base_urls=tuple(base_url or ()),
        batch_size=batch_size,
        device=device,
        dtype=dtype,
    )
    made = make_model(options, provider)
    check_scores(made)
    measured = asyncio.run(_measure(made, found, limit))
    typer.echo(_table(measured))
    if output is not None:
        _write(output, made.name, measured)


async def _measure(model: Model, tasks: Sequence[Task], limit: int | None) -> list[Perplexity]:
    from spa_bench.probes.perplexity import perplexity as measure

    try:
        await model.start()
        return [await measure(model, task, limit) for task in tasks]
    finally:
        await model.close()


def _table(measured: Sequence[Perplexity]) -> str:
    from tabulate import tabulate

    from spa_bench.probes.perplexity import STYLES

    headers = ["task", "boards", "symbols"]
    headers += [f"{style}, {unit}" for style in STYLES for unit in ("per token", "per character")]
    rows = [
        [p.task, p.boards, p.symbols]
        + [f"{x:.2f}" for s in STYLES for x in (p.styles[s].per_token, p.styles[s].per_character)]
        for p in measured
    ]
    return tabulate(rows, headers=headers, disable_numparse=True)


def _write(path: Path, model: str, measured: Sequence[Perplexity]) -> None:
    import json

    from spa_bench.errors import InputError
    from spa_bench.runner.log import write_atomically

    content: dict[str, Any] = {
        "schema": "spa-bench/perplexity/1",
        "model": model,
        "tasks": [p.model_dump(mode="json") for p in measured],
    }
    if not path.parent.is_dir():
        raise InputError(f"--output {path}: no folder {path.parent}")
    write_atomically(path, json.dumps(content, indent=2).encode() + b"\n")
