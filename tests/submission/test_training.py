"""The log of a training: what of it is packed, and what is refused of one that somebody sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.errors import InputError
from spa_bench.submission.training import MOST_NAMES, MOST_STEPS, from_log, read, to_lines


def lines(*steps: dict[str, Any]) -> list[bytes]:
    return [json.dumps(step).encode() for step in steps]


def test_of_a_trainers_log_only_numbers_with_known_names_are_kept(tmp_path: Path) -> None:
    told = {"reward": 0.5, "rollout_seconds": 3.2, "warnings": ["in /home/x"], "format": 1.0}
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(lines({"step": 0, "sokoban/pass@8": 0.5}, {"step": 1, **told})))
    assert from_log(path) == [
        {"step": 0, "sokoban/pass@8": 0.5},
        {"step": 1, "reward": 0.5, "format": 1.0},
    ]


def test_a_line_that_was_being_written_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 0, "reward": 1}\n{"step": 1, "rew')
    assert [step["step"] for step in from_log(path)] == [0]


def test_a_closing_summary_adds_to_the_last_step(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    summary = {"step": 20, "train_runtime": 495.1, "train_loss": 0.65, "epoch": 1.0}
    path.write_bytes(b"\n".join(lines({"step": 10, "loss": 2}, {"step": 20, "loss": 1}, summary)))
    assert from_log(path) == [{"step": 10, "loss": 2}, {"step": 20, "loss": 1}]


def test_of_a_resumed_training_what_was_said_last_counts(tmp_path: Path) -> None:
    told = [{"step": n, "loss": 1 / (n + 1), "reward": n} for n in (0, 10, 20)]
    again = [{"step": n, "loss": 0.5} for n in (5, 10, 15, 20)]
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(lines(*told, *again)))
    found = from_log(path)
    assert [step["step"] for step in found] == [0, 5, 10, 15, 20]
    assert found[2] == {"step": 10, "loss": 0.5, "reward": 10}


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        from_log(tmp_path / "log.jsonl")


STEPS = st.lists(
    st.dictionaries(
        st.sampled_from(["sokoban/pass@1", "sudoku_9x9/pass@8", "format"]), st.floats(0, 1)
    ),
    max_size=5,
)


@given(STEPS)
def test_what_is_written_is_read_back(told: list[dict[str, float]]) -> None:
    steps = [{"step": float(number), **step} for number, step in enumerate(told)]
    assert read(to_lines(steps).splitlines(), "here") == steps


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([{"step": 0}, {"reward": 1}], "here:2: steps count upwards"),
        ([{"step": 1}, {"step": 1}], "here:2: steps count upwards"),
        ([{"step": 0, "sokoban/pass@1": 1.5}], "here:1: sokoban/pass@1 is 1.5"),
        ([{"step": 0, "<script>": 1}], "here:1: not a step"),
        ([{"step": 0, "reward": float("nan")}], "here:1: not a step"),
        ([{"step": 0, "reward": 1e300}], "here:1: not a step"),
        ([[]], "here:1: not a step"),
    ],
)
def test_what_no_training_tells_is_refused(steps: list[Any], says: str) -> None:
    with pytest.raises(InputError) as refused:
        read(lines(*steps), "here")
    assert str(refused.value).startswith(says)


def test_a_log_without_end_is_refused() -> None:
    endless = (b'{"step": %d}' % number for number in range(10**9))
    with pytest.raises(InputError, match=f"more than {MOST_STEPS:,} steps"):
        read(endless, "here")


def test_a_log_of_names_without_end_is_refused() -> None:
    steps = [{"step": number, f"task_{number}/pass@1": 0.5} for number in range(MOST_NAMES)]
    assert len(read(lines(*steps[:-1]), "here")) == MOST_NAMES - 1
    with pytest.raises(InputError, match=f"here:{MOST_NAMES}: more than {MOST_NAMES} names"):
        read(lines(*steps), "here")


def test_a_loss_that_is_no_number_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": NaN, "entropy": 0.5}\n{"step": 2, "loss": Infinity}\n')
    assert from_log(path) == [{"step": 1, "entropy": 0.5}, {"step": 2}]
