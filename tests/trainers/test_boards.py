"""Which boards a training plays, and which it is measured on."""

import pytest

from spa_bench.environments.bounds import Solver
from spa_bench.errors import InputError
from spa_bench.registry import Registry
from spa_trainers.boards import TRAINING_SEEDS, held_out_task, training_task
from spa_trainers.recipe import built_in_recipes, load_recipe

SHORT = {"generator": "spa", "max_solution": 3}


def _sokoban():
    return Registry().resolve(["sokoban"])[0]


def test_training_boards_may_be_easier_and_all_else_stays():
    task = _sokoban()
    training = training_task(task, seeds=TRAINING_SEEDS, boards=40, environment=SHORT)
    lengths = {
        Solver(training.environment, board.state, training.limits).shortest_plan()
        for board in training.boards[0]
    }
    assert lengths == {1, 2, 3}
    assert training.hash != task.hash
    state = task.boards[0][0].state
    assert training.opening_message("S", 1, 10) == task.opening_message("S", 1, 10)
    assert training.environment.observe(state, "grid") == task.environment.observe(state, "grid")
    held_out = held_out_task(task, boards=4)
    assert held_out.environment == task.environment


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
        training_task(_sokoban(), seeds=TRAINING_SEEDS, boards=1, environment=changes)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_another_world_is_no_parameter(tmp_path):
    text = built_in_recipes()["nano-spa-frozenlake"].read_text()
    file = tmp_path / "mine.yaml"
    text = text.replace(
        "include: ", f"include: {built_in_recipes()['nano-spa-frozenlake'].parent}/"
    )
    file.write_text(text + "  environment: {name: sokoban}\n")
    with pytest.raises(InputError, match=r"mine\.yaml:.* rl\.environment: the world is that of"):
        load_recipe(file)
