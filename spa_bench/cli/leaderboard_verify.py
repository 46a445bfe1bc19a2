"""`spa-bench leaderboard verify DIR ..`: is a submission what it says?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from spa_bench.submission.folder import SubmissionFolder
    from spa_bench.submission.verify import Report

_SHOWN = 20


def verify(
    submissions: Annotated[list[Path], typer.Argument(help="Folders of submissions.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what was found; write nothing.")
    ] = False,
) -> None:
    """Verify submissions: boards regenerated, actions replayed, prompts rebuilt, replies read
    again, figures recomputed.

    Prints what differs, to the step. Writes what it found, the badge and the flags, into
    verification.json beside the submission; exits with 1 if anything differs.
    """
    from spa_bench.errors import InputError
    from spa_bench.registry import Registry
    from spa_bench.submission.folder import SubmissionFolder
    from spa_bench.submission.verify import samples_beside, write_verification
    from spa_bench.submission.verify import verify as verify_submission

    registry = Registry()
    worst = 0
    for path in submissions:
        folder = SubmissionFolder(path)
        try:
            report = verify_submission(folder, registry, samples_beside(folder))
        except InputError as error:
            typer.echo(f"{path}: refused\n  {error}", err=True)
            worst = 2
            if not dry_run:
                write_verification(folder, None)
            continue
        _print(folder, report)
        if not dry_run:
            write_verification(folder, report.verification)
        if report.verification is None:
            worst = max(worst, 1)
    if worst:
        raise typer.Exit(worst)


def _print(folder: SubmissionFolder, report: Report) -> None:
    speed = report.episodes / report.seconds
    typer.echo(
        f"{folder.path}: {report.episodes:,} episodes, {report.turns:,} turns replayed in"
        f" {report.seconds:.1f} s ({speed:,.0f} episodes a second)"
    )
    if report.verification is None:
        more = "at least " if report.stopped else ""
        typer.echo(f"  does not verify: {more}{len(report.differences)} difference(s)")
        for line in report.differences[:_SHOWN]:
            typer.echo(f"  - {line}")
        if len(report.differences) > _SHOWN:
            typer.echo(f"  .. and {len(report.differences) - _SHOWN} more")
        return
    typer.echo(f"  badge: {report.verification.badge}")
    for flag in report.verification.flags:
        typer.echo(f"  flag: {f'{flag.task}: ' if flag.task else ''}{flag.says}")
