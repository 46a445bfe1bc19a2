"""`spa-bench leaderboard`: submissions, packed, verified and published."""

from __future__ import annotations

import typer

from spa_bench.cli.leaderboard_build import build
from spa_bench.cli.leaderboard_export import export
from spa_bench.cli.leaderboard_pack import pack
from spa_bench.cli.leaderboard_publish import publish
from spa_bench.cli.leaderboard_verify import verify

app = typer.Typer(
    help="Pack a run as a submission, verify it by replay, build pages, export, publish.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

for _command in (pack, verify, build, export, publish):
    app.command()(_command)
