"""Which boards a training plays."""

import pytest

from spa_bench.environments.bounds import Solver
from spa_bench.errors import InputError
from spa_bench.registry import Registry
from spa_trainers import boards
from spa_trainers.boards import TRAINING_SEEDS, boards_chance_solves, training_task
from spa_trainers.play import Player
from spa_trainers.ppo_settings import PpoSettings
from spa_trainers.recipe import built_in_recipes, load_recipe


def _task(name):
    return Registry().resolve([name])[0]


def _training(name, count, environment=None):
    return training_task(_task(name), seeds=TRAINING_SEEDS, boards=count, environment=environment)


def _player(task, least):
    settings = PpoSettings(tasks=[task.config.task], boards=4, repeats=2, least_chance=least)
    return Player(settings, None, [task], [task], frozenset())


def test_training_boards_may_be_those_that_chance_solves():
    task = _training("sokoban", 60)
    every = {board.id: board for board in task.boards[0]}
    floors = {i: Solver(task.environment, b.state, task.limits).floor() for i, b in every.items()}
    wanted = [i for i, floor in floors.items() if floor >= 0.2]
    assert 10 < len(wanted) < 50
    assert [b.id for b in boards_chance_solves(task, list(every.values()), 0.2)] == wanted
    played = [spec.instance.id for spec in _player(task, 0.2).specs(0)]
    assert played == [i for i in wanted[:4] for _ in range(2)]
    assert [spec.instance.id for spec in _player(task, 0.0).specs(0)][::2] == list(every)[:4]


def test_no_board_that_chance_solves_is_said():
    with pytest.raises(InputError, match="no training board of sokoban with a probability of 1;"):
        _player(_training("sokoban", 5), 1.0).specs(0)


def test_a_world_that_is_too_large_for_exact_chance_is_said(monkeypatch):
    monkeypatch.setattr(boards, "Solver", lambda *a: Solver(*a, state_limit=3))
    task = _training("sokoban", 2)
    with pytest.raises(InputError, match=r"rl\.least_chance: sokoban: more than 3 states"):
        boards_chance_solves(task, task.boards[0], 0.1)


def test_training_boards_may_be_made_otherwise_and_all_else_stays():
    task, training = (
        _task("sokoban"),
        _training("sokoban", 40, {"generator": "spa", "max_solution": 3}),
    )
    boards_made = training.boards[0]
    solvers = [Solver(training.environment, b.state, training.limits) for b in boards_made]
    assert {solver.shortest_plan() for solver in solvers} == {1, 2, 3}
    assert training.hash != task.hash
    assert training.opening_message("S", 1, 10) == task.opening_message("S", 1, 10)
    state = task.boards[0][0].state
    assert training.environment.observe(state, "grid") == task.environment.observe(state, "grid")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"max_solutio": 3}, "no parameter 'max_solutio' (did you mean max_solution"),
        ({"max_solution": 3}, "rl: environment: max_solution is a setting of generator: spa"),
        ({"generator": "spa", "max_solution": "x"}, "rl: environment.max_solution: "),
    ],
)
def test_a_parameter_that_the_world_does_not_have_is_said(changes, says):
    with pytest.raises(InputError) as error:
        _training("sokoban", 1, changes)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_another_world_is_no_parameter(tmp_path):
    path = built_in_recipes()["nano-spa-frozenlake"]
    text = path.read_text().replace("include: ", f"include: {path.parent}/")
    file = tmp_path / "mine.yaml"
    file.write_text(text + "  environment: {name: sokoban}\n")
    with pytest.raises(InputError, match=r"mine\.yaml:.* rl\.environment: the world is that of"):
        load_recipe(file)
