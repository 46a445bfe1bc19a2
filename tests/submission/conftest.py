"""One small submission, packed once; tests tamper with copies of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from submissions import ABOUT, NOBODY, FewBoards, evaluated, moody

from benchmarks.tampering import Copy
from spa_bench.runner.log import RunFolder
from spa_bench.submission.folder import SubmissionFolder
from spa_bench.submission.pack import pack


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    path = tmp_path_factory.mktemp("run") / "run"
    evaluated(path, moody(breaks=frozenset({3, 20})))
    return evaluated(path, moody(), resume=True)


@pytest.fixture(scope="session")
def packed(played: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> SubmissionFolder:
    output = tmp_path_factory.mktemp("submissions") / "tiny"
    return pack(played, ABOUT, output, FewBoards(), scrubber=NOBODY)


@pytest.fixture
def copy(packed: SubmissionFolder, tmp_path: Path) -> Copy:
    return Copy(Path(shutil.copytree(packed.path, tmp_path / "tiny")))
