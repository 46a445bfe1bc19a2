"""`spa-bench leaderboard pack RUN`: a run becomes the folder of a submission."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from spa_bench.cli.options import link as read_link

_ASKED = {
    "model": "the model's name, as a table shows it",
    "method": "how it was made to play, such as prompting, spa, baseline",
    "training": "boards it was trained on: none, listed (then give --checkpoint) or unknown",
    "submitted_by": "your name or your group's",
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
        typer.Option(help="A YAML file with any of what the other options say, such as model: .."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Of the folder; default: --output's, else made from model and method."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="As a table shows it.")] = None,
    provider: Annotated[
        str | None, typer.Option(help="Who or what answered; default: the run's, such as hf.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Such as prompting, vanilla, spa, baseline.")
    ] = None,
    parameters: Annotated[int | None, typer.Option(min=1, help="How many the model has.")] = None,
    base_model: Annotated[str | None, typer.Option(help="What it was trained from.")] = None,
    training: Annotated[
        str | None, typer.Option(help="Boards it was trained on: none, listed or unknown.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="The model's folder: its card, its size, its lists of training boards and steps."
        ),
    ] = None,
    training_log: Annotated[
        Path | None,
        typer.Option(help="The training's log.jsonl; default: the checkpoint's training.jsonl."),
    ] = None,
    submitted_by: Annotated[str | None, typer.Option(help="A person or a group.")] = None,
    link: Annotated[
        list[str] | None, typer.Option(help="paper=https://..; may be given again.")
    ] = None,
    notes: Annotated[str | None, typer.Option(help="One line.")] = None,
) -> None:
    """Pack a complete run of unmodified tasks as a submission.

    Keys, local paths and names of machines are taken out. What cannot be known from the run comes
    from options, from --details or, in a terminal, by asking.
    """
    from spa_bench.checkpoint import read_boards, read_card
    from spa_bench.errors import InputError
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
    typer.echo(f"{submission.path}; now: spa-bench leaderboard verify {submission.path}")
