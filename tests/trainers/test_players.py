"""The random player writes every format as it should be, and tells nothing of what actions do."""

import pytest
from played import between, play_boards

from spa_bench.errors import InputError
from spa_bench.registry import Registry
from spa_trainers.players import RandomPlayer
from spa_trainers.selfplay import SelfPlaySettings, evaluated_boards, first_boards, training_tasks

WORLDS = ["sokoban_wm", "frozenlake_wm", "sudoku_wm"]


def _settings(name):
    return SelfPlaySettings(tasks=[name], boards=8, player="random", expects="same")


def _turns(task, player):
    return [turn for episode in play_boards(task, player) for turn in episode.turns]


@pytest.mark.parametrize("name", WORLDS)
def test_it_expects_the_state_it_was_shown(name):
    [task] = training_tasks(_settings(name), Registry())
    turns = _turns(task, RandomPlayer("r"))
    assert turns
    for turn in turns:
        assert between(turn.reply, "prediction") == between(turn.reply, "observation")


@pytest.mark.parametrize("name", WORLDS)
def test_it_expects_always_the_same_if_told_so(name):
    settings, registry = _settings(name), Registry()
    [task] = training_tasks(settings, registry)
    expected = first_boards(settings, [task], registry)
    left_out = evaluated_boards(settings.leave_out, registry)
    first = next(board for board in task.boards[0] if board.board_key not in left_out)
    said = task.environment.observe(first.state, task.config.observation)
    turns = _turns(task, RandomPlayer("r", expected=expected))
    assert {between(turn.reply, "prediction") for turn in turns} == {said}
    assert len({between(turn.reply, "observation") for turn in turns}) > 1


def test_a_world_without_a_training_board_is_refused():
    registry = Registry()
    settings = SelfPlaySettings(tasks=["frozenlake_wm"], boards=1, player="random", expects="same")
    [task] = training_tasks(settings, registry)
    paper = registry.resolve(["frozenlake_wm"])
    with pytest.raises(InputError, match="no training board of frozenlake_wm is left"):
        first_boards(settings, paper, registry)
    assert first_boards(settings, [task], registry)
