"""Which boards a training plays."""

import pytest

from spa_bench.environments.bounds import Solver
from spa_bench.errors import InputError
from spa_bench.registry import Registry
from spa_trainers import boards
from spa_trainers.boards import (
    TRAINING_SEEDS,
    boards_left,
    chances,
    evaluated_boards,
    training_task,
)
from spa_trainers.play import Player
from spa_trainers.ppo_settings import PpoSettings


def _training(name, count):
    return training_task(Registry().resolve([name])[0], seeds=TRAINING_SEEDS, boards=count)


def _player(task, least):
    settings = PpoSettings(tasks=[task.config.task], boards=4, repeats=2, least_chance=least)
    return Player(settings, None, [task], [task], frozenset())


def test_training_boards_may_be_those_that_chance_solves():
    task = _training("sokoban", 60)
    every = {board.id: board for board in task.boards[0]}
    floors = {i: Solver(task.environment, b.state, task.limits).floor() for i, b in every.items()}
    wanted = [i for i, floor in floors.items() if floor >= 0.2]
    assert 10 < len(wanted) < 50
    assert chances(task, task.boards[0]) == list(floors.values())
    played = [spec.instance.id for spec in _player(task, 0.2).specs(0)]
    assert played == [i for i in wanted[:4] for _ in range(2)]
    assert [spec.instance.id for spec in _player(task, 0.0).specs(0)][::2] == list(every)[:4]


@pytest.mark.parametrize("names", [["paper"], []])
def test_what_a_trained_task_is_evaluated_on_is_left_out(names):
    registry = Registry()
    hard = registry.load("sudoku_hard")
    left_out = evaluated_boards(names, ["sudoku_hard"], registry)
    assert {board.board_key for board in hard.boards[0]} <= left_out
    played = training_task(hard, seeds=TRAINING_SEEDS, boards=64)
    assert not left_out & {board.board_key for board in boards_left(played, left_out)}


def test_training_boards_are_not_left_out_of_a_task_that_has_none_but_those(tmp_path):
    (tmp_path / "easy.yaml").write_text(
        "task: easy\ninclude: frozenlake\n"
        'instances: {split: train, seeds: "10000-20000", count: 4}\n'
    )
    assert not evaluated_boards([], ["easy"], Registry.with_paths([tmp_path]))


def test_no_board_that_chance_solves_is_said():
    with pytest.raises(
        InputError, match=r"board of sokoban with a probability of 1; the most is 0\.[1-9]"
    ):
        _player(_training("sokoban", 5), 1.0).specs(0)


def test_a_world_that_is_too_large_for_exact_chance_is_said(monkeypatch):
    monkeypatch.setattr(boards, "Solver", lambda *a: Solver(*a, state_limit=3))
    task = _training("sokoban", 2)
    with pytest.raises(InputError, match=r"rl\.least_chance: sokoban: more than 3 states"):
        chances(task, task.boards[0])
