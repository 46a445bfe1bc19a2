"""`spa-bench leaderboard verify DIR ..`: is a submission what it says?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from spa_bench.submission.folder import SubmissionFolder
    from spa_bench.submission.schema import Verification
    from spa_bench.submission.verify import Report

_SHOWN = 20


def verify(
    submissions: Annotated[list[Path], typer.Argument(help="Folders of submissions.")],
    model: Annotated[
        Path | None,
        typer.Option(
            help="The claimed open weights; checks that the replies are plausible under them."
        ),
    ] = None,
    replies: Annotated[
        int, typer.Option(min=8, help="For --model: number of replies to score.")
    ] = 64,
    nonce: Annotated[
        str | None,
        typer.Option(
            help="For --model: the nonce in an earlier check's verification.json, to repeat it."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="For --model: cpu, cuda, ..")] = None,
    dtype: Annotated[str | None, typer.Option(help="For --model: float32, bfloat16, ..")] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            help="Another folder of submissions to check for copying; those in the same folder are"
            " always checked. Can be repeated."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what was found; write nothing.")
    ] = False,
) -> None:
    """Verify submissions by replay and, with --model, by scoring their replies.

    Regenerates the boards, replays the actions, rebuilds the prompts, parses the replies again and
    recomputes the figures. With --model, the weights also score a sample of the replies.

    Prints what differs, down to the step. Writes the outcome, with badge and flags, to
    verification.json in the submission's folder. Exits with code 1 if anything differs.
    """
    from spa_bench.errors import InputError
    from spa_bench.registry import Registry
    from spa_bench.submission.folder import SubmissionFolder, folders_in
    from spa_bench.submission.schema import NONCE
    from spa_bench.submission.verify import samples_beside, write_verification
    from spa_bench.submission.verify import verify as verify_submission

    if nonce is not None and not re.fullmatch(NONCE, nonce):
        raise InputError(f"--nonce {nonce!r}: not 32 hexadecimal digits, as verification.json says")
    for more in beside or ():
        folders_in(more)  # a name that is misspelt is said before anything is touched
    registry = Registry()
    weights = None if model is None else _Weights(model, replies, nonce, device, dtype)
    worst = 0
    for path in submissions:
        folder, verification = SubmissionFolder(path), None
        try:
            report = verify_submission(folder, registry, samples_beside(folder, *(beside or ())))
        except InputError as error:
            typer.echo(f"{path}: refused\n  {error}", err=True)
            code = 2
        else:
            verification, code = _concluded(folder, report, weights)
        worst = max(worst, code)
        if not dry_run:
            write_verification(folder, verification)
    if worst:
        raise typer.Exit(worst)


class _Weights(NamedTuple):
    """The claimed weights, and how to score replies under them."""

    path: Path
    replies: int
    nonce: str | None
    device: str | None
    dtype: str | None


def _concluded(
    folder: SubmissionFolder, report: Report, weights: _Weights | None
) -> tuple[Verification | None, int]:
    """Prints what came of a replay, and of the weights if there are any; returns what to write,
    and the exit code."""
    from spa_bench.errors import SpaBenchError
    from spa_bench.submission.verify import with_earlier_badge

    _print_replay(folder, report)
    if report.verification is None:
        return None, 1
    code = 0
    try:
        if weights is None:
            verification = with_earlier_badge(folder, report.verification)
            if verification.badge == "authored":
                typer.echo("  weights: not checked; verification.json keeps the earlier result")
        else:
            verification = _by_weights(folder, report, weights)
    except SpaBenchError as error:
        typer.echo(f"  weights: not checked: {error}", err=True)
        verification, code = with_earlier_badge(folder, report.verification), 2
    typer.echo(f"  badge: {verification.badge}")
    for flag in verification.flags:
        typer.echo(f"  flag: {f'{flag.task}: ' if flag.task else ''}{flag.says}")
    return verification, code


def _by_weights(folder: SubmissionFolder, report: Report, weights: _Weights) -> Verification:
    import asyncio

    from spa_bench.plugins import make_model, resolve_model
    from spa_bench.submission.authorship import authored, says

    path = weights.path
    provider, options = resolve_model(
        str(path.absolute()), device=weights.device, dtype=weights.dtype
    )
    scorer = make_model(options, provider)
    found = asyncio.run(authored(folder, report, scorer, path, weights.replies, weights.nonce))
    if found.authorship is not None:
        typer.echo(f"  {says(found.authorship)}")
    return found


def _print_replay(folder: SubmissionFolder, report: Report) -> None:
    speed = report.episodes / report.seconds
    typer.echo(
        f"{folder.path}: {report.episodes:,} episodes, {report.turns:,} turns replayed in"
        f" {report.seconds:.1f} s ({speed:,.0f} episodes/s)"
    )
    if report.verification is not None:
        return
    more = "at least " if report.stopped else ""
    typer.echo(f"  does not verify: {more}{len(report.differences)} difference(s)")
    for line in report.differences[:_SHOWN]:
        typer.echo(f"  - {line}")
    if len(report.differences) > _SHOWN:
        typer.echo(f"  .. and {len(report.differences) - _SHOWN} more")
