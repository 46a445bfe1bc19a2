"""The command line. Each subcommand is one small file that parses, calls and prints.

Nothing heavy is imported before a command needs it, so `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import TextIOWrapper
from typing import Any, cast

import typer

from spa_bench.cli.compare import compare
from spa_bench.cli.evaluate import evaluate
from spa_bench.cli.foresight import foresight
from spa_bench.cli.hints import with_hint
from spa_bench.cli.instances import app as instances_app
from spa_bench.cli.leaderboard import app as leaderboard_app
from spa_bench.cli.list import app as list_app
from spa_bench.cli.lm_eval import lm_eval_export, lm_eval_path
from spa_bench.cli.merge import merge
from spa_bench.cli.perplexity import perplexity
from spa_bench.cli.play import play
from spa_bench.cli.results import results
from spa_bench.cli.show import show
from spa_bench.cli.train import train
from spa_bench.cli.validate import validate
from spa_bench.cli.view import view
from spa_bench.errors import SpaBenchError
from spa_bench.privacy import no_telemetry
from spa_bench.terminal import Plain, printable

_UsageProblem: type[Exception] = typer.BadParameter.__mro__[2]
"""Typer's own ClickException, which it does not export: base of all complaints about arguments."""


def _same_word(name: str) -> str:
    """Makes `--model_args` and `--model-args` the same option."""
    return name.replace("_", "-")


_CONTEXT = {
    "help_option_names": ["-h", "--help"],
    "token_normalize_func": _same_word,
    "max_content_width": 100,
}

app = typer.Typer(
    name="spa-bench",
    help="Measure whether a language-model agent has an internal world model.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=_CONTEXT,
)


def _version(wanted: bool) -> None:
    if wanted:
        from spa_bench import __version__

        typer.echo(f"spa-bench {__version__}")
        raise typer.Exit


@app.callback()
def _root(  # pyright: ignore[reportUnusedFunction]
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


for _command in (
    evaluate,
    show,
    play,
    compare,
    results,
    merge,
    perplexity,
    foresight,
    view,
    train,
    validate,
):
    app.command(context_settings=_CONTEXT)(_command)
for _command in (lm_eval_path, lm_eval_export):
    app.command(context_settings=_CONTEXT)(_command)
app.add_typer(list_app, name="list", context_settings=_CONTEXT)
app.add_typer(leaderboard_app, name="leaderboard", context_settings=_CONTEXT)
app.add_typer(instances_app, name="instances", context_settings=_CONTEXT)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 1 incomplete, 2 bad input, 130 interrupted."""
    no_telemetry()
    _open_streams()
    stdout: Any = sys.stdout
    if isinstance(stdout, TextIOWrapper):
        stdout.reconfigure(errors="replace")  # a board's symbols on a Latin-1 terminal
    try:
        with (
            redirect_stdout(cast(Any, Plain(sys.stdout))),
            redirect_stderr(cast(Any, Plain(sys.stderr))),
        ):
            code = typer.main.get_command(app).main(
                # not list(..): in this package `list` is the subcommand's module
                [*arguments] if arguments is not None else None,
                standalone_mode=False,
            )
    except _UsageProblem as error:
        code = _explain(error)
    except SpaBenchError as error:
        code = _complain(str(error), error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except OSError as error:
        code = _complain(f"{error.filename or 'output'}: {error.strerror or error}", 1)
        sys.stdout = None  # what could not be written is not tried again
    except SystemExit as error:
        # typer's way out where the reader of our output, such as `head`, is gone
        gone = isinstance(error.__context__, BrokenPipeError)
        code = 0 if gone else _complain(f"something called exit({error.code!r})", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _open_streams() -> None:
    """Opens what our caller closed, so that no file of ours gets its number, on nothing."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _explain(error: Any) -> int:
    message = with_hint(error)
    if type(error).__name__ != "NoArgsIsHelpError":
        return _complain(message)
    print(printable(message), file=sys.stderr)
    return 2


def _complain(message: str, code: int = 2) -> int:
    print(f"error: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code
