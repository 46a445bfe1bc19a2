"""Replay finds every edit of what follows from the rules and the replies, and says where."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from submissions import FewBoards

from benchmarks.tampering import TAMPERINGS, Copy, Tampering, said
from spa_bench.errors import InputError
from spa_bench.results.results import Results
from spa_bench.runner.log import RunInfo
from spa_bench.runner.record import episode_adapter
from spa_bench.submission.differences import MOST_DIFFERENCES
from spa_bench.submission.folder import TRAINING, SubmissionFolder
from spa_bench.submission.schema import Authorship, Flag, Verification
from spa_bench.submission.verify import (
    Report,
    samples_beside,
    verify,
    with_earlier_badge,
    write_verification,
)


def verified(copy: Copy) -> Report:
    return verify(SubmissionFolder(copy.path), FewBoards())


def test_an_honest_submission_is_replayed(copy: Copy) -> None:
    report = verified(copy)
    assert report.differences == []
    assert report.verification is not None
    assert report.verification.badge == "replayed"
    assert report.verification.episodes == report.episodes == 16
    assert report.turns == sum(len(line["turns"]) for line in copy.lines())


def test_the_recomputed_results_are_those_of_the_submission(copy: Copy) -> None:
    report = verified(copy)
    assert report.results is not None
    stated = SubmissionFolder(copy.path).results()
    assert report.results.model_dump_json() == stated.model_dump_json()
    assert sum(task.infrastructure for task in report.results.tasks) == 2


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda t: t.what)
def test_tampering_is_found_and_said(copy: Copy, tampering: Tampering) -> None:
    tampering.edit(copy)
    assert tampering.says in said(copy.path, FewBoards())


def test_a_difference_is_said_with_line_board_repeat_turn_and_step(copy: Copy) -> None:
    lines = copy.lines()
    number, line = next(
        (i, line)
        for i, line in enumerate(lines, 1)
        if any(len(turn["outcomes"]) > 1 and turn["outcomes"][1] == 2 for turn in line["turns"])
    )
    turn = next(i for i, t in enumerate(line["turns"], 1) if t["outcomes"][1:2] == [2])
    line["turns"][turn - 1]["outcomes"][1] = 0
    copy.write_lines(lines)
    copy.sign()
    (first, *_) = verified(copy).differences
    assert f"episodes.jsonl.gz:{number}: {line['instance']} repeat {line['repeat']}" in first
    assert f"turn {turn}: outcomes is" in first
    assert first.endswith("(at action 2)")


def test_after_many_differences_a_verifier_stops(copy: Copy) -> None:
    lines = [{**line, "board_key": "?"} for line in copy.lines()]
    copy.write_lines(lines * 10)
    copy.sign()
    report = verified(copy)
    assert report.stopped
    assert len(report.differences) == MOST_DIFFERENCES
    assert report.verification is None


def test_what_was_written_by_others_reaches_a_terminal_as_plain_text(copy: Copy) -> None:
    lines = copy.lines()
    lines[0]["task"] = "\x1b[2J\u202esokoban"
    lines[1]["instance"] = "\x1b]0;owned\x07"
    copy.write_lines(lines)
    copy.sign()
    differences = verified(copy).differences
    assert differences
    assert all(line.isprintable() for line in differences)


@pytest.mark.parametrize(
    ("adapter", "start", "wrong", "end"),
    [
        (TRAINING, b'{"a": [', b"0", b"]}"),
        (TRAINING, b"{", b'"":0', b"}"),
        (episode_adapter(), b'{"turns": [', b"0", b"]}"),
        (episode_adapter(), b'{"turns": [{"facts_observed": {', b'"":0', b"}}]}"),
        (TypeAdapter(Results), b'{"tasks": [', b"0", b"]}"),
        (TypeAdapter(Results), b'{"tasks": [{"metrics": {', b'"":0', b"}}]}"),
        (TypeAdapter(Results), b'{"tasks": [{"failures": {', b'"":"x"', b"}}]}"),
        (TypeAdapter(Results), b'{"tasks": [{"probe": {"strata": {', b'"":0', b"}}}]}"),
        (TypeAdapter(Results), b'{"tasks": [{"belief": {"by_turn": [', b"0", b"]}}]}"),
        (TypeAdapter(RunInfo), b'{"versions": {', b'"":0', b"}}"),
        (TypeAdapter(RunInfo), b'{"tasks": [', b"0", b"]}"),
    ],
)
def test_of_many_wrong_elements_the_first_is_told(
    adapter: TypeAdapter[Any], start: bytes, wrong: bytes, end: bytes
) -> None:
    """An error for each would take a kilobyte for two bytes."""
    with pytest.raises(ValidationError) as raised:
        adapter.validate_json(start + b",".join([wrong] * 10_000) + end)
    assert raised.value.error_count() < 60


def test_a_bomb_is_refused_in_little_memory(copy: Copy) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bomb = next(t for t in TAMPERINGS if t.what == "a gzip bomb")
    bomb.edit(copy)  # 300 MB of nothing in 1.3 MB
    assert said(copy.path, FewBoards())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_a_link_to_a_folder_is_refused(copy: Copy, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(copy.path)
    assert "a link" in said(link, FewBoards())


# -- the badge -------------------------------------------------------------------------------------


def test_a_verification_counts_for_exactly_the_files_that_were_verified(copy: Copy) -> None:
    folder = SubmissionFolder(copy.path)
    write_verification(folder, verified(copy).verification)
    assert folder.verification() is not None
    (copy.path / "README.md").write_text("Better.")
    copy.sign()
    assert folder.verification() is None


def test_a_verification_changes_nothing_of_what_was_verified(copy: Copy) -> None:
    folder = SubmissionFolder(copy.path)
    digest = folder.digest()
    write_verification(folder, verified(copy).verification)
    assert folder.digest() == digest
    assert verified(copy).differences == []


def test_a_submission_that_does_not_verify_loses_its_verification(copy: Copy) -> None:
    folder = SubmissionFolder(copy.path)
    write_verification(folder, verified(copy).verification)
    write_verification(folder, None)
    assert not (copy.path / "verification.json").exists()


def test_nothing_is_removed_through_a_link(copy: Copy, tmp_path: Path) -> None:
    write_verification(SubmissionFolder(copy.path), verified(copy).verification)
    (tmp_path / "link").symlink_to(copy.path)
    write_verification(SubmissionFolder(tmp_path / "link"), None)
    assert (copy.path / "verification.json").exists()


def test_a_verification_that_is_no_file_is_refused_before_the_replay(copy: Copy) -> None:
    (copy.path / "verification.json").mkdir()
    assert "verification.json: not a plain file" in said(copy.path, FewBoards())
    write_verification(SubmissionFolder(copy.path), None)  # there is no file to remove


def authored_before(copy: Copy) -> Verification:
    """Writes a verification as the weights' would be."""
    replayed = verified(copy).verification
    assert replayed is not None
    told = Authorship(
        weights="0" * 64, replies=8, recorded=-2, own=-2, difference=0, low=-0.1, high=0.1
    )
    found = replayed.model_copy(update={"badge": "authored", "authorship": told})
    write_verification(SubmissionFolder(copy.path), found)
    return found


def test_the_same_files_keep_what_their_weights_said(copy: Copy) -> None:
    before = authored_before(copy)
    report = verified(copy)
    assert report.verification is not None
    assert report.verification.badge == "replayed"
    now = with_earlier_badge(SubmissionFolder(copy.path), report.verification)
    assert (now.badge, now.authorship) == ("authored", before.authorship)


def test_other_files_do_not(copy: Copy) -> None:
    authored_before(copy)
    (copy.path / "README.md").write_text("Better.")
    copy.sign()
    replayed = verified(copy).verification
    assert replayed is not None
    assert with_earlier_badge(SubmissionFolder(copy.path), replayed) == replayed


def test_an_earlier_verification_that_cannot_be_read_gives_no_badge(copy: Copy) -> None:
    replayed = verified(copy).verification
    assert replayed is not None
    (copy.path / "verification.json").write_text("{")
    assert with_earlier_badge(SubmissionFolder(copy.path), replayed) == replayed


def test_transcripts_are_compared_with_submissions_in_the_same_folder(
    copy: Copy, tmp_path: Path
) -> None:
    folder = SubmissionFolder(copy.path)
    assert samples_beside(folder) == {}
    report = verified(copy)
    write_verification(folder, report.verification)
    assert report.verification is not None
    beside = samples_beside(SubmissionFolder(tmp_path / "mine"))
    assert beside == {"tiny": report.verification.transcripts}
    (tmp_path / "other").mkdir()
    alone = SubmissionFolder(tmp_path / "other" / "mine")
    assert samples_beside(alone) == {}
    assert samples_beside(alone, tmp_path) == beside
    namesake = SubmissionFolder(tmp_path / "other" / folder.name)  # a name hides no copy
    assert samples_beside(namesake, tmp_path) == {str(copy.path): beside["tiny"]}
    with pytest.raises(InputError, match="nowhere: No such file"):
        samples_beside(alone, tmp_path / "nowhere")


def test_what_weights_denied_stays_denied_where_they_are_not_asked(copy: Copy) -> None:
    folder = SubmissionFolder(copy.path)
    replayed = verified(copy).verification
    assert replayed is not None
    denied = Authorship(
        weights="0" * 64, replies=64, recorded=-3.0, own=-1.0, difference=-2.0, low=-2.5, high=-1.5
    )
    flag = Flag(kind="unlike_weights", says="unlike")
    found = replayed.model_copy(update={"authorship": denied, "flags": [*replayed.flags, flag]})
    write_verification(folder, found)
    assert with_earlier_badge(folder, replayed) == found


def test_copies_in_folders_of_one_name_are_all_compared(copy: Copy, tmp_path: Path) -> None:
    write_verification(SubmissionFolder(copy.path), verified(copy).verification)
    parents = [tmp_path / "a" / "rows", tmp_path / "b" / "rows"]
    for parent in parents:
        shutil.copytree(copy.path, parent / copy.path.name)
    (tmp_path / "mine").mkdir()
    beside = samples_beside(SubmissionFolder(tmp_path / "mine" / copy.path.name), *parents)
    assert len(beside) == 2
