"""A submission of two small tasks and a probe."""

from __future__ import annotations

import pytest
from submissions import ABOUT, NOBODY, FewBoards, evaluated, moody

from spa_bench.submission.folder import SubmissionFolder
from spa_bench.submission.pack import pack


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SubmissionFolder:
    path = tmp_path_factory.mktemp("submissions")
    tasks = ("sokoban", "frozenlake_slippery_wm", "sokoban_legality")
    run = evaluated(path / "run", moody(), tasks=tasks)
    packed = pack(run, ABOUT, path / "tiny", FewBoards(), scrubber=NOBODY)
    (packed.path / "verification.json").write_text("{}")
    return packed
