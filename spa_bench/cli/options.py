"""What several commands ask for alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from spa_bench.errors import InputError


def path(text: str) -> Path:
    """Reads a path; an empty one, such as of a variable that is not set, is no folder's name.

    Raises:
        typer.BadParameter: if it is empty.
    """
    if not str(text):
        raise typer.BadParameter("the path is empty; name one (the current folder is .)")
    return Path(text)


def path_option(help_: str) -> Any:
    """Returns an option that takes a path."""
    return typer.Option(help=help_, parser=path, metavar="PATH")


def link(text: str) -> tuple[str, str]:
    """Reads `NAME=ADDRESS`.

    Raises:
        InputError: if one of them is missing.
    """
    name, _, address = text.partition("=")
    if not (name.strip() and address.strip()):
        raise InputError(f"--link: {text!r} is not NAME=ADDRESS, such as paper=https://..")
    return name.strip(), address.strip()


IncludePath = Annotated[
    list[Path] | None, path_option("A folder with more tasks; can be repeated.")
]

# how a model given by its name is loaded
ModelArgs = Annotated[str, typer.Option(help="Model settings, as key=value,key=value.")]
BaseUrl = Annotated[
    list[str] | None, typer.Option(help="URL of an OpenAI-compatible server; can be repeated.")
]
Adapter = Annotated[str | None, typer.Option(help="A LoRA adapter for a local model.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Largest batch of a local model.")]
Device = Annotated[str | None, typer.Option(help="Device of a local model: cpu, cuda, cuda:1, ..")]
Dtype = Annotated[
    str | None, typer.Option(help="Data type of a local model: float32, bfloat16, float16 or auto.")
]
