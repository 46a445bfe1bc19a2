"""The examples of the documentation's pages, installed and played as the pages say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
_FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)\n```", re.DOTALL)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    return _install("adding-an-environment.md", tmp_path_factory.mktemp("lights_out"))


def _install(page: str, package: Path) -> tuple[Path, dict[str, str]]:
    """Installs the package as a page has it, beside this environment."""
    for name, content in _FILE.findall((DOCS / page).read_text()):
        path = package / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content + "\n")
    site = package / "site"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--target", str(site), str(package)]
    subprocess.run(command, check=True, capture_output=True)
    return package, {**os.environ, "PYTHONPATH": str(site)}


def _spa_bench(installed: tuple[Path, dict[str, str]], *arguments: str) -> str:
    package, environment = installed
    code = "import sys; from spa_bench.cli import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=package,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_validates(installed: tuple[Path, dict[str, str]]) -> None:
    assert "checked 2 tasks and 0 groups with 96 boards: 0 problems" in _spa_bench(
        installed, "validate", "tasks"
    )


def test_the_oracle_solves_every_board_of_the_example(
    installed: tuple[Path, dict[str, str]],
) -> None:
    output = ["--output", "run", "--output-format", "csv"]
    table = _spa_bench(
        installed,
        *("evaluate", "--model", "baseline/oracle", "--tasks", "lights_out,lights_out_transition"),
        *("--include-path", "tasks", *output),
    )
    header, *lines = table.strip().split("\n")
    rows = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    assert {row["task"] for row in rows} == {"lights_out", "lights_out_transition", ""}
    for row in rows:
        if row["metric"] in ("pass@1", "accuracy"):
            assert (row["value"], row["ceiling"]) == ("1.0", "1.0")


def test_the_example_shows_what_a_model_will_see(
    installed: tuple[Path, dict[str, str]],
) -> None:
    shown = _spa_bench(installed, "show", "lights_out", "--include-path", "tasks")
    assert "Lamps on: (" in shown
    assert "shortest plan 3" in shown or "shortest plan 1" in shown or "shortest plan 2" in shown


def test_the_example_of_a_model_is_evaluated(tmp_path: Path) -> None:
    table = _spa_bench(
        _install("models.md", tmp_path),
        *("evaluate", "--model", "compass/Right", "--tasks", "frozenlake", "--limit", "8"),
        *("--output", "run", "--output-format", "csv"),
    )
    header, first, *_ = table.strip().split("\n")
    row = dict(zip(header.split(","), first.split(","), strict=True))
    assert (row["model"], row["task"], row["metric"]) == ("compass/Right", "frozenlake", "pass@1")
    assert float(row["value"]) > 0
