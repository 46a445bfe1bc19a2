"""`play`: a person at a terminal."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from typing import Any

import pytest

from spa_bench.cli import main
from spa_bench.cli.play import read_actions
from spa_bench.environments.sokoban import Sokoban
from spa_bench.environments.sudoku import Sudoku
from spa_bench.registry import Registry

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
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *typed: str,
    task: str = "sokoban",
) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in typed)))
    with pytest.raises(SystemExit) as exited:
        main(["play", task, "--instance", "123"])
    assert exited.value.code == 0
    return capsys.readouterr().out


def test_the_first_interrupt_ends_it() -> None:
    code = "import signal as s; s.signal(s.SIGINT, s.default_int_handler)\n"
    code += "from spa_bench.cli import main; main(['play', 'frozenlake'])"
    with subprocess.Popen(
        [sys.executable, "-uc", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as person:
        assert person.stdout is not None
        shown = b""
        while b"> " not in shown:  # a prompt: it reads
            shown += person.stdout.read(1)
        person.send_signal(signal.SIGINT)
        assert person.wait(30) == 130


def test_a_solved_board_is_told_with_the_shortest_plan(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _played(monkeypatch, capsys, "dlu")
    assert "solved in 3 actions; shortest plan: 3 actions" in " ".join(said.split())


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
    said = _played(monkeypatch, capsys, "jump", "?", "q")
    assert "not an action: 'jump'" in said
    assert "names: Up Down; first letters: ud; as a model writes: Up || Down" in said


def test_the_end_of_input_ends_the_game(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _played(monkeypatch, capsys, "u").rstrip().endswith("stopped")


def test_a_lost_game_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed: Any = ["rrrrr"] * 2
    assert "not solved: ineffective" in " ".join(_played(monkeypatch, capsys, *typed).split())


STATE_PROBES = ("frozenlake_transition", "frozenlake_rollout_grid", "sokoban_to_grid",
                "sokoban_to_coordinates", "sudoku_transition")  # fmt: skip


@pytest.mark.parametrize("task", STATE_PROBES)
def test_a_state_is_answered_over_several_lines(
    task: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    board = next(b for b in Registry().load(task).boards[0] if b.seed == 123)
    right, _ = board.state.item.right[0]
    typed = ("? ", "nothing of the kind", "", *right.splitlines(), "")
    said = _played(monkeypatch, capsys, *typed, task=task)
    assert "not an answer: 'nothing of the kind'" in said
    assert "solved in 1 action;" in " ".join(said.split())


def test_a_question_is_shown_once_and_without_its_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _played(monkeypatch, capsys, "q", task="sudoku_transition")
    assert said.count("What is the state after") == 1
    assert "Actions: for example" not in said


def test_the_end_of_input_ends_an_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _played(monkeypatch, capsys, "no", task="sokoban_legality")
    assert "Reward of your last turn" in said


@pytest.mark.parametrize("place", ["render", "actions", "outcomes", "parse_action"])
def test_a_world_that_raises_is_one_line(
    place: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("no such piece")

    monkeypatch.setattr(Sokoban, place, broken)
    monkeypatch.setattr("sys.stdin", io.StringIO("Up\n"))
    with pytest.raises(SystemExit) as exited:
        main(["play", "sokoban", "--instance", "123"])
    assert exited.value.code == 1
    err = capsys.readouterr().err
    assert err.startswith("error: task 'sokoban'")
    assert "raised KeyError: 'no such piece'" in err
    assert err.count("\n") == 1
