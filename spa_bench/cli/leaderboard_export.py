"""`spa-bench leaderboard export DIR --as ..`: a submission's figures in a format of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

FORMATS = ("every-eval-ever", "hf-eval-results", "hf-model-index")


def export(
    submission: Annotated[Path, typer.Argument(help="A submission's folder.")],
    form: Annotated[str, typer.Option("--as", help=f"One of {', '.join(FORMATS)}.")],
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write to, at the path that the format asks for; default: print it."
        ),
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(help="For hf-eval-results: the Hub dataset that represents this benchmark."),
    ] = None,
) -> None:
    """Write a submission's figures in another format.

    every-eval-ever: one JSON file, version 0.3, under data/. hf-eval-results: rows for a model's
    .eval_results/ on the Hub. hf-model-index: front matter for a model card.
    """
    from spa_bench.errors import InputError, nearest
    from spa_bench.interop import every_eval_ever, hugging_face
    from spa_bench.registry import Registry
    from spa_bench.runner.log import write_atomically
    from spa_bench.submission.folder import SubmissionFolder

    if form not in FORMATS:
        raise InputError(f"--as {form!r} is none of {', '.join(FORMATS)}{nearest(form, FORMATS)}")
    folder = SubmissionFolder(submission)
    if benchmark is not None and form != "hf-eval-results":
        raise InputError("--benchmark is for --as hf-eval-results alone")
    folder.check()
    said, results = folder.submission(), folder.results()
    if form == "every-eval-ever":
        path, record = every_eval_ever.export(said, results, folder.digest(), Registry())
        text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    elif form == "hf-model-index":
        path, text = "model-index.yaml", hugging_face.model_index(said, results)
    elif benchmark is None:
        raise InputError("--as hf-eval-results needs --benchmark OWNER/NAME, a dataset of the Hub")
    else:
        path = f".eval_results/spa-bench-{said.name}.yaml"
        text = hugging_face.eval_results(said, results, benchmark)
    if output is None:
        typer.echo(text, nl=False)
        return
    file = output / path
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, text.encode())
    typer.echo(file)
