"""Belief inside episodes: what was said against what was so, from the log and the kernel alone."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

import pytest
from scripted import Scripted
from worlds import LINE, SLIPPERY, drawn, sokoban_task, table_task

from spa_bench.errors import InputError
from spa_bench.evaluation import evaluate
from spa_bench.models.model import Capabilities, Model
from spa_bench.results.belief import Belief, BeliefTally
from spa_bench.runner.episode import EpisodeSpec, play
from spa_bench.runner.record import Episode
from spa_bench.task import Task
from spa_bench.task_file import builtin_tasks_folder, load_task

WM: dict[str, Any] = {"format": "world_model", "metrics": ["pass@1", "belief"]}
SPEC = drawn(LINE, **WM)
START, ONE_ON = "#######\n#P_X_O#\n#_____#\n#######", "#######\n#_PX_O#\n#_____#\n#######"
DONE = "#######\n#___P√#\n#_____#\n#######"


def say(observation: str, prediction: str, *actions: str) -> str:
    return (
        f"<think><observation>{observation}</observation><prediction>{prediction}</prediction>"
        f"</think><answer>{' || '.join(actions)}</answer>"
    )


def played(*replies: str, spec: EpisodeSpec = SPEC) -> Episode:
    capabilities = Capabilities(prefill=False)
    return asyncio.run(play(spec, Scripted(list(replies), capabilities=capabilities)))


def belief(*episodes: Episode, spec: EpisodeSpec = SPEC) -> Belief:
    tally = BeliefTally(spec.task, {spec.instance.id: spec.instance.state})
    for episode in episodes:
        tally.add(episode)
    return tally.result()


def test_what_is_right_is_exact() -> None:
    found = belief(played(say(START, ONE_ON, "Right"), say(ONE_ON, DONE, "Right", "Right")))
    assert found.turns == 2
    assert (found.observation.exact.value, found.prediction.exact.value) == (1, 1)
    assert (found.ceiling, found.supported, found.probability) == (1, 1, 1)


def test_a_prediction_is_held_against_the_state_after_all_actions() -> None:
    found = belief(played(say(START, ONE_ON, "Right", "Right", "Right")))
    assert found.observation.exact.value == 1
    assert found.prediction.exact.value == 0
    # the target and nothing else is where it was said to be
    assert found.prediction.object_f1 == pytest.approx(2 / 6)
    assert found.prediction.cell_accuracy == 0


def test_to_repeat_the_board_is_right_where_nothing_changes_and_nowhere_else() -> None:
    still = played(say(START, START, "Up"))  # again in every turn
    found = belief(still)
    assert (found.copied, found.prediction.exact.value) == (1, 1)
    assert found.changed.value is not None
    assert math.isnan(found.changed.value)
    moved = played(say(START, START, "Right"), say(ONE_ON, DONE, "Right", "Right"))
    found, turns = belief(still, moved), len(still.turns)
    assert found.copied == turns / (turns + 2)
    assert found.prediction.exact.value == (turns + 1) / (turns + 2)
    assert found.changed.value == 1 / 2


def test_a_turn_without_statements_agrees_with_nothing() -> None:
    found = belief(played("<think></think><answer>Right || Right || Right</answer>"))
    assert (found.observation.stated, found.prediction.stated) == (0, 0)
    assert (found.observation.exact.value, found.prediction.object_f1) == (0, 0)


def test_belief_is_told_by_turn() -> None:
    right = played(say(START, ONE_ON, "Right"), say(ONE_ON, DONE, "Right", "Right"))
    wrong = played(say(ONE_ON, ONE_ON, "Right", "Right", "Right"))
    first, second = belief(right, wrong).by_turn
    assert (first.turn, first.turns, first.observation, first.prediction) == (1, 2, 0.5, 0.5)
    assert (second.turn, second.turns, second.observation, second.prediction) == (2, 1, 1, 1)


def test_belief_is_the_same_whatever_the_order_of_the_log() -> None:
    """Shares such as 2/5 are rounded in a float, so that a sum of floats depends on its order."""
    said = ("#__X_O#", "#P__XO#", "#P_X__#", "#PXPXO#", "#_P___#", "#PXX_O#")
    episodes = [played(say(f"#######\n{row}\n#_____#\n#######", DONE, "Up")) for row in said]
    orders = [episodes[first:] + episodes[:first] for first in range(len(episodes))]
    assert len({str(belief(*order)) for order in orders}) == 1


def test_right_predictions_are_related_to_success() -> None:
    lost = played(*[say(START, ONE_ON, "Up")] * 5)  # five wrong predictions, no success
    won = played(say(START, ONE_ON, "Right"), say(ONE_ON, DONE, "Right", "Right"))
    found = belief(lost, won)
    assert (found.success_if_right.value, found.success_if_wrong.value) == (1, 0)
    assert found.gain.value == 1


def test_a_log_that_cannot_have_happened_is_counted_apart() -> None:
    real = played(say(START, DONE, "Right", "Right", "Right"))
    turn = real.turns[0]
    for changes in (
        {"outcomes": (0, 0, 7)},
        {"executed": 2},
        {"actions": ("Right", "Sideways", "Right")},
    ):
        forged = replace(real, turns=(replace(turn, **changes),))
        found = belief(forged, real)
        assert (found.unreplayed, found.turns) == (1, 1)


def test_strange_facts_in_a_log_are_no_agreement() -> None:
    real = played(say(START, DONE, "Right", "Right", "Right"))
    forged = replace(real.turns[0], facts_predicted={"player": [[], [1], ["a", "b"], [1, 2, 3]]})
    assert belief(replace(real, turns=(forged,))).prediction.exact.value == 0


# -- where chance decides -------------------------------------------------------------------------

ICE = replace(table_task(SLIPPERY, observation="grid", **WM), environment=SLIPPERY)
ICE_SPEC = EpisodeSpec(ICE, ICE.boards[0][0], 0, "0")


def test_the_ceiling_is_the_best_possible_prediction() -> None:
    # `a` from 0 leads to 1 with 1/2, stays with 1/4, falls with 1/4
    episode = played(say("<0", "<1", "a"), spec=replace(ICE_SPEC, task=one_turn(ICE)))
    found = belief(episode, spec=ICE_SPEC)
    assert found.ceiling == pytest.approx(1 / 2)
    assert (found.supported, found.probability) == (1, pytest.approx(1 / 2))


def test_an_impossible_prediction_has_no_support() -> None:
    episode = played(say("<0", "<3", "a"), spec=replace(ICE_SPEC, task=one_turn(ICE)))
    found = belief(episode, spec=ICE_SPEC)
    assert (found.supported, found.probability) == (0, 0)


def one_turn(task: Task) -> Task:
    limits = task.config.limits.model_copy(update={"turns": 1})
    return replace(task, config=task.config.model_copy(update={"limits": limits}))


# -- in results -----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["baseline/random", "baseline/oracle"])
def test_baselines_believe_what_can_be_known(model: str | Model, tmp_path: Any) -> None:
    names = "sokoban_wm,frozenlake_slippery_wm,sudoku_wm"
    for task in evaluate(model, names, limit=4, repeats=2, output=tmp_path / "run").tasks:
        assert task.belief is not None
        assert task.belief.observation.exact.value == 1
        assert task.belief.probability == pytest.approx(task.belief.ceiling)
        assert task.belief.supported == 1


def test_a_task_that_does_not_ask_has_no_belief(tmp_path: Any) -> None:
    (task,) = evaluate(
        "baseline/random", "sokoban", limit=1, repeats=1, output=tmp_path / "r"
    ).tasks
    assert task.belief is None


def test_belief_is_no_part_of_what_is_measured() -> None:
    assert sokoban_task(format="world_model").hash == sokoban_task(**WM).hash


def test_a_format_without_beliefs_cannot_be_asked_for_them(tmp_path: Any) -> None:
    path = tmp_path / "task.yaml"
    include = builtin_tasks_folder() / "sokoban" / "sokoban.yaml"
    path.write_text(f"task: odd\ninclude: {include}\nmetrics: [belief]\n")
    with pytest.raises(InputError, match=r"task.yaml:3: metrics: `belief` needs a format"):
        load_task(path)
