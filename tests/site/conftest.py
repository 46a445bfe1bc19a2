"""A run and a leaderboard to look at, made for real once a session."""

from __future__ import annotations

from pathlib import Path

import pytest
from pages import REPORTED, play_run, submissions_once

from spa_bench.site.build import build


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose model believes much that is wrong, and writes markup."""
    return play_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def submissions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of four submissions, of which three are verified."""
    return submissions_once(tmp_path_factory)


@pytest.fixture(scope="session")
def site(submissions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The leaderboard of these submissions."""
    folder = tmp_path_factory.mktemp("site")
    assert build([submissions], folder, REPORTED, most=64).problems == []
    return folder
