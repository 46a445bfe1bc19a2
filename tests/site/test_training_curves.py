"""Training curves: what a submission's log says, on its page and beside those of others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pages import REPORTED, Elements

from benchmarks.tampering import Copy
from spa_bench.site.build import build
from spa_bench.site.pictures import curve, training_charts
from spa_bench.submission.training import Step, to_lines

LOG: list[Step] = [
    {"step": float(i), "reward": i / 10, "sokoban/pass@1": i / 20, "sokoban/pass@8": i / 10}
    for i in range(0, 11, 2)
]


@pytest.fixture(scope="module")
def site(submissions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    own = Path(shutil.copytree(submissions / "strong", folder / "submissions" / "strong"))
    (own / "training.jsonl").write_bytes(to_lines(LOG))
    Copy(own).sign()  # unverified now: a log of a training is shown all the same
    assert build([folder / "submissions"], folder / "site", REPORTED, most=4).problems == []
    return folder / "site"


def figures(page: Path) -> list[str]:
    found = Elements(page.read_text(encoding="utf-8")).found
    return [text.strip() for tag, _, text in found if tag == "figcaption"]


def test_the_leaderboard_draws_held_out_success(site: Path) -> None:
    assert "Training on sokoban" in figures(site / "index.html")
    assert "a training cannot be replayed" in (site / "index.html").read_text()


def test_a_submission_shows_and_hands_out_its_own(site: Path) -> None:
    folder = site / "submissions" / "strong"
    assert {"Training on sokoban", "Reward"} <= set(figures(folder / "index.html"))
    assert (folder / "training.jsonl").read_bytes() == to_lines(LOG)


def test_a_leaderboard_without_logs_has_no_such_picture(submissions: Path, tmp_path: Path) -> None:
    build([submissions], tmp_path / "site", REPORTED, most=4)
    assert not [name for name in figures(tmp_path / "site" / "index.html") if "Training" in name]


def test_a_picture_a_task_with_every_k() -> None:
    first, reward = training_charts(LOG)
    assert (first.title, [one.name for one in first.series]) == (
        "Training on sokoban",
        ["Pass@1", "Pass@8"],
    )
    assert [mark.y for mark in first.series[1].marks][-1] == first.top
    assert len(reward.series[0].marks) == len(LOG)


def test_pictures_stand_in_the_order_of_tasks_and_curves_in_that_of_k() -> None:
    names = ("sudoku/pass@10", "sokoban_wm/pass@1", "sudoku/pass@2", "sokoban/pass@1")
    log: list[Step] = [{"step": 0.0, **dict.fromkeys(names, 0.5)}]
    found = [(one.title, [s.name for s in one.series]) for one in training_charts(log)]
    assert found == [
        ("Training on sokoban", ["Pass@1"]),
        ("Training on sokoban_wm", ["Pass@1"]),
        ("Training on sudoku", ["Pass@2", "Pass@10"]),
    ]


def test_a_long_training_is_thinned_and_keeps_its_end() -> None:
    log: list[Step] = [{"step": float(i), "reward": float(i)} for i in range(12_345)]
    points = curve(log, "reward")
    assert 50 <= len(points) <= 101
    assert (points[0].x, points[-1].x) == (0, 12_344)
