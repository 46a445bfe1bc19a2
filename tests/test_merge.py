"""Shards: the numbers are the same whatever the split, and only parts of one run are merged."""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted, answer

from spa_bench.errors import InputError, ModelError
from spa_bench.evaluation import evaluate_async
from spa_bench.lock import NO_LOCKS
from spa_bench.merge import merge
from spa_bench.models.model import Request
from spa_bench.results.results import Results
from spa_bench.runner.log import RunFolder
from spa_bench.runner.plan import Plan
from spa_bench.runner.shard import Shard

TASKS = "frozenlake_slippery,sudoku_answer"
PLAN: dict[str, Any] = {"limit": 5, "repeats": 2}


def play(folder: Path, shard: str | None = None, **options: Any) -> Results:
    asked = {"model": "baseline/random", "tasks": TASKS, **PLAN, **options}
    return asyncio.run(evaluate_async(output=folder, shard=shard, **asked))


def shards(root: Path, count: int, **options: Any) -> list[Path]:
    folders = [root / f"{i}-of-{count}" for i in range(1, count + 1)]
    for i, folder in enumerate(folders, 1):
        play(folder, f"{i}/{count}", **options)
    return folders


def timeless(folder: Path) -> list[str]:
    """The lines of a log without their times, sorted."""
    lines: list[str] = []
    for line in (folder / "episodes.jsonl").read_text().splitlines():
        episode = json.loads(line)
        del episode["started"], episode["seconds"]
        for turn in episode["turns"]:
            del turn["seconds"]
        lines.append(json.dumps(episode, sort_keys=True))
    return sorted(lines)


def numbers(folder: Path) -> dict[str, Any]:
    """The results of a run without their times."""
    results = json.loads((folder / "results.json").read_bytes())
    del results["efficiency"]
    for task in results["tasks"]:
        del task["seconds"]
    return results


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    play(folder)
    return folder


@pytest.fixture(scope="module")
def thirds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return shards(tmp_path_factory.mktemp("thirds"), 3)


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_the_numbers_are_the_same_whatever_the_split(
    whole: Path, tmp_path: Path, count: int
) -> None:
    parts = shards(tmp_path, count)
    results = merge(parts[::-1], tmp_path / "merged")
    assert timeless(tmp_path / "merged") == timeless(whole)
    assert numbers(tmp_path / "merged") == numbers(whole) | {"partial": True}
    assert results.owed == 0
    info, expected = (RunFolder(path).read_info() for path in (tmp_path / "merged", whole))
    assert info.tasks == expected.tasks
    assert info.shard is None


def test_a_task_that_a_run_names_twice_is_planned_once(whole: Path) -> None:
    info = RunFolder(whole).read_info()
    twice = info.model_copy(update={"tasks": [*info.tasks, *info.tasks]})
    assert [task.hash for task in Plan.of(twice).tasks] == [task.hash for task in info.tasks]


def test_shards_may_name_their_tasks_in_any_order(whole: Path, tmp_path: Path) -> None:
    other_order = ",".join(TASKS.split(",")[::-1])
    parts = [tmp_path / "1", tmp_path / "2"]
    play(parts[0], "1/2")
    play(parts[1], "2/2", tasks=other_order)
    assert merge(parts, tmp_path / "merged").owed == 0
    assert timeless(tmp_path / "merged") == timeless(whole)


def test_the_order_of_the_runs_does_not_matter(thirds: list[Path], tmp_path: Path) -> None:
    logs: set[bytes] = set()
    for n, order in enumerate(itertools.permutations(thirds)):
        merge(order, tmp_path / str(n))
        logs.add((tmp_path / str(n) / "episodes.jsonl").read_bytes())
    assert len(logs) == 1


def test_what_shards_say_of_their_boards_adds_up(thirds: list[Path], tmp_path: Path) -> None:
    parts: list[Path] = []
    for number, folder in enumerate(thirds):
        copy = tmp_path / str(number)
        copy.mkdir()
        (copy / "episodes.jsonl").write_bytes((folder / "episodes.jsonl").read_bytes())
        info = RunFolder(folder).read_info()
        tasks = [task.model_copy(update={"trained_on": number}) for task in info.tasks]
        RunFolder(copy).write_info(info.model_copy(update={"tasks": tasks}))
        parts.append(copy)
    merge(parts, tmp_path / "merged")
    merged = RunFolder(tmp_path / "merged").read_info()
    assert [(task.boards, task.trained_on) for task in merged.tasks] == [(5, 3), (5, 3)]


def test_a_shard_is_partial_and_owes_nothing_of_the_others(thirds: list[Path]) -> None:
    results = Results.model_validate_json((thirds[0] / "results.json").read_bytes())
    assert results.partial
    assert results.owed == 0
    assert sum(task.boards for task in results.tasks) in (3, 4)
    assert RunFolder(thirds[0]).read_info().shard == "1/3"


def test_a_shard_is_resumed_as_itself(thirds: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("run.json", "episodes.jsonl"):
        (folder / name).write_bytes((thirds[1] / name).read_bytes())
    log = folder / "episodes.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:2]))
    for other in ("1/3", None):
        with pytest.raises(InputError, match="shard was 2/3"):
            play(folder, other, resume=True)
    with pytest.raises(InputError, match="limit of a shard was 5, is 6"):  # others' boards, too
        play(folder, "2/3", resume=True, limit=6)
    assert play(folder, "2/3", resume=True).owed == 0
    assert timeless(folder) == timeless(thirds[1])


def test_a_shard_that_stopped_early_leaves_its_episodes_owed(
    thirds: list[Path], tmp_path: Path, whole: Path
) -> None:
    cut, merged = cut_short(thirds[2], tmp_path / "cut", 2), tmp_path / "merged"
    assert merge([*thirds[:2], cut], merged).owed == 2
    assert play(merged, resume=True).owed == 0
    assert timeless(merged) == timeless(whole)


def cut_short(folder: Path, copy: Path, lines: int) -> Path:
    """A copy of a run that lacks the last lines of its log."""
    copy.mkdir()
    (copy / "run.json").write_bytes((folder / "run.json").read_bytes())
    log = (folder / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    (copy / "episodes.jsonl").write_bytes(b"".join(log[:-lines]))
    return copy


def test_a_shard_that_was_continued_is_merged_again(
    thirds: list[Path], tmp_path: Path, whole: Path
) -> None:
    cut, merged = cut_short(thirds[2], tmp_path / "cut", 2), tmp_path / "merged"
    assert merge([*thirds[:2], cut], merged).owed == 2
    before = (merged / "episodes.jsonl").read_bytes()
    (merged / "view.html").touch()
    play(cut, "3/3", resume=True)
    assert merge([*thirds[:2], cut], merged).owed == 0
    assert timeless(merged) == timeless(whole)
    assert numbers(merged) == numbers(whole) | {"partial": True}
    assert (merged / "episodes.jsonl").read_bytes().startswith(before)
    assert (merged / "view.html").exists()
    again = (merged / "episodes.jsonl").read_bytes()
    merge([*thirds[:2], cut], merged)
    assert (merged / "episodes.jsonl").read_bytes() == again


def test_a_run_that_is_merged_again_names_the_versions_of_what_came(
    thirds: list[Path], tmp_path: Path
) -> None:
    cut, merged = RunFolder(cut_short(thirds[2], tmp_path / "cut", 2)), tmp_path / "merged"
    merge([*thirds[:2], cut.path], merged)
    info = cut.read_info()
    cut.write_info(info.model_copy(update={"versions": {**info.versions, "spa_bench": "9.9"}}))
    merge([*thirds[:2], cut.path], merged)
    versions = RunFolder(merged).read_info().versions
    assert versions == {**info.versions, "spa_bench": f"{info.versions['spa_bench']}, 9.9"}


def test_without_locks_a_run_is_merged_again_all_the_same(
    thirds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged, notes = tmp_path / "merged", list[str]()
    merge(thirds, merged)

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    assert merge(thirds, merged, notes.append).owed == 0
    assert notes == [f"{merged}: {NO_LOCKS}"]


def test_what_a_merged_run_played_itself_is_not_lost(
    thirds: list[Path], tmp_path: Path, whole: Path
) -> None:
    cut, merged = cut_short(thirds[2], tmp_path / "cut", 2), tmp_path / "merged"
    merge([*thirds[:2], cut], merged)
    play(merged, resume=True)
    assert merge([*thirds[:2], cut], merged).owed == 0
    assert timeless(merged) == timeless(whole)


def test_a_folder_with_another_run_is_left_as_it_is(thirds: list[Path], tmp_path: Path) -> None:
    other, shard = tmp_path / "other", tmp_path / "shard"
    play(other, repeats=1)
    play(shard, "1/3")
    for folder, why in (
        (other, "repeats of frozenlake_slippery is 1, not 2"),
        (shard, "shard is 1/3, not none"),
    ):
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        with pytest.raises(InputError, match=f"holds another run: {why}.*; choose another folder"):
            merge(thirds, folder)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_contradiction_adds_nothing_to_a_merged_run(thirds: list[Path], tmp_path: Path) -> None:
    merged, altered = tmp_path / "merged", cut_short(thirds[2], tmp_path / "altered", 1)
    merge(thirds, merged)
    before = (merged / "episodes.jsonl").read_bytes()
    log = altered / "episodes.jsonl"
    log.write_text(log.read_text().replace('"reply":"', '"reply":"well, ', 1))
    with pytest.raises(InputError, match="differently"):
        merge([*thirds[:2], altered], merged)
    assert (merged / "episodes.jsonl").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["altered", "merged"]


@pytest.mark.parametrize("output", ["link", "."])
def test_an_empty_folder_is_filled_by_whatever_name_it_is_called(
    thirds: list[Path], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    folder, elsewhere = tmp_path / "disk" / "merged", tmp_path / "link"
    folder.mkdir(parents=True)
    elsewhere.symlink_to(folder)
    monkeypatch.chdir(folder if output == "." else tmp_path)
    assert merge(thirds, output).owed == 0
    assert timeless(folder) == timeless(whole)
    assert elsewhere.is_symlink()
    assert list(folder.parent.iterdir()) == [folder]


def test_missing_shards_are_named(thirds: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="shards are missing: 1/3, 3/3"):
        merge(thirds[1:2], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"salt": "7"}, "seed is '0' and '7'"),
        ({"model": "baseline/oracle"}, "model name is 'baseline/random' and 'baseline/oracle'"),
        (
            {"tasks": "sudoku_answer"},
            "list of tasks is frozenlake_slippery, sudoku_answer and sudoku",
        ),
        ({"gen_kwargs": {"top_p": "0.5"}}, "sampling top_p is 1.0 and 0.5"),
        ({"repeats": 3}, "repeats of frozenlake_slippery is 2 and 3"),
        ({"limit": 4}, "limit is 5 and 4"),
        ({"price": (1.0, 2.0)}, "price is None and"),
        ({"shard": "2/4"}, "number of shards is 3 and 4"),
    ],
)
def test_only_parts_of_one_run_are_merged(
    thirds: list[Path], tmp_path: Path, options: dict[str, Any], match: str
) -> None:
    other = tmp_path / "other"
    play(other, **{"shard": "2/3", **options})
    with pytest.raises(InputError, match=f"are not parts of one run: .*{match}"):
        merge([thirds[0], other, thirds[2]], tmp_path / "merged")
    assert list(tmp_path.iterdir()) == [other]


def test_runs_of_the_same_episodes_are_one_if_they_agree(whole: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    play(again, limit=5)
    merge([whole, again], tmp_path / "merged")
    assert timeless(tmp_path / "merged") == timeless(whole)


def test_runs_that_tell_an_episode_differently_are_not_merged(
    thirds: list[Path], tmp_path: Path
) -> None:
    altered = tmp_path / "altered"
    altered.mkdir()
    (altered / "run.json").write_bytes((thirds[0] / "run.json").read_bytes())
    text = (thirds[0] / "episodes.jsonl").read_text()
    (altered / "episodes.jsonl").write_text(text.replace('"reply":"', '"reply":"well, ', 1))
    with pytest.raises(InputError, match=r"repeat [01], differently"):
        merge([*thirds, altered], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_broken_episodes_and_foreign_lines(thirds: list[Path], tmp_path: Path) -> None:
    def breaks(request: Request) -> str | Exception:
        return ModelError("no luck") if "0" in request.episode[-1:] else answer("Up")

    def run(shard: str) -> Path:
        folder = tmp_path / shard.replace("/", "-")
        model = Scripted(breaks)
        asked: dict[str, Any] = {**PLAN, "tasks": "frozenlake", "shard": shard, "output": folder}
        asyncio.run(evaluate_async(model, **asked))
        return folder

    parts = [run("1/2"), run("2/2")]
    with (parts[0] / "episodes.jsonl").open("a") as log:
        log.write("no episode\n")
    notes: list[str] = []
    results = merge(parts, tmp_path / "merged", notes.append)
    assert results.tasks[0].infrastructure == 5
    assert results.owed == 5
    (note,) = notes
    assert "skipped 1 line" in note
    again = merge(parts, tmp_path / "merged")
    assert again.tasks[0].infrastructure == 5


def test_what_is_no_run_or_no_place_is_said(thirds: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run"):
        merge([tmp_path, *thirds], tmp_path / "merged")
    with pytest.raises(InputError, match="given twice"):
        merge([*thirds, thirds[0]], tmp_path / "merged")
    with pytest.raises(InputError, match="is one of the runs; choose another folder"):
        merge(thirds, thirds[0])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    with pytest.raises(InputError, match="not empty"):
        merge(thirds, tmp_path / "full")


@pytest.mark.parametrize("text", ["", "2", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "a/b", "1.0/3"])
def test_what_is_no_shard_is_said(text: str) -> None:
    with pytest.raises(InputError, match="such as 2/8"):
        Shard.parse(text)


def test_more_shards_than_boards_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only 10 boards"):
        play(tmp_path / "run", "3/11")


@given(st.lists(st.integers(0, 20), max_size=6), st.integers(1, 9))
def test_boards_are_dealt_out_evenly_and_once(sizes: Sequence[int], count: int) -> None:
    lists = [[(task, board) for board in range(size)] for task, size in enumerate(sizes)]
    before = [0, *itertools.accumulate(sizes)]
    dealt = [
        [card for cards, n in zip(lists, before, strict=False) for card in shard.deal(cards, n)]
        for shard in (Shard(i, count) for i in range(1, count + 1))
    ]
    assert sorted(card for hand in dealt for card in hand) == [c for cards in lists for c in cards]
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
