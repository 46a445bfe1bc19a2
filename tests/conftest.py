"""What all tests share. Helpers that need no fixture stand in `scripted` and `worlds`."""

from __future__ import annotations

import gc

import pytest
from hypothesis import settings
from scripted import Scripted
from worlds import sokoban_task

from spa_bench.task import Task

# property tests look for wrong answers, not slow ones: the machine may be busy
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_collection_finish() -> None:
    """What is imported by now stays: no collection of garbage need look through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def scripted() -> type[Scripted]:
    """The model that says what a test tells it to."""
    return Scripted


@pytest.fixture(scope="session")
def task() -> Task:
    """The built-in Sokoban task."""
    return sokoban_task()
