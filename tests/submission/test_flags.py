"""What a reader should know: copies, repetitions, overlap, luck that was chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from submissions import ABOUT, NOBODY, FewBoards, evaluated, moody

from spa_bench.models.baselines import load
from spa_bench.models.model import Model, ModelOptions
from spa_bench.runner.record import EPISODE_SCHEMA, Episode, Turn
from spa_bench.submission.flags import Transcripts, share_in
from spa_bench.submission.pack import pack
from spa_bench.submission.schema import Flag
from spa_bench.submission.verify import verify

TURN = Turn(
    state="",
    prompt_sha256="",
    reply="x" * 300,
    stop_reason="stop",
    parse="ok",
    actions=(),
    executed=0,
    outcomes=(),
    reward=0.0,
)


def episode(board: int, reply: str, repeat: int = 0) -> Episode:
    return Episode(
        schema=EPISODE_SCHEMA,
        task="t",
        task_hash="h",
        instance=f"w/{board}",
        board_key="k",
        repeat=repeat,
        status="complete",
        success=False,
        turns=(replace(TURN, reply=reply.ljust(300)),),
    )


def transcripts(replies: list[str]) -> Transcripts:
    found = Transcripts()
    for board, reply in enumerate(replies):
        found.add(episode(board, reply))
    return found


def test_a_copy_has_all_transcripts_of_the_original() -> None:
    replies = [f"reply {i}" for i in range(2000)]
    sample = transcripts(replies).sample()
    assert len(sample) == 256
    assert share_in(sample, transcripts(replies).sample()) == 1


def test_a_half_copy_is_seen_as_about_half() -> None:
    ours = [f"reply {i}" for i in range(2000)]
    theirs = [reply if i % 2 else f"own {i}" for i, reply in enumerate(ours)]
    assert share_in(transcripts(ours).sample(), transcripts(theirs).sample()) == pytest.approx(
        0.5, abs=0.15
    )


def test_what_is_in_a_larger_submission_is_found_there() -> None:
    ours = [f"reply {i}" for i in range(100)]
    theirs = [*ours, *(f"own {i}" for i in range(5000))]
    assert share_in(transcripts(ours).sample(), transcripts(theirs).sample()) == 1


def test_others_have_nothing_in_common() -> None:
    sample = transcripts([f"reply {i}" for i in range(500)]).sample()
    assert share_in(sample, transcripts([f"own {i}" for i in range(500)]).sample()) == 0
    assert share_in(sample, []) == 0
    assert share_in([], sample) == 0


def test_short_transcripts_are_equal_by_chance_and_not_counted() -> None:
    found = Transcripts()
    short = replace(episode(0, ""), turns=(replace(TURN, reply="<answer>Up</answer>"),))
    for repeat in range(8):
        found.add(replace(short, repeat=repeat))
    assert (found.long, found.repeated, found.sample()) == (0, 0, [])


def test_repeats_are_counted_by_board() -> None:
    found = Transcripts()
    for board in range(3):
        for repeat in range(4):
            found.add(episode(board, "same", repeat))
    assert (found.long, found.repeated, len(found.sample())) == (12, 9, 3)


# -- flags of real submissions ---------------------------------------------------------------------


def flags(path: Path, model: Model, others: Any = None, **options: Any) -> list[Flag]:
    run = evaluated(path / "run", model, **options)
    report = verify(
        pack(run, ABOUT, path / "tiny", FewBoards(), scrubber=NOBODY), FewBoards(), others
    )
    assert report.verification is not None, report.differences
    return report.verification.flags


def test_an_ordinary_model_has_no_flags(tmp_path: Path) -> None:
    assert flags(tmp_path, moody()) == []


def test_a_solver_is_told_by_its_play(tmp_path: Path) -> None:
    oracle = load(ModelOptions("oracle", "baseline/oracle"))
    found = flags(tmp_path, oracle, tasks=("sokoban",))
    assert [(flag.kind, flag.task) for flag in found] == [("optimal_play", "sokoban")]


def test_another_salt_than_the_usual_is_told(tmp_path: Path) -> None:
    assert [flag.kind for flag in flags(tmp_path, moody(), salt="77")] == ["salt"]


def test_a_copy_is_told(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "first", moody())
    folder = pack(run, ABOUT, tmp_path / "one" / "tiny", FewBoards(), scrubber=NOBODY)
    first = verify(folder, FewBoards()).verification
    assert first is not None
    (flag,) = flags(tmp_path, moody(), {"theirs": first.transcripts})
    assert flag.kind == "copied"
    assert flag.says.startswith("about 100% of the transcripts are, word for word, also those of")
