"""The wheel and the sdist hold all that the commands need, away from the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def said(folder: Path, *command: str, path: Path | None = None) -> str:
    more = {} if path is None else {"PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "HOME": str(folder), **more},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=["wheel", pytest.param("sdist", marks=pytest.mark.slow)])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with the package as pip installs it, without its dependencies."""
    work = tmp_path_factory.mktemp(request.param)
    said(ROOT, "-m", "hatchling", "build", "-t", request.param, "-d", str(work / "dist"))
    (package,) = (work / "dist").iterdir()
    if request.param == "sdist":
        with tarfile.open(package) as archive:
            archive.extractall(work, filter="data")
        (source,) = (path for path in work.iterdir() if path.name != "dist")
        said(source, "-m", "hatchling", "build", "-t", "wheel", "-d", str(work / "built"))
        (package,) = (work / "built").iterdir()
    pip = ("-m", "pip", "install", "-q", "--no-deps", "--no-index")
    said(work, *pip, "--target", str(work / "site"), str(package))
    return work / "site"


def spa_bench(folder: Path, installed: Path, *arguments: str) -> str:
    code = "from spa_bench.cli import main; main()"
    return said(folder, "-c", code, *arguments, path=installed)


def test_it_is_the_installed_package_that_runs(installed: Path, tmp_path: Path) -> None:
    where = said(tmp_path, "-c", "import spa_bench; print(spa_bench.__file__)", path=installed)
    assert Path(where.strip()).is_relative_to(installed)


def test_tasks_pages_and_commands_are_inside(installed: Path, tmp_path: Path) -> None:
    assert "sokoban_10x10_wm" in spa_bench(tmp_path, installed, "list", "tasks")
    play = ("evaluate", "--model", "baseline/oracle", "--tasks", "sokoban", "--limit", "2")
    assert "sokoban" in spa_bench(tmp_path, installed, *play, "--output", "run")
    spa_bench(tmp_path, installed, "view", "run", "--output", "page.html")
    assert "<script" in (tmp_path / "page.html").read_text()
    spa_bench(tmp_path, installed, "merge", "run", "--output", "merged")
    assert "sokoban" in spa_bench(tmp_path, installed, "compare", "run", "merged")
