"""`spa-bench leaderboard`: submissions, packed, verified and published."""

from __future__ import annotations

import typer

from spa_bench.cli.leaderboard_build import build
from spa_bench.cli.leaderboard_pack import pack
from spa_bench.cli.leaderboard_verify import verify

app = typer.Typer(
    help="Pack a run as a submission, verify submissions by replay, build the pages, publish.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

for _command in (pack, verify, build):
    app.command()(_command)
