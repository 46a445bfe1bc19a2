"""`play`: a person at a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest

from spa_bench.cli import main
from spa_bench.cli.play import read_actions
from spa_bench.environments.sokoban import Sokoban
from spa_bench.environments.sudoku import Sudoku

SOKOBAN = Sokoban()
START = SOKOBAN.initial_state(123)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Up", ["Up"]),
        ("up || LEFT", ["Up", "Left"]),
        ("Up Left Down", ["Up", "Left", "Down"]),
        ("udlr", ["Up", "Down", "Left", "Right"]),
        ("u d", ["Up", "Down"]),
        ("Fly", []),
        ("ux", []),
        ("", []),
    ],
)
def test_actions_are_read_as_people_type_them(typed: str, meant: list[str]) -> None:
    assert read_actions(typed, SOKOBAN, START) == meant


def test_worlds_with_many_actions_have_no_letters() -> None:
    sudoku = Sudoku()
    state = sudoku.initial_state(123)
    assert read_actions("1", sudoku, state) == []
    assert len(read_actions("1,1,1 || 2,2,2", sudoku, state)) == 2


def _played(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *typed: str
) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in typed)))
    with pytest.raises(SystemExit) as exited:
        main(["play", "sokoban", "--instance", "123"])
    assert exited.value.code == 0
    return capsys.readouterr().out


def test_a_solved_board_is_told_with_the_shortest_plan(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _played(monkeypatch, capsys, "dlu")
    assert "solved in 3 actions; shortest plan 3 actions" in " ".join(said.split())


def test_the_prompt_a_model_would_see_is_shown_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _played(monkeypatch, capsys, "p", "q")
    assert "--- system ---" in said
    assert "Turn 1 of 5" in said
    assert "<think>" in said
    assert said.rstrip().endswith("stopped")


def test_what_is_no_action_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "not an action: 'jump'" in _played(monkeypatch, capsys, "jump", "?", "q")


def test_the_end_of_input_ends_the_game(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _played(monkeypatch, capsys, "u").rstrip().endswith("stopped")


def test_a_lost_game_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed: Any = ["rrrrr"] * 2
    assert "not solved: ineffective" in " ".join(_played(monkeypatch, capsys, *typed).split())
