"""Resuming: what is in the log counts, what is owed is played, and nothing else is changed."""

from __future__ import annotations

import asyncio
import errno
import json
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted import Scripted, answer
from worlds import SLIPPERY, sokoban_task, table_task

from spa_bench.errors import InputError, ModelError, ModelGoneError
from spa_bench.evaluation import evaluate_async, with_overrides
from spa_bench.lock import NO_LOCKS
from spa_bench.models.model import Capabilities, Request
from spa_bench.results.results import Results
from spa_bench.run import OTHER_VERSIONS, Silent, write_results
from spa_bench.runner.log import RunFolder, UnwrittenError
from spa_bench.runner.plan import Done, Plan
from spa_bench.runner.record import Episode
from spa_bench.task import Task

KEY = tuple[str, str, int]


class Watcher(Silent):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.counts: tuple[int, int] | None = None
        self.stops = 0

    def start(self, total: int, done: int) -> None:
        self.counts = (total, done)

    def note(self, message: str) -> None:
        self.notes.append(message)

    def stop(self) -> None:
        self.stops += 1


def still(request: Request) -> str:
    """Always the same answer: what follows is decided by the world's luck alone."""
    return answer("b")


def run(model: Any, folder: Path, tasks: Sequence[Task] | None = None, **options: Any) -> Results:
    return asyncio.run(evaluate_async(model, tasks or [table_task()], output=folder, **options))


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]


def keys_of(folder: Path) -> list[KEY]:
    return [(line["task"], line["instance"], line["repeat"]) for line in lines_of(folder)]


def timeless(folder: Path) -> list[str]:
    """Returns the log without times, in an order of its own."""
    lines = lines_of(folder)
    for line in lines:
        del line["started"], line["seconds"]
        for turn in line["turns"]:
            turn.pop("seconds", None)
    return sorted(json.dumps(line, sort_keys=True) for line in lines)


def keep_lines(folder: Path, keep: Callable[[int], bool]) -> None:
    path = folder / "episodes.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for i, line in enumerate(lines) if keep(i)))


# -- what is owed ----------------------------------------------------------------------------------


def test_a_run_plays_every_board_and_repeat_once(tmp_path: Path) -> None:
    run(Scripted(still), tmp_path / "run")
    keys = keys_of(tmp_path / "run")
    assert len(keys) == len(set(keys)) == 8


def test_a_finished_run_asks_nothing_more(tmp_path: Path) -> None:
    run(Scripted(still), tmp_path / "run")
    model = Scripted(still)
    run(model, tmp_path / "run", resume=True)
    assert model.requests == []


@pytest.mark.parametrize("lost", range(8))
def test_resume_plays_exactly_what_is_missing(tmp_path: Path, lost: int) -> None:
    folder = tmp_path / "run"
    run(Scripted(still), folder)
    missing = keys_of(folder)[lost]
    keep_lines(folder, lambda i: i != lost)
    run(Scripted(still), folder, resume=True)
    assert keys_of(folder)[7:] == [missing]


def test_a_resumed_log_equals_an_undisturbed_one(tmp_path: Path) -> None:
    for name in ("whole", "cut"):
        run("baseline/random", tmp_path / name)
    keep_lines(tmp_path / "cut", lambda i: i % 3 == 1)
    run("baseline/random", tmp_path / "cut", resume=True)
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")


def test_a_torn_line_is_played_again_and_told(tmp_path: Path) -> None:
    folder, watcher = tmp_path / "run", Watcher()
    run(Scripted(still), folder)
    torn = keys_of(folder)[-1]
    log = folder / "episodes.jsonl"
    log.write_bytes(log.read_bytes()[:-10])
    run(Scripted(still), folder, resume=True, progress=watcher)
    assert keys_of(folder)[-1] == torn
    assert "of an unfinished line" in watcher.notes[0]


def test_without_locks_a_run_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    watcher = Watcher()
    run(Scripted(still), tmp_path / "run", progress=watcher)
    assert watcher.notes == [f"{tmp_path / 'run'}: {NO_LOCKS}"]
    assert len(keys_of(tmp_path / "run")) == 8


def test_other_versions_are_told_and_both_are_kept(tmp_path: Path) -> None:
    folder, watcher = tmp_path / "run", Watcher()
    run(Scripted(still), folder)
    info = RunFolder(folder).read_info()
    now = info.versions["numpy"]
    RunFolder(folder).write_info(info.model_copy(update={"versions": {"numpy": "0.1"}}))
    for _ in range(2):
        run(Scripted(still), folder, resume=True, progress=watcher)
        assert RunFolder(folder).read_info().versions["numpy"] == f"0.1, {now}"
        assert RunFolder(folder).read_info().versions["python"] == info.versions["python"]
    assert watcher.notes == [OTHER_VERSIONS] * 2


def test_one_model_is_not_in_two_runs_at_once(tmp_path: Path) -> None:
    model = Scripted(still, delays=lambda _: 3)

    async def both() -> list[Results | BaseException]:
        runs = (
            evaluate_async(model, [table_task()], output=tmp_path / name) for name in ("a", "b")
        )
        return await asyncio.gather(*runs, return_exceptions=True)

    first, second = asyncio.run(both())
    assert isinstance(first, Results)
    assert first.owed == 0
    assert str(second) == "scripted/model is at work in another run; load it once for each"
    assert model.closed == 1
    assert not (tmp_path / "b").exists()
    assert run(model, tmp_path / "b").owed == 0


def test_foreign_lines_are_told_once_with_the_first_ones_number(tmp_path: Path) -> None:
    folder, watcher = tmp_path / "run", Watcher()
    run(Scripted(still), folder)
    with (folder / "episodes.jsonl").open("ab") as log:
        log.write(b"hello\n\xff\n")
    run(Scripted(still), folder, resume=True, progress=watcher)
    assert len(watcher.notes) == 1
    assert "skipped 2 line(s) that are not episodes; the first is line 9:" in watcher.notes[0]


def test_foreign_lines_are_counted_in_the_results(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(Scripted(still), folder)
    with (folder / "episodes.jsonl").open("ab") as log:
        log.write(b"hello\n\xff\n")
    assert run(Scripted(still), folder, resume=True).foreign_lines == 2


def test_more_repeats_use_what_is_there(tmp_path: Path) -> None:
    run(Scripted(still), tmp_path / "run", repeats=1)
    watcher = Watcher()
    results = run(Scripted(still), tmp_path / "run", repeats=3, resume=True, progress=watcher)
    assert watcher.counts == (12, 4)
    assert (results.tasks[0].episodes, len(lines_of(tmp_path / "run"))) == (12, 12)


def test_more_boards_use_what_is_there(tmp_path: Path) -> None:
    run(Scripted(still), tmp_path / "run", limit=1)
    watcher = Watcher()
    results = run(Scripted(still), tmp_path / "run", resume=True, progress=watcher)
    assert watcher.counts == (8, 2)
    assert (results.partial, results.tasks[0].episodes) == (False, 8)


def test_raising_repeats_changes_no_episode(tmp_path: Path) -> None:
    run("baseline/random", tmp_path / "grown", repeats=1)
    run("baseline/random", tmp_path / "grown", repeats=3, resume=True)
    run("baseline/random", tmp_path / "whole", repeats=3)
    assert timeless(tmp_path / "grown") == timeless(tmp_path / "whole")


def test_fewer_repeats_score_the_first_ones_only(tmp_path: Path) -> None:
    run(Scripted(still), tmp_path / "run", repeats=3)
    results = run(Scripted(still), tmp_path / "run", repeats=2, resume=True)
    assert results.tasks[0].episodes == 8
    assert len(lines_of(tmp_path / "run")) == 12


def test_finished_episodes_that_no_longer_count_are_told(tmp_path: Path) -> None:
    run(Scripted(still), tmp_path / "run", repeats=3)
    started: list[tuple[dict[str, Any], str | None]] = [
        ({"repeats": 2}, "4 finished episodes"),
        ({"repeats": 2, "limit": 1}, "10 finished episodes"),
        ({"repeats": 3}, None),
    ]
    for options, told in started:
        watcher = Watcher()
        run(Scripted(still), tmp_path / "run", resume=True, progress=watcher, **options)
        why = f"not counted, but kept in the log: {told} beyond --limit or --repeats"
        assert watcher.notes == ([why] if told else [])


def test_a_limit_marks_the_results_partial(tmp_path: Path) -> None:
    assert run(Scripted(still), tmp_path / "run", limit=2).partial


# -- infrastructure and repeats --------------------------------------------------------------------


def broken(request: Request) -> Exception:
    return ModelError("503")


def test_broken_episodes_are_owed_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert run(Scripted(broken), folder).owed == 8
    results = run(Scripted(still), folder, resume=True)
    assert (results.owed, results.tasks[0].episodes) == (0, 8)


def test_broken_episodes_are_counted_and_never_scored(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(Scripted(broken), folder)
    task = run(Scripted(still), folder, resume=True).tasks[0]
    assert task.infrastructure == 8
    assert task.successes + sum(task.failures.values()) == 8


def test_a_run_of_nothing_but_broken_episodes_has_no_score(tmp_path: Path) -> None:
    task = run(Scripted(broken), tmp_path / "run").tasks[0]
    assert (task.episodes, task.failures) == (0, {})
    assert task.metrics["pass@1"].value != task.metrics["pass@1"].value  # NaN


def test_too_many_broken_episodes_in_a_row_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(ModelGoneError, match="21 episodes in a row broke: 503"):
        run(Scripted(broken), tmp_path / "run", repeats=50)
    assert len(lines_of(tmp_path / "run")) == 21


def test_broken_episodes_between_complete_ones_do_not_end_the_run(tmp_path: Path) -> None:
    calls = iter(range(10_000))

    def now_and_then(request: Request) -> Any:
        return ModelError("503") if next(calls) % 2 else answer("a")

    results = run(Scripted(now_and_then), tmp_path / "run", repeats=50)
    assert results.tasks[0].infrastructure > 21


def test_a_model_that_goes_ends_the_run_and_keeps_what_was_played(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(ModelGoneError):
        run(Scripted([*[answer(*"abb")] * 12, ModelGoneError("gone")]), folder)
    played = len(lines_of(folder))
    assert 0 < played < 8
    run(Scripted([answer(*"abb")]), folder, resume=True)
    run(Scripted([answer(*"abb")]), tmp_path / "whole")
    assert timeless(folder) == timeless(tmp_path / "whole")


def test_a_line_that_stands_twice_counts_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    once = run(Scripted(still), folder)
    log = folder / "episodes.jsonl"
    log.write_bytes(log.read_bytes() * 2)
    model = Scripted(still)
    assert run(model, folder, resume=True).tasks == once.tasks
    assert model.requests == []


def test_of_two_episodes_of_one_board_and_repeat_the_first_counts() -> None:
    plan = Plan([table_task()], [1], "0")
    spec = next(plan.owed(Done()))
    first, second = (
        replace(_episode(plan.tasks[0], spec.instance.id), success=won) for won in (True, False)
    )
    done = Done()
    assert (done.add(first), done.add(second), done.repeated) == (True, False, 1)


def _episode(task: Task, instance: str) -> Episode:
    return Episode(
        schema="spa-bench/episode/1",
        task=task.name,
        task_hash=task.hash,
        instance=instance,
        board_key="",
        repeat=0,
        status="complete",
        success=False,
        turns=(),
    )


def test_episodes_of_another_task_in_the_log_are_neither_scored_nor_lost(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(Scripted(still), folder)
    other = lines_of(folder)[0] | {"task_hash": "f" * 64, "success": True}
    with (folder / "episodes.jsonl").open("a") as log:
        log.write(json.dumps(other) + "\n")
    results = run(Scripted(still), folder, resume=True)
    assert (results.foreign_lines, results.tasks[0].episodes) == (1, 8)


# -- the log and the results are pure --------------------------------------------------------------


@pytest.mark.parametrize("model", ["baseline/random", "baseline/oracle"])
def test_concurrency_changes_nothing_but_times_and_order(tmp_path: Path, model: str) -> None:
    tasks = [table_task(), sokoban_task(repeats=1, instances={"seeds": "123-126"})]
    for concurrency in (1, 8):
        run(model, tmp_path / str(concurrency), tasks, concurrency=concurrency)
    assert timeless(tmp_path / "1") == timeless(tmp_path / "8")


def test_a_model_that_answers_out_of_order_changes_nothing_but_the_order(tmp_path: Path) -> None:
    steady = Scripted(still)
    jumpy = Scripted(still, concurrency=4, delays=lambda call: call * 7 % 5)
    run(steady, tmp_path / "steady")
    run(jumpy, tmp_path / "jumpy")
    assert jumpy.most_in_flight == 4
    assert keys_of(tmp_path / "jumpy") != keys_of(tmp_path / "steady")
    assert timeless(tmp_path / "jumpy") == timeless(tmp_path / "steady")


def test_no_more_requests_are_in_flight_than_asked_for(tmp_path: Path) -> None:
    model = Scripted(still, concurrency=8, delays=lambda call: 3)
    run(model, tmp_path / "run", concurrency=3)
    assert model.most_in_flight == 3


def test_results_are_the_same_for_any_order_of_the_log(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    tasks = [sokoban_task(instances={"seeds": "123-126"})]
    run("baseline/random", folder, tasks)
    texts = {(folder / "results.json").read_bytes()}
    lines = (folder / "episodes.jsonl").read_bytes().splitlines(keepends=True)
    plan = Plan(tasks, [8], "0")
    for seed in range(5):
        random.Random(seed).shuffle(lines)
        (folder / "episodes.jsonl").write_bytes(b"".join(lines))
        write_results(RunFolder(folder), plan, "baseline/random")
        texts.add((folder / "results.json").read_bytes())
    assert len(texts) == 1


def test_results_are_computed_from_the_log_and_from_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run("baseline/random", folder)
    told = (folder / "results.json").read_bytes()
    for name in ("results.json", "run.json"):
        (folder / name).unlink()
    write_results(RunFolder(folder), Plan([table_task()], [2], "0"), "baseline/random")
    assert (folder / "results.json").read_bytes() == told


def test_the_order_in_which_tasks_are_named_changes_no_episode(tmp_path: Path) -> None:
    tasks = [table_task(), sokoban_task(repeats=1, instances={"seeds": "123-126"})]
    run("baseline/random", tmp_path / "ab", tasks)
    run("baseline/random", tmp_path / "ba", tasks[::-1])
    assert timeless(tmp_path / "ab") == timeless(tmp_path / "ba")


# -- only the same run can be continued ------------------------------------------------------------

CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "temperature": (
        {"sampling": {"temperature": 0.5}},
        {},
        r"task table sampling temperature was 1\.0, is 0\.5$",
    ),
    "prompt": (
        {"prompt": {"system": "You win."}},
        {},
        r"task table prompt system was '.*', is 'You win\.'$",
    ),
    "limits": ({"limits": {"turns": 4}}, {}, "task table limits turns was 5, is 4$"),
    "boards": (
        {"instances": {"split": "all", "seeds": "0-6"}},
        {},
        "task table instances seeds was '0-7', is",
    ),
    "parse": ({"parse": "lenient"}, {}, "task table parse was 'strict', is 'lenient'$"),
    "history": ({"history": 2}, {}, "task table history was 'full', is 2$"),
    "seed": ({}, {"salt": "1"}, "seed was '0', is '1'$"),
    "task": ({"task": "chair"}, {}, "list of tasks was table, is chair$"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_run_is_refused_and_the_difference_named(tmp_path: Path, what: str) -> None:
    task, options, message = CHANGES[what]
    run(Scripted(still), tmp_path / "run")
    with pytest.raises(InputError, match=f"^cannot resume, this is another run: {message}"):
        run(Scripted(still), tmp_path / "run", [table_task(**task)], resume=True, **options)


MODELS = {
    "name": (Scripted(still, name="b"), "model name was 'a', is 'b'$"),
    "identity": (
        Scripted(still, name="a", identity={"dtype": "bfloat16"}),
        "model identity dtype was 'absent', is 'bfloat16'$",
    ),
    "capabilities": (
        Scripted(still, name="a", capabilities=Capabilities(prefill=True)),
        "model capabilities prefill was False, is True$",
    ),
}


@pytest.mark.parametrize("what", MODELS)
def test_another_model_is_refused_and_the_difference_named(tmp_path: Path, what: str) -> None:
    model, message = MODELS[what]
    run(Scripted(still, name="a"), tmp_path / "run")
    with pytest.raises(InputError, match=message):
        run(model, tmp_path / "run", resume=True)


def test_other_rules_under_the_same_settings_are_refused_by_hash(tmp_path: Path) -> None:
    run(Scripted(still), tmp_path / "run")
    other = replace(SLIPPERY, holes=frozenset({4, 2}))
    with pytest.raises(InputError, match=r"task table hash was '[0-9a-f]{64}', is '[0-9a-f]{64}'$"):
        run(Scripted(still), tmp_path / "run", [table_task(other)], resume=True)


def test_a_refused_run_changes_no_file(tmp_path: Path) -> None:
    run(Scripted(still), tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(InputError):
        run(Scripted(still), tmp_path / "run", salt="1", resume=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


HARMLESS: dict[str, dict[str, Any]] = {
    "description": {"description": "another"},
    "tag": {"tag": ["another"]},
    "metrics": {"metrics": ["pass^2"]},
    "repeats": {"repeats": 1},
    "the text of a format that is not used": {"prompt": {"reply_format": {"think": None}}},
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_does_not_change_what_is_measured_does_not_hinder(tmp_path: Path, what: str) -> None:
    changes = HARMLESS[what]
    if "prompt" in changes:
        own = table_task().config.prompt.reply_format
        changes = {"prompt": {"reply_format": {**own, "another": "Reply."}}}
    run(Scripted(still), tmp_path / "run")
    model = Scripted(still)
    run(model, tmp_path / "run", [table_task(**changes)], resume=True)
    assert model.requests == []


def test_parameters_that_are_written_out_do_not_hinder(tmp_path: Path) -> None:
    task = sokoban_task(repeats=1, instances={"seeds": "123"})
    written = sokoban_task(
        repeats=1, instances={"seeds": "123"}, environment={"symbols": "#_O√XPS"}
    )
    run(Scripted(["-"]), tmp_path / "run", [task])
    model = Scripted(["-"])
    run(model, tmp_path / "run", [written], resume=True)
    assert model.requests == []


def test_a_resumed_run_remembers_when_it_began(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    run(Scripted(still), folder.path)
    folder.write_info(folder.read_info().model_copy(update={"created": "2001-01-01T00:00:00Z"}))
    run(Scripted(still), folder.path, resume=True)
    assert folder.read_info().created == "2001-01-01T00:00:00Z"


# -- where a run is kept ---------------------------------------------------------------------------


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path: Path) -> None:
    run(Scripted(still), tmp_path / "run")
    with pytest.raises(InputError, match="already holds a run; add --resume"):
        run(Scripted(still), tmp_path / "run")


def test_resume_begins_a_run_where_there_is_none(tmp_path: Path) -> None:
    assert run(Scripted(still), tmp_path / "run", resume=True).tasks[0].episodes == 8


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_killed_before_it_began_can_be_begun(tmp_path: Path, resume: bool) -> None:
    with RunFolder(tmp_path).writer():
        pass
    assert run(Scripted(still), tmp_path, resume=resume).tasks[0].episodes == 8


def test_episodes_without_run_json_are_refused_either_way(tmp_path: Path) -> None:
    run(Scripted(still), tmp_path)
    (tmp_path / "run.json").unlink()
    for resume in (False, True):
        with pytest.raises(InputError, match=r"episodes but no run\.json; choose another folder"):
            run(Scripted(still), tmp_path, resume=resume)


def test_a_folder_below_a_file_is_refused_before_the_model_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    model = Scripted(still)
    with pytest.raises(InputError, match="file is a file"):
        run(model, tmp_path / "file" / "run")
    assert model.started == 0


def test_the_results_of_something_else_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("mine")
    model = Scripted(still)
    for resume in (False, True):
        with pytest.raises(
            InputError, match=r"results\.json is there already and belongs to no run"
        ):
            run(model, tmp_path, resume=resume)
    assert (tmp_path / "results.json").read_text() == "mine"
    assert model.started == 0


def test_a_run_that_cannot_be_written_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "results.json").mkdir()
    with pytest.raises(UnwrittenError, match=r"Is a directory; mend that and .* --resume$"):
        run(Scripted(still), tmp_path)
    (tmp_path / "results.json").rmdir()
    model = Scripted(still)
    assert run(model, tmp_path, resume=True).owed == 0
    assert model.requests == []


def test_a_name_too_long_for_a_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="File name too long"):
        run(Scripted(still), tmp_path / ("x" * 300))


def test_a_run_that_another_process_writes_is_refused(tmp_path: Path) -> None:
    run(Scripted(still), tmp_path)
    model = Scripted(still)
    with RunFolder(tmp_path).writer(), pytest.raises(InputError, match="another process"):
        run(model, tmp_path, resume=True)
    assert model.requests == []


def test_a_run_that_began_while_the_model_was_loading_is_not_overwritten(tmp_path: Path) -> None:
    class Slow(Scripted):
        async def start(self) -> None:
            await evaluate_async(Scripted(still), [table_task()], output=tmp_path, salt="first")

    with pytest.raises(InputError, match="already holds a run"):
        run(Slow(still), tmp_path)
    assert RunFolder(tmp_path).read_info().salt == "first"


# -- the model's life ------------------------------------------------------------------------------


def test_a_model_is_started_and_closed_once(tmp_path: Path) -> None:
    model = Scripted(still)
    run(model, tmp_path / "run")
    assert (model.started, model.closed) == (1, 1)


@pytest.mark.parametrize("error", [ModelGoneError("gone"), InputError("no such thing")])
def test_a_model_is_closed_whatever_happens(tmp_path: Path, error: Exception) -> None:
    model, watcher = Scripted([error]), Watcher()
    with pytest.raises(type(error)):
        run(model, tmp_path / "run", progress=watcher)
    assert (model.closed, watcher.stops) == (1, 1)


# -- what cannot be asked for ----------------------------------------------------------------------


@pytest.mark.parametrize("option", ["repeats", "limit", "concurrency"])
@pytest.mark.parametrize("number", [0, -1])
def test_numbers_below_one_are_refused(tmp_path: Path, option: str, number: int) -> None:
    with pytest.raises(InputError, match=f"--{option} must be at least 1"):
        run(Scripted(still), tmp_path / "run", **{option: number})


def test_more_repeats_than_a_log_can_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--repeats must be at most 100000"):
        run(Scripted(still), tmp_path / "run", repeats=100_001)


def test_tokens_of_a_model_without_any_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--log-tokens: scripted/model returns no tokens"):
        run(Scripted(still), tmp_path / "run", log_tokens=True)


def test_no_tasks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tasks"):
        asyncio.run(evaluate_async(Scripted(still), [], output=tmp_path / "run"))


def test_a_task_without_boards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="task 'table' has no boards"):
        run(Scripted(still), tmp_path / "run", [table_task(instances={"seeds": "1,3,5"})])


def test_a_task_named_twice_is_played_once(tmp_path: Path) -> None:
    results = run(Scripted(still), tmp_path / "run", [table_task(), table_task()])
    assert [task.episodes for task in results.tasks] == [8]


def test_two_tasks_of_one_name_are_refused(tmp_path: Path) -> None:
    tasks = [table_task(), table_task(parse="lenient")]
    with pytest.raises(InputError, match="two different tasks are called 'table'"):
        run(Scripted(still), tmp_path / "run", tasks)


def test_two_names_of_one_task_are_refused(tmp_path: Path) -> None:
    tasks = [table_task(), table_task(task="chair")]
    with pytest.raises(InputError, match="'table' and 'chair' measure the same"):
        run(Scripted(still), tmp_path / "run", tasks)


def test_options_for_a_model_that_is_loaded_already_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="device: options are for a model given by its name"):
        run(Scripted(still), tmp_path / "run", device="cuda")


def test_gen_kwargs_make_a_variant_with_a_star_and_a_hash_of_its_own(tmp_path: Path) -> None:
    results = run(Scripted(still), tmp_path / "run", gen_kwargs={"temperature": "0.5"})
    assert results.tasks[0].task == "table*"
    assert results.tasks[0].task_hash != table_task().hash


def test_gen_kwargs_that_change_nothing_make_no_variant(tmp_path: Path) -> None:
    results = run(Scripted(still), tmp_path / "run", gen_kwargs={"temperature": "1"})
    assert results.tasks[0].task == "table"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("temprature", "1", r"unknown setting 'temprature' \(did you mean temperature\?\)"),
        ("temperature", "hot", "temperature=hot: .* number"),
        ("temperature", "nan", "temperature=nan: "),
        ("top_p", "0", "top_p=0: "),
        ("max_tokens", "0", "max_tokens=0: "),
    ],
)
def test_bad_gen_kwargs_are_refused(tmp_path: Path, key: str, value: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(Scripted(still), tmp_path / "run", gen_kwargs={key: value})


# -- seeds that have no board ----------------------------------------------------------------------


def test_seeds_without_a_board_are_skipped_and_recorded(tmp_path: Path) -> None:
    run(Scripted(still), tmp_path)
    assert RunFolder(tmp_path).read_info().tasks[0].skipped_seeds == [1, 3, 5, 7]


def test_a_notebook_can_evaluate_inside_its_own_loop(tmp_path: Path) -> None:
    from spa_bench.evaluation import evaluate

    async def cell() -> Results:
        return evaluate(Scripted(still), [table_task()], output=tmp_path / "run")

    assert asyncio.run(cell()).tasks[0].episodes == 8


def test_an_interrupt_of_a_notebook_stops_the_run_and_keeps_what_was_played(tmp_path: Path) -> None:
    from spa_bench.evaluation import evaluate

    calls = 0

    def interrupted(request: Request) -> str:
        nonlocal calls
        calls += 1
        if calls == 3:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.2)  # that thread is waiting for this one, and is to hear of it
        return still(request)

    model = Scripted(interrupted, delays=lambda _: 5)

    async def cell() -> Results:
        return evaluate(model, [table_task(repeats=500)], output=tmp_path / "run")

    loop = asyncio.new_event_loop()  # as a notebook's: it leaves an interrupt to Python
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest's workers ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(cell())
    finally:
        signal.signal(signal.SIGINT, before)
        loop.close()
    assert calls < 100
    assert model.closed == 1
    run(Scripted(still), tmp_path / "run", [table_task()], resume=True)  # nobody holds the log


def test_a_variant_beside_its_own_task_is_not_overlooked(tmp_path: Path) -> None:
    task = table_task()

    def both(temperature: str) -> list[Task]:
        return [task, with_overrides(task, {"temperature": temperature})]

    run(Scripted(still), tmp_path / "run", both("0.5"))
    run(Scripted(still), tmp_path / "run", both("0.5")[::-1], resume=True)
    with pytest.raises(InputError, match=r"table\* sampling temperature was 0.5, is 0.7"):
        run(Scripted(still), tmp_path / "run", both("0.7"), resume=True)
