"""`spa-bench list tasks|models|environments|recipes`: what there is."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Annotated, Any

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
    tasks: Annotated[
        list[str] | None,
        typer.Argument(help="Only the tasks that these stand for, as in --tasks of evaluate."),
    ] = None,
    include_path: IncludePath = None,
) -> None:
    """List tasks, groups and tags."""
    from tabulate import tabulate

    from spa_bench.registry import Registry, task_names

    registry = Registry.with_paths(include_path or ())
    names = task_names(*(tasks or ()))
    entries = registry.entries_of(names) if tasks else registry.entries.values()
    rows = [
        (entry.name, entry.kind, ", ".join(entry.members or entry.tags), entry.description)
        for entry in sorted(entries, key=lambda entry: (entry.kind, entry.name))
    ]
    headers = ["name", "kind", "members or tags", "description"]
    typer.echo(tabulate(rows, headers=headers, maxcolwidths=[None, None, 44, 60]))


@app.command("models")
def list_models() -> None:
    """List model providers, and how to write a model of each."""
    from tabulate import tabulate

    from spa_bench.plugins import plugins

    examples = {
        "baseline": "baseline/random, baseline/oracle",
        "hf": "hf/Qwen/Qwen2.5-1.5B-Instruct, ./checkpoint",
        "openai": "openai/gpt-5, openai/NAME --base-url URL",
    }
    rows = [
        (name, examples.get(name, f"{name}/NAME"), entry.dist.name if entry.dist else "")
        for name, entry in sorted(plugins("models").items())
    ]
    typer.echo(tabulate(rows, headers=["provider", "write it as", "package"]))


@app.command("environments")
def list_environments() -> None:
    """List environments and their parameters."""
    from tabulate import tabulate

    from spa_bench.errors import SpaBenchError, told
    from spa_bench.plugins import load_plugin, plugins

    for name in sorted(plugins("environments")):
        try:
            environment = load_plugin("environments", name)
            described = inspect.getdoc(environment) or ""
            rows = _parameters(environment, described)
        except Exception as error:  # one plug-in that is broken hides no other
            says = error if isinstance(error, SpaBenchError) else told(error)
            typer.echo(f"{name}: {says}\n")
            continue
        summary, _, _ = described.partition("\n")
        typer.echo(f"{name}: {summary}\n")
        headers = ["parameter", "default", "meaning"]
        typer.echo(tabulate(rows, headers, maxcolwidths=[None, None, 90]) + "\n")


def _parameters(environment: type[Any], described: str) -> list[tuple[str, str, str]]:
    """Returns the name, default and meaning of each."""
    attributes = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", described, re.MULTILINE)
    meanings = {name: " ".join(text.split()) for name, text in attributes}
    return [
        (field.name, _default(field), meanings.get(field.name, ""))
        for field in dataclasses.fields(environment)
    ]


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory())
    return "required"


app.command("recipes")(list_recipes)
