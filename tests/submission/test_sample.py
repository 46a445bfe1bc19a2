"""Which replies are scored: a share of every task's, and nobody can know them beforehand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from submissions import TASKS, FewBoards

from benchmarks.tampering import Copy
from spa_bench.runner.plan import Plan
from spa_bench.submission.folder import SubmissionFolder
from spa_bench.submission.sample import drawn, sample

SUBMISSIONS = Path(__file__).parents[2] / "leaderboard" / "submissions"


def plan(repeats: int = 4) -> Plan:
    """Returns two boards of either task: the first task's episodes come first."""
    registry = FewBoards()
    return Plan([registry.load(name) for name in TASKS], [repeats] * len(TASKS), "0")


def test_another_nonce_draws_other_episodes_and_the_same_one_the_same() -> None:
    assert drawn(plan(100), 20, "a") == drawn(plan(100), 20, "a")
    assert drawn(plan(100), 20, "a").keys() != drawn(plan(100), 20, "b").keys()


@pytest.mark.parametrize(
    ("count", "shares"), [(2, {1}), (6, {3}), (7, {3, 4}), (99, {8}), (1, {1})]
)
def test_every_task_has_its_share(count: int, shares: set[int]) -> None:
    for nonce in "abc":
        places = drawn(plan(), count, nonce)
        first = sum(place < 8 for place in places)
        assert {first, len(places) - first} == shares


def test_the_draw_cannot_be_steered_by_an_edit_of_the_readme(copy: Copy) -> None:
    folder = SubmissionFolder(copy.path)
    before = sample(folder, plan(), True, 8, "a")
    (copy.path / "README.md").write_text("another hash")
    copy.sign()
    assert sample(folder, plan(), True, 8, "a") == before


def test_broken_episodes_are_not_drawn(copy: Copy) -> None:
    lines = copy.lines()
    assert {line["status"] for line in lines} == {"complete", "infrastructure"}
    complete = sum(line["status"] == "complete" and line["turns"] != [] for line in lines)
    assert len(sample(SubmissionFolder(copy.path), plan(), True, 100, "a")) == complete


def test_a_verification_without_a_nonce_is_read(tmp_path: Path) -> None:
    shutil.copytree(SUBMISSIONS / "nano-base-frozenlake", tmp_path / "row")
    folder = SubmissionFolder(tmp_path / "row")
    path = folder.path / "verification.json"
    said = json.loads(path.read_text())
    del said["authorship"]["nonce"]
    path.write_text(json.dumps(said))
    found = folder.verification()
    assert found is not None
    assert found.authorship is not None
    assert (found.badge, found.authorship.nonce) == ("authored", None)
