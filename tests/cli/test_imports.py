"""Nothing heavy is imported before it is needed: an import, a list, a baseline stay light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "transformers", "openai", "accelerate", "peft", "trl", "datasets", "vllm"}
SLOW = HEAVY | {"scipy", "pandas", "matplotlib", "aiohttp", "jinja2"}

SCRIPTS = {
    "the package": "import spa_bench",
    "the command line": "import spa_bench.cli",
    "evaluate in Python": "import spa_bench.evaluation",
    "help": "run('--help')",
    "help of a command": "run('evaluate', '--help')",
    "list tasks": "run('list', 'tasks')",
    "list models": "run('list', 'models')",
    "list environments": "run('list', 'environments')",
    "show": "run('show', 'sokoban')",
    "a baseline": "run('evaluate', '--model', 'baseline/oracle', '--tasks', 'sokoban', '--limit',"
    " '1', '--repeats', '1', '--output', 'run')",
    "bad input": "run('evaluate', '--model', 'baseline/x')",
}

PRELUDE = """
import contextlib, io, json, sys
def run(*arguments):
    from spa_bench.cli import main
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main(arguments)
"""


def imported(script: str, folder: Path) -> set[str]:
    """Returns the top-level modules that a fresh process has imported after the script."""
    tell = "\nprint(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script + tell],
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("what", SCRIPTS)
def test_no_model_library_is_imported(tmp_path: Path, what: str) -> None:
    assert not imported(SCRIPTS[what], tmp_path) & HEAVY


@pytest.mark.parametrize("what", ["the package", "the command line", "help", "help of a command"])
def test_help_imports_nothing_slow(tmp_path: Path, what: str) -> None:
    assert not imported(SCRIPTS[what], tmp_path) & (SLOW | {"numpy", "yaml"})
