"""The random player writes every format as it should be, and tells nothing of what actions do."""

import re

import pytest
from played import between, play_boards

from spa_bench.errors import InputError
from spa_bench.registry import Registry
from spa_trainers.players import RandomPlayer
from spa_trainers.selfplay import SelfPlaySettings, expected_states, training_tasks

WORLDS = ["sokoban_wm", "frozenlake_wm", "sudoku_wm"]


def _settings(name, expects="shown"):
    return SelfPlaySettings(tasks=[name], boards=8, player="random", beliefs="own", expects=expects)


def _played(name, expects):
    """Returns what a random player saw, what it predicted, and all that it may predict."""
    settings, registry = _settings(name, expects), Registry()
    [task] = training_tasks(settings, registry)
    expected = expected_states(settings, [task], registry)
    turns = _turns(task, RandomPlayer("r", expected=expected))
    return (
        [between(turn.reply, "observation") for turn in turns],
        [between(turn.reply, "prediction") for turn in turns],
        [task.environment.observe(s, task.config.observation) for s in expected[task.environment]],
    )


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
    seen, predicted, possible = _played(name, "same")
    assert set(predicted) == set(possible)
    assert len(possible) == 1
    assert len(set(seen)) > 1


@pytest.mark.parametrize("name", WORLDS)
def test_it_expects_any_board_if_told_so(name):
    seen, predicted, possible = _played(name, "any")
    assert set(predicted) <= set(possible)
    assert len(set(predicted)) > 1
    assert predicted != seen


def test_a_world_without_a_training_board_is_refused():
    registry = Registry()
    settings = _settings("frozenlake_wm", "same")
    [task] = training_tasks(settings, registry)
    paper = registry.resolve(["frozenlake_wm"])
    with pytest.raises(InputError, match="no training board of frozenlake_wm is left"):
        expected_states(settings, paper, registry)
    assert expected_states(settings, [task], registry)


@pytest.mark.parametrize("name", WORLDS)
def test_the_plan_numbers_what_is_answered(name):
    [task] = training_tasks(_settings(name), Registry())
    for turn in _turns(task, RandomPlayer("r", (2, 3))):
        plan = turn.reply.partition("</observation>")[2].partition("<prediction>")[0]
        named = re.findall(r"\d+\. (.+?)(?= \d+\. |$)", plan.strip())
        assert named == between(turn.reply, "answer").split(" || ")
