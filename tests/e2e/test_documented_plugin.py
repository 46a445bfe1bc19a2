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


def _install(page: str, folder: Path) -> tuple[Path, dict[str, str]]:
    """Installs the packages as a page has them, beside this environment."""
    written = _write(page, folder)
    packages = [str(path.parent) for path in written if path.name == "pyproject.toml"]
    site = folder / "site"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--target", str(site), *packages]
    subprocess.run(command, check=True, capture_output=True)
    found = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return folder, {**os.environ, "PYTHONPATH": os.pathsep.join(found)}


def _write(page: str, folder: Path) -> list[Path]:
    """Writes the files that a page shows."""
    written: list[Path] = []
    for name, content in _FILE.findall((DOCS / page).read_text(encoding="utf-8")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n", encoding="utf-8")
        written.append(path)
    return written


def _spa_bench(installed: tuple[Path, dict[str, str]], *arguments: str) -> str:
    code = "import sys; from spa_bench.cli import main; main(sys.argv[1:])"
    return _python(installed, "-c", code, *arguments)


def _python(installed: tuple[Path, dict[str, str]], *arguments: str) -> str:
    folder, environment = installed
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _rows(table: str) -> list[dict[str, str]]:
    """Reads from a table of `--output-format csv` what is said of tasks, not of the whole run."""
    header, *lines = table.strip().split("\n")
    rows = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    return [row for row in rows if row["task"]]


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
    rows = _rows(table)
    assert {row["task"] for row in rows} == {"lights_out", "lights_out_transition"}
    for row in rows:
        if row["metric"] in ("pass@1", "accuracy"):
            assert (row["value"], row["ceiling"]) == ("1.0", "1.0")


def test_the_example_shows_what_a_model_will_see(
    installed: tuple[Path, dict[str, str]],
) -> None:
    shown = _spa_bench(installed, "show", "lights_out", "--include-path", "tasks")
    assert "Lamps on: (" in shown
    assert "shortest plan 3" in shown or "shortest plan 1" in shown or "shortest plan 2" in shown


def test_the_example_of_a_format_is_written_and_read(
    installed: tuple[Path, dict[str, str]],
) -> None:
    table = _spa_bench(
        installed,
        *("evaluate", "--model", "baseline/oracle", "--tasks", "frozenlake_boxed"),
        *("--include-path", "boxed/tasks", "--limit", "4", "--repeats", "1"),
        *("--output", "boxed-run", "--output-format", "csv"),
    )
    assert (_rows(table)[0]["metric"], _rows(table)[0]["value"]) == ("pass@1", "1.0")
    assert "\\\\boxed{" in (installed[0] / "boxed-run" / "episodes.jsonl").read_text("utf-8")


def test_the_example_in_gymnasium_solves_its_board(installed: tuple[Path, dict[str, str]]) -> None:
    assert _python(installed, "in_gymnasium.py").endswith("\nTrue True\n")


def test_the_example_of_a_world_from_gymnasium_validates(
    installed: tuple[Path, dict[str, str]],
) -> None:
    checked = _spa_bench(installed, "validate", "my_tasks")
    assert "checked 1 task and 0 groups with 8 boards: 0 problems" in checked


def test_the_example_of_a_world_from_gymnasium_is_evaluated(
    installed: tuple[Path, dict[str, str]],
) -> None:
    table = _spa_bench(
        installed,
        *("evaluate", "--model", "baseline/random", "--tasks", "gymnasium_lake"),
        *("--include-path", "my_tasks", "--limit", "2", "--repeats", "1"),
        *("--output", "lake-run", "--output-format", "csv"),
    )
    assert {row["task"] for row in _rows(table)} == {"gymnasium_lake"}


@pytest.mark.parametrize(
    ("page", "task"), [("adding-a-task.md", "sokoban_8x8"), ("probes.md", "lake_8x8_transition")]
)
def test_a_task_that_a_page_shows_is_evaluated(page: str, task: str, tmp_path: Path) -> None:
    _write(page, tmp_path)
    table = _spa_bench(
        (tmp_path, dict(os.environ)),
        *("evaluate", "--model", "baseline/random", "--tasks", task, "--include-path", "my_tasks"),
        *("--limit", "2", "--repeats", "1", "--output", "run", "--output-format", "csv"),
    )
    assert {row["task"] for row in _rows(table)} == {task}


def test_the_example_of_a_model_is_evaluated(tmp_path: Path) -> None:
    table = _spa_bench(
        _install("models.md", tmp_path),
        *("evaluate", "--model", "compass/Right", "--tasks", "frozenlake", "--limit", "8"),
        *("--output", "run", "--output-format", "csv"),
    )
    row = _rows(table)[0]
    assert (row["model"], row["task"], row["metric"]) == ("compass/Right", "frozenlake", "pass@1")
    assert float(row["value"]) > 0
