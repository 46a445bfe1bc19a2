"""`spa-bench leaderboard publish DIR --to ..`: a submission goes where others see it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def publish(
    submission: Annotated[Path, typer.Argument(help="A submission's folder.")],
    to: Annotated[
        str,
        typer.Option(help="github:OWNER/NAME, hf:OWNER/NAME (a model) or hf:datasets/OWNER/NAME."),
    ],
    benchmark: Annotated[
        str | None,
        typer.Option(help="For hf:OWNER/NAME: the Hub dataset that represents this benchmark."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be sent.")
    ] = False,
) -> None:
    """Publish a submission as a pull request, through `gh` or huggingface_hub.

    It is verified first, and sent only if it verifies.
    """
    from spa_bench.errors import InputError
    from spa_bench.interop.publish import Target, check, prepare, send
    from spa_bench.registry import Registry
    from spa_bench.submission.folder import SubmissionFolder
    from spa_bench.submission.verify import verify

    target = Target.parse(to)
    check(target, benchmark)
    folder = SubmissionFolder(submission)
    report = verify(folder, Registry())
    if report.results is None or report.verification is None:
        raise InputError(
            f"{submission} does not verify: {report.differences[0]}; see"
            f" `spa-bench leaderboard verify {submission}`"
        )
    delivery = prepare(folder, report.submission, report.results, target, benchmark)
    if dry_run:
        typer.echo(f"would be sent to {to} as a pull request: {delivery.title}\n")
        for path, content in delivery.files.items():
            typer.echo(f"  {path}  {len(content):,} bytes")
        typer.echo(f"\n{delivery.body}", nl=False)
        return
    typer.echo(send(target, delivery))
