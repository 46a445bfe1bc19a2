"""The log: whole lines, one writer, and a reader that no line can surprise."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spa_bench.errors import InputError, SpaBenchError
from spa_bench.runner.log import (
    BadLine,
    RunFolder,
    RunInfo,
    RunModel,
    RunTask,
    UnwrittenError,
    write_atomically,
    write_named,
)
from spa_bench.runner.record import (
    EPISODE_SCHEMA,
    FAILURES,
    Episode,
    Turn,
    TurnTokens,
    TurnUsage,
    facts_to_log,
    to_line,
)

TURN = Turn(
    state="#P#",
    prompt_sha256="0" * 64,
    reply="<answer>Up</answer>",
    stop_reason="stop",
    parse="ok",
    actions=("Up",),
    executed=1,
    outcomes=(0,),
    reward=-0.1,
)
EPISODE = Episode(
    schema=EPISODE_SCHEMA,
    task="sokoban",
    task_hash="1" * 64,
    instance="sokoban/6x6-1/ragen/1",
    board_key="d4:2",
    repeat=0,
    status="complete",
    success=False,
    failure="budget",
    turns=(TURN,),
)
INFO = RunInfo(
    created="2026-01-01T00:00:00Z",
    salt="0",
    limit=None,
    model=RunModel(name="m/n", identity={"dtype": "float32"}, capabilities={"seed": True}),
    tasks=[
        RunTask(task="t", hash="1", repeats=1, boards=1, skipped_seeds=[3], config={"task": "t"})
    ],
    versions={"spa_bench": "0"},
)


def wrote(folder: Path, count: int = 3) -> RunFolder:
    run = RunFolder(folder)
    with run.writer() as writer:
        for repeat in range(count):
            writer.write(replace(EPISODE, repeat=repeat))
    return run


def read(run: RunFolder) -> tuple[list[int], list[BadLine]]:
    """Returns the repeats of the episodes that can be read, and the lines that cannot."""
    bad: list[BadLine] = []
    return [episode.repeat for episode in run.episodes(bad.append)], bad


# -- one line an episode ---------------------------------------------------------------------------

texts = st.text(max_size=20)
counts = st.none() | st.integers(0, 2**40)
numbers = st.floats(allow_nan=False, allow_infinity=False)
facts = st.none() | st.dictionaries(
    texts,
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 50), texts).map(list)
        | st.tuples(st.integers(0, 50), st.integers(0, 50)).map(list),
        max_size=3,
    ),
    max_size=3,
)
ids = st.lists(st.integers(0, 2**31), max_size=3).map(tuple)
turns = st.builds(
    Turn,
    state=texts,
    prompt_sha256=texts,
    reply=texts,
    reasoning=st.none() | texts,
    stop_reason=st.sampled_from(["stop", "length", "content_filter"]),
    parse=st.sampled_from(["ok", "partial", "invalid", "format"]),
    actions=st.lists(texts, max_size=3).map(tuple),
    executed=st.integers(0, 100),
    outcomes=ids,
    reward=numbers,
    facts_observed=facts,
    facts_predicted=facts,
    usage=st.builds(TurnUsage, counts, counts, counts, counts),
    seconds=st.floats(0, 1e6),
    tokens=st.none()
    | st.builds(TurnTokens, ids, ids, st.none() | st.lists(numbers, max_size=3).map(tuple)),
)
episodes = st.builds(
    Episode,
    schema=st.just(EPISODE_SCHEMA),
    task=texts,
    task_hash=texts,
    instance=texts,
    board_key=texts,
    repeat=st.integers(0, 99_999),
    status=st.sampled_from(["complete", "infrastructure"]),
    success=st.booleans(),
    failure=st.none() | st.sampled_from(sorted(FAILURES)),
    turns=st.lists(turns, max_size=3).map(tuple),
    error=st.none() | texts,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(episodes, max_size=4))
def test_every_field_of_every_episode_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, written: list[Episode]
) -> None:
    run = RunFolder(tmp_path_factory.mktemp("run"))
    with run.writer() as writer:
        for episode in written:
            writer.write(episode)
    assert list(run.episodes()) == written


def test_a_line_says_nothing_about_what_is_unknown() -> None:
    turn = json.loads(to_line(EPISODE))["turns"][0]
    assert turn["usage"] == {}
    assert not {"reasoning", "tokens", "facts_observed", "facts_predicted"} & set(turn)


def test_facts_are_logged_in_one_order() -> None:
    places = [((1, 2), ""), ((0, 3), ""), ((1, 0), "")]
    logged = facts_to_log({"b": frozenset(places), "a": frozenset({((0, 0), "7")})})
    assert json.dumps(logged) == '{"a": [[0, 0, "7"]], "b": [[0, 3], [1, 0], [1, 2]]}'


def test_episodes_are_appended_never_rewritten(tmp_path: Path) -> None:
    run = wrote(tmp_path, 2)
    before = run.episodes_path.read_bytes()
    wrote(tmp_path, 1)
    assert run.episodes_path.read_bytes().startswith(before)


def test_an_episode_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with RunFolder(tmp_path).writer() as writer:
        writer.write(EPISODE)
        assert read(RunFolder(tmp_path)) == ([0], [])


# -- lines that never ended ------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_torn_last_line_is_removed_and_reported(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    run = wrote(tmp_path_factory.mktemp("run"))
    whole = run.episodes_path.read_bytes()
    last = len(whole.split(b"\n")[-2]) + 1
    torn = data.draw(st.integers(1, last - 1))
    os.truncate(run.episodes_path, len(whole) - last + torn)
    with run.writer() as writer:
        assert writer.torn_bytes == torn
    assert read(run) == ([0, 1], [])


def test_a_torn_line_longer_than_any_block_is_removed_whole(tmp_path: Path) -> None:
    run = wrote(tmp_path)
    with run.episodes_path.open("ab") as file:
        file.write(b"x" * 1_000_000)
    with run.writer() as writer:
        assert writer.torn_bytes == 1_000_000
    assert read(run) == ([0, 1, 2], [])


def test_a_log_that_is_one_torn_line_becomes_empty(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.episodes_path.write_bytes(to_line(EPISODE)[:-1])
    with run.writer():
        pass
    assert run.episodes_path.read_bytes() == b""


def test_a_whole_log_is_left_as_it_is(tmp_path: Path) -> None:
    run = wrote(tmp_path)
    before = run.episodes_path.read_bytes()
    with run.writer() as writer:
        assert writer.torn_bytes == 0
    assert run.episodes_path.read_bytes() == before


def test_what_follows_a_torn_line_is_written_on_a_line_of_its_own(tmp_path: Path) -> None:
    run = wrote(tmp_path)
    os.truncate(run.episodes_path, run.episodes_path.stat().st_size - 5)
    with run.writer() as writer:
        writer.write(replace(EPISODE, repeat=9))
    assert read(run) == ([0, 1, 9], [])


def test_a_reader_reports_a_torn_line_that_is_being_written(tmp_path: Path) -> None:
    run = wrote(tmp_path)
    with run.episodes_path.open("ab") as file:
        file.write(to_line(EPISODE)[:20])
    repeats, bad = read(run)
    assert (repeats, [line.number for line in bad]) == ([0, 1, 2], [4])


# -- lines that are no episodes --------------------------------------------------------------------


def altered(**changes: Any) -> bytes:
    return json.dumps({**json.loads(to_line(EPISODE)), **changes}).encode()


def altered_turn(**changes: Any) -> bytes:
    turn = json.loads(to_line(EPISODE))["turns"][0]
    return altered(turns=[{**turn, **changes}])


FOREIGN = {
    "empty": b"",
    "white space": b"  \t",
    "text": b"hello",
    "another object": b'{"id": 1}',
    "an array": b"[]",
    "a number": b"7",
    "null": b"null",
    "half an object": b'{"schema": "spa-bench/episode/1"',
    "two objects": to_line(EPISODE).strip() * 2,
    "invalid utf-8": b'{"schema": "\xff\xfe"}',
    "lone surrogate": b'{"schema": "\\ud800"}',
    "nul bytes": b"\0" * 100,
    "deep nesting": b"[" * 100_000,
    "a schema to come": altered(schema="spa-bench/episode/2"),
    "no schema": altered(schema=None),
    "an unknown status": altered(status="done"),
    "a negative repeat": altered(repeat=-1),
    "an enormous repeat": altered(repeat=10**30),
    "a repeat to fill memory with": altered(repeat=10**12),
    "a text for a number": altered(repeat="zero"),
    "no turns": altered(turns=None),
    "endless reward": altered_turn(reward=1).replace(b'"reward": 1', b'"reward": 1e999'),
    "reward that is no number": altered_turn(reward=1).replace(b'"reward": 1', b'"reward": NaN'),
    "time runs backwards": altered_turn(seconds=-1.0),
    "more tokens than there are": altered_turn(usage={"prompt_tokens": 10**400}),
    "fewer tokens than none": altered_turn(usage={"completion_tokens": -1}),
    "fewer actions than none": altered_turn(executed=-1),
    "an unknown parse": altered_turn(parse="maybe"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_line_is_skipped_and_reported_with_its_number(tmp_path: Path, kind: str) -> None:
    run = RunFolder(tmp_path)
    good = to_line(EPISODE)
    run.episodes_path.write_bytes(good + FOREIGN[kind] + b"\n" + good)
    repeats, bad = read(run)
    assert (repeats, [line.number for line in bad]) == ([0, 0], [2])


@pytest.mark.parametrize("kind", FOREIGN)
def test_the_reason_for_skipping_a_line_is_one_short_line(tmp_path: Path, kind: str) -> None:
    run = RunFolder(tmp_path)
    run.episodes_path.write_bytes(FOREIGN[kind] + b"\n")
    _, bad = read(run)
    assert 0 < len(bad[0].reason) <= 300
    assert "\n" not in bad[0].reason


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_raise(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    run = RunFolder(tmp_path_factory.mktemp("run"))
    good = to_line(EPISODE)
    run.episodes_path.write_bytes(good + junk + b"\n" + good)
    assert read(run)[0] == [0, 0]


def test_keys_to_come_do_not_make_a_line_foreign(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.episodes_path.write_bytes(altered(colour="blue") + b"\n")
    assert read(run) == ([0], [])


def test_lines_may_end_as_on_windows(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.episodes_path.write_bytes(to_line(EPISODE).replace(b"\n", b"\r\n"))
    assert read(run) == ([0], [])


def test_a_folder_without_a_log_has_no_episodes(tmp_path: Path) -> None:
    assert read(RunFolder(tmp_path / "nowhere")) == ([], [])


# -- one writer ------------------------------------------------------------------------------------


def test_two_writers_are_refused(tmp_path: Path) -> None:
    run = wrote(tmp_path)
    with run.writer(), pytest.raises(InputError, match="another process is writing"):
        run.writer()


def test_a_refused_writer_leaves_the_log_alone(tmp_path: Path) -> None:
    run = wrote(tmp_path)
    with run.writer():
        with run.episodes_path.open("ab") as file:
            file.write(b"half a li")
        with pytest.raises(InputError):
            run.writer()
        assert run.episodes_path.read_bytes().endswith(b"half a li")


def test_two_processes_are_refused(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from spa_bench.runner.log import RunFolder\n"
        "RunFolder(Path(sys.argv[1])).writer()"
    )
    with wrote(tmp_path).writer():
        other = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
        )
    assert "another process is writing" in other.stderr


def test_the_next_writer_may_begin_when_one_has_closed(tmp_path: Path) -> None:
    wrote(tmp_path)
    assert read(wrote(tmp_path)) == ([0, 1, 2, 0, 1, 2], [])


# -- what cannot be written ------------------------------------------------------------------------


def test_a_folder_below_a_file_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        RunFolder(tmp_path / "file" / "run").writer()


def test_a_log_that_is_a_folder_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "episodes.jsonl").mkdir()
    with pytest.raises(InputError, match=r"episodes\.jsonl"):
        RunFolder(tmp_path).writer()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_an_input_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="ermission"):
        RunFolder(tmp_path).writer()


def test_an_episode_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "episodes.jsonl").symlink_to("/dev/full")
    writer = RunFolder(tmp_path).writer()
    with pytest.raises(UnwrittenError, match=r"cannot be written: No space left on device$"):
        writer.write(EPISODE)


def test_a_file_that_is_no_runs_own_is_not_resumed(tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    with pytest.raises(UnwrittenError, match=r"page\.html: cannot be written: Is a directory$"):
        write_atomically(tmp_path / "page.html", b"page")


# -- run.json and other files written whole --------------------------------------------------------


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    file.chmod(0o600)
    write_atomically(file, b"new")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("new", 0o600)


def test_a_link_in_a_run_folder_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "results.json").symlink_to("mine")
    write_atomically(tmp_path / "results.json", b"{}")
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "results.json").is_symlink()


def test_a_link_that_a_user_names_is_followed(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("old")
    (tmp_path / "link").symlink_to("page.html")
    write_named(tmp_path / "link", b"new")
    assert (tmp_path / "page.html").read_text() == "new"
    assert (tmp_path / "link").is_symlink()


def test_a_pipe_that_a_user_names_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_named(tmp_path / "pipe", b"page")
    assert os.read(read, 100) == b"page"
    os.close(read)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_folder_that_a_user_names_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnwrittenError, match=r"cannot be written: Is a directory$"):
        write_named(tmp_path, b"page")


def test_run_json_is_read_back(tmp_path: Path) -> None:
    RunFolder(tmp_path).write_info(INFO)
    assert RunFolder(tmp_path).read_info() == INFO


RUN_JSON = {
    "not JSON": "{",
    "not a run": "[]",
    "a run to come": INFO.model_dump_json(by_alias=True).replace("run/1", "run/2"),
    "a run with more": '{"more": 1}',
}


@pytest.mark.parametrize("kind", RUN_JSON)
def test_a_bad_run_json_is_an_input_error_that_names_the_file(tmp_path: Path, kind: str) -> None:
    (tmp_path / "run.json").write_text(RUN_JSON[kind])
    with pytest.raises(InputError, match=r"run\.json: not a run this version reads"):
        RunFolder(tmp_path).read_info()


def test_a_run_json_that_is_a_folder_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    with pytest.raises(InputError, match=r"run\.json: Is a directory"):
        RunFolder(tmp_path).read_info()


def test_episodes_without_their_run_json_are_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds episodes but no run\.json"):
        wrote(tmp_path).read_info()


def test_a_folder_with_an_empty_log_holds_no_run(tmp_path: Path) -> None:
    # a process killed between making the log and writing run.json leaves just this
    assert not wrote(tmp_path, 0).exists()


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "results.json"
    write_atomically(path, b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SpaBenchError, match=r"results\.json: cannot be written: No space left"):
        write_atomically(path, b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_a_file_can_be_read_by_everybody(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644
