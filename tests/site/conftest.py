"""Runs to look at, played for real once a session."""

from __future__ import annotations

from pathlib import Path

import pytest
from believer import Believer

import spa_bench

TASKS = "sokoban_wm,frozenlake_slippery_wm,sudoku_wm"


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose model believes much that is wrong, and writes markup."""
    folder = tmp_path_factory.mktemp("run")
    spa_bench.evaluate(Believer(), TASKS, limit=3, repeats=2, output=folder)
    return folder
