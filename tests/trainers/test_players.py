"""The random player writes every format as it should be, and tells nothing of what actions do."""

import asyncio

import pytest

from spa_bench.registry import Registry
from spa_bench.runner.episode import EpisodeSpec, play
from spa_trainers.players import RandomPlayer
from spa_trainers.selfplay import SelfPlaySettings, evaluated_boards, first_boards, training_tasks

WORLDS = ["sokoban_wm", "frozenlake_wm", "sudoku_wm"]


def _settings(name):
    return SelfPlaySettings(tasks=[name], boards=8, player="random", expects="same")


def _turns(task, player):
    async def all_of_it():
        return [await play(EpisodeSpec(task, board, 0, "s"), player) for board in task.boards[0]]

    return [turn for episode in asyncio.run(all_of_it()) for turn in episode.turns]


def _between(text, tag):
    return text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0].strip("\n")


@pytest.mark.parametrize("name", WORLDS)
def test_it_expects_the_state_it_was_shown(name):
    [task] = training_tasks(_settings(name), Registry())
    turns = _turns(task, RandomPlayer("r"))
    assert turns
    for turn in turns:
        assert _between(turn.reply, "prediction") == _between(turn.reply, "observation")


@pytest.mark.parametrize("name", WORLDS)
def test_it_expects_always_the_same_if_told_so(name):
    settings, registry = _settings(name), Registry()
    [task] = training_tasks(settings, registry)
    expected = first_boards(settings, [task], registry)
    left_out = evaluated_boards(settings.leave_out, registry)
    first = next(board for board in task.boards[0] if board.board_key not in left_out)
    said = task.environment.observe(first.state, task.config.observation)
    turns = _turns(task, RandomPlayer("r", expected=expected))
    assert {_between(turn.reply, "prediction") for turn in turns} == {said}
    assert len({_between(turn.reply, "observation") for turn in turns}) > 1
