"""`spa-bench list tasks|models|environments|recipes`: what there is."""

from __future__ import annotations

import dataclasses
from typing import Any

import typer

from spa_bench.cli.options import IncludePath
from spa_bench.cli.train import list_recipes

app = typer.Typer(
    help="List tasks, models, environments or recipes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("tasks")
def list_tasks(
    include_path: IncludePath = None,
) -> None:
    """List tasks, groups and tags."""
    from tabulate import tabulate

    from spa_bench.registry import Registry

    entries = Registry.with_paths(include_path or ()).entries.values()
    rows = [
        (entry.name, entry.kind, ", ".join(entry.members or entry.tags), entry.description)
        for entry in sorted(entries, key=lambda entry: (entry.kind, entry.name))
    ]
    headers = ["name", "kind", "members or tags", "description"]
    typer.echo(tabulate(rows, headers=headers, maxcolwidths=[None, None, 44, 60]))


@app.command("models")
def list_models() -> None:
    """List the providers of models, and how each is written."""
    from tabulate import tabulate

    from spa_bench.registry import plugins

    examples = {
        "baseline": "baseline/random, baseline/oracle",
        "hf": "hf/Qwen/Qwen2.5-1.5B-Instruct, ./checkpoint",
        "openai": "openai/gpt-5, openai/NAME --base-url URL",
    }
    rows = [
        (name, examples.get(name, f"{name}/NAME"), entry.dist.name if entry.dist else "")
        for name, entry in sorted(plugins("models").items())
    ]
    typer.echo(tabulate(rows, headers=["provider", "written", "from"]))


@app.command("environments")
def list_environments() -> None:
    """List environments and their parameters."""
    from tabulate import tabulate

    from spa_bench.errors import SpaBenchError
    from spa_bench.registry import load_plugin, plugins

    rows: list[tuple[str, str]] = []
    for name in sorted(plugins("environments")):
        try:
            fields = dataclasses.fields(load_plugin("environments", name))
        except SpaBenchError as error:  # one plug-in that is broken hides no other
            rows.append((name, str(error)))
        else:
            rows += [(name, _parameter(field)) for field in fields]
    typer.echo(tabulate(rows, headers=["environment", "parameter and default"]))


def _parameter(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f"{field.name} = {field.default!r}"
    if field.default_factory is not dataclasses.MISSING:
        return f"{field.name} = {field.default_factory()!r}"
    return f"{field.name}, which must be given"


app.command("recipes")(list_recipes)
