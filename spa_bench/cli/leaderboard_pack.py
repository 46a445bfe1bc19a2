"""`spa-bench leaderboard pack RUN`: a run becomes the folder of a submission."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from spa_bench.cli.options import link as read_link

_ASKED = {
    "model": "the model's name, as a table shows it",
    "method": "the method, such as prompting, spa, baseline",
    "training": "boards it was trained on: none, listed (needs --checkpoint) or unknown",
    "submitted_by": "your name, or your group's",
}
"""What nobody can know from a run, and how it is asked for."""


def pack(
    run: Annotated[Path, typer.Argument(help="The folder of a complete run.")],
    output: Annotated[
        Path | None,
        typer.Option(help="The submission's folder; default: leaderboard/submissions/NAME."),
    ] = None,
    details: Annotated[
        Path | None,
        typer.Option(help="A YAML file with values for the options below, such as model: .."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="The submission's name; default: that of --output, else from model and method."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model's name, as tables show it.")] = None,
    provider: Annotated[
        str | None,
        typer.Option(help="Who or what served the model; default: the run's, such as hf."),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="The method, such as prompting, vanilla, spa, baseline.")
    ] = None,
    parameters: Annotated[
        int | None, typer.Option(min=1, help="The model's number of parameters.")
    ] = None,
    base_model: Annotated[str | None, typer.Option(help="The model it was trained from.")] = None,
    training: Annotated[
        str | None, typer.Option(help="Boards it was trained on: none, listed or unknown.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="The model's folder, for its card, size, training boards and training steps."
        ),
    ] = None,
    training_log: Annotated[
        Path | None,
        typer.Option(help="The training's log.jsonl; default: the checkpoint's training.jsonl."),
    ] = None,
    submitted_by: Annotated[str | None, typer.Option(help="Your name, or your group's.")] = None,
    link: Annotated[
        list[str] | None, typer.Option(help="A link, such as paper=https://..; can be repeated.")
    ] = None,
    notes: Annotated[str | None, typer.Option(help="Notes, in one line.")] = None,
) -> None:
    """Pack a complete run of unmodified tasks as a submission.

    Keys, local paths and machine names are removed. What the run does not record comes from the
    options or from --details; in a terminal, you are asked for what is still missing.
    """
    from spa_bench.checkpoint import read_boards, read_card
    from spa_bench.errors import InputError
    from spa_bench.paths import typed
    from spa_bench.registry import Registry
    from spa_bench.runner.log import RunFolder
    from spa_bench.submission.about import check, check_weights, known, read_details
    from spa_bench.submission.folder import TRAINING_LOG
    from spa_bench.submission.pack import check_whole
    from spa_bench.submission.pack import pack as pack_run
    from spa_bench.submission.training import from_log

    if checkpoint is not None and not checkpoint.is_dir():
        raise InputError(f"--checkpoint {checkpoint}: no such folder")
    boards = read_boards(checkpoint) if checkpoint else {}
    card = read_card(checkpoint) if checkpoint else None
    if training_log is None and checkpoint and (checkpoint / TRAINING_LOG).exists():
        training_log = checkpoint / TRAINING_LOG
    given: dict[str, Any] = {
        "name": name,
        "model": model,
        "provider": provider,
        "method": method,
        "parameters": parameters,
        "base_model": base_model,
        "training": training or ("listed" if boards else None),
        "submitted_by": submitted_by,
        "links": dict(map(read_link, link or ())) or None,
        "notes": notes,
    }
    folder = RunFolder(run)
    info = folder.read_info()
    check_whole(folder, info)
    if checkpoint is not None:
        check_weights(info, checkpoint)
    said = known(info, card, checkpoint)
    if output is not None:
        said["name"] = output.name
    said |= read_details(details) if details else {}
    said |= {key: value for key, value in given.items() if value is not None}
    for key, question in _ASKED.items():
        if key not in said and sys.stdin.isatty():
            said[key] = typer.prompt(question, err=True)
    checked = check(said)
    submission = pack_run(
        folder,
        checked,
        output or Path("leaderboard/submissions") / checked.name,
        Registry(),
        boards,
        training_log=from_log(training_log) if training_log else (),
    )
    typer.echo(f"{submission.path}; next: spa-bench leaderboard verify {typed(submission.path)}")
