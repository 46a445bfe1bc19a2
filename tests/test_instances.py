"""Manifests of boards: made the same everywhere, and checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from worlds import sokoban_task

from spa_bench.errors import InputError
from spa_bench.instances import Manifest, check_manifests, make_manifests, write_manifests
from spa_bench.probes.world import ProbeWorld
from spa_bench.registry import Registry
from spa_bench.task import Task, split_of

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "leaderboard" / "instances"


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    return make_manifests(Registry().resolve(["sokoban", "sokoban_grid", "frozenlake"]))


def test_tasks_that_play_the_same_boards_share_a_manifest(manifests: list[Manifest]) -> None:
    assert [m.content["tasks"] for m in manifests] == [["frozenlake"], ["sokoban", "sokoban_grid"]]


@pytest.fixture(scope="module")
def all_tasks() -> list[Task]:
    return Registry().resolve(["*"])


def test_the_published_manifests_are_the_boards_of_the_tasks(all_tasks: list[Task]) -> None:
    """All worlds, and one kind of probe of each; `make tasks` checks the other probes, too."""
    chosen = [
        task
        for task in all_tasks
        if not isinstance(task.environment, ProbeWorld) or "_reachability" in task.name
    ]
    told = check_manifests(make_manifests(chosen), PUBLISHED, complete=False)
    assert told == []


def test_every_task_is_in_one_published_manifest(all_tasks: list[Task]) -> None:
    listed = [name for p in PUBLISHED.glob("*.json") for name in json.loads(p.read_text())["tasks"]]
    assert sorted(listed) == sorted(task.name for task in all_tasks)


def test_boards_of_a_split_belong_to_it() -> None:
    for path in PUBLISHED.glob("*-test-*.json"):
        boards = json.loads(path.read_text())["boards"]
        assert {split_of(key) for _, key in boards} <= {"test"}, path.name


def test_a_split_in_which_a_world_has_no_board_is_not_searched_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one blank all Sudokus of 4x4 are one but for symmetry, and it is a validation board."""
    monkeypatch.setattr("spa_bench.task._PATIENCE", 20)
    path = tmp_path / "one.yaml"
    path.write_text(
        f"include: {ROOT / 'tasks/sudoku/_sudoku.yaml'}\n"
        "task: one\ndescription: one blank\nenvironment: {clues: 15}\n"
        "instances: {split: train, seeds: 10000-4000000000, count: 3}\n"
    )
    with pytest.raises(InputError, match=r"'one': 20 seeds in a row give no board .* 'train'"):
        _ = Registry().resolve([str(path)])[0].boards
    path.write_text(path.read_text().replace("split: train", "split: validation"))
    assert len(Registry().resolve([str(path)])[0].boards[0]) == 3


def test_what_was_written_checks(manifests: list[Manifest], tmp_path: Path) -> None:
    write_manifests(manifests, tmp_path, complete=True)
    assert check_manifests(manifests, tmp_path, complete=True) == []


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda p: p.write_text(p.read_text().replace("d4:", "d5:", 1)), "is d5:"),
        (lambda p: p.write_text("[]"), "not a manifest"),
        (lambda p: p.unlink(), "missing"),
        (lambda p: p.write_text(p.read_text().replace('"123-250"', '"1-9"', 1)), "seeds is '1-9'"),
        (lambda p: p.rename(p.with_name("stray.json")), "no task plays these boards"),
        (lambda p: p.write_text(p.read_text() + "\n"), "layout"),
    ],
)
def test_every_change_is_told(damage, told: str, manifests: list[Manifest], tmp_path: Path) -> None:
    write_manifests(manifests, tmp_path, complete=True)
    damage(tmp_path / manifests[0].name)
    assert any(told in problem for problem in check_manifests(manifests, tmp_path, complete=True))


@pytest.fixture
def folder(manifests: list[Manifest], tmp_path: Path) -> Path:
    """A folder with all manifests, one of boards nobody plays, and files of others."""
    write_manifests(manifests, tmp_path, complete=True)
    (tmp_path / "old.json").write_bytes(manifests[0].to_json())
    for name, content in (("package.json", "{}"), ("list.json", "[]"), ("broken.json", "{")):
        (tmp_path / name).write_text(content)
    return tmp_path


def test_manifests_of_all_tasks_replace_those_of_boards_nobody_plays(
    manifests: list[Manifest], folder: Path
) -> None:
    told = check_manifests(manifests, folder, complete=True)
    assert told == [f"{folder / 'old.json'}: no task plays these boards"]
    before = {path.name for path in folder.iterdir()}
    write_manifests(manifests, folder, complete=True)
    assert before - {path.name for path in folder.iterdir()} == {"old.json"}


def test_manifests_of_some_tasks_leave_all_others_alone(
    manifests: list[Manifest], folder: Path
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert check_manifests(manifests[:1], folder, complete=False) == []
    write_manifests(manifests[:1], folder, complete=False)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_list_of_seeds_and_a_range_of_seeds_are_two_files() -> None:
    tasks = [
        sokoban_task(task=name, instances={"split": "all", "seeds": seeds})
        for name, seeds in (("listed", "1,5"), ("ranged", "1-5"))
    ]
    made = {m.name: m.content["seeds"] for m in make_manifests(tasks)}
    assert sorted(made.values()) == ["1,5", "1-5"]


def test_a_missing_folder_is_told(manifests: list[Manifest], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        check_manifests(manifests, tmp_path / "nowhere", complete=True)


def test_a_task_alone_is_checked_beside_those_that_share_its_boards(all_tasks: list[Task]) -> None:
    (chosen,) = Registry().resolve(["frozenlake"])
    manifests = make_manifests([chosen], all_tasks)
    assert len(manifests) == 1
    assert len(manifests[0].content["tasks"]) > 3
    assert check_manifests(manifests, PUBLISHED, complete=False) == []
