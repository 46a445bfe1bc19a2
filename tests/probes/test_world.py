"""A probe is a world like any other: played, logged, resumed and counted by what is there."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted import Scripted
from worlds import SLIPPERY, table_task

from spa_bench.environments.gymnasium_text import GymnasiumText
from spa_bench.errors import InputError, ModelGoneError
from spa_bench.evaluation import evaluate
from spa_bench.models.model import Request
from spa_bench.plugins import make_task
from spa_bench.probes.legality import Legality
from spa_bench.probes.transition import TransitionProbe
from spa_bench.probes.world import ProbeWorld
from spa_bench.registry import Registry
from spa_bench.results.probe import ProbeTally
from spa_bench.runner.episode import play
from spa_bench.runner.record import Episode
from spa_bench.runner.rollout import EpisodeSpec
from spa_bench.task import Task
from spa_bench.task_file import load_task

REGISTRY = Registry()


def task(name: str) -> Task:
    return REGISTRY.load(name)


def asked(name: str, stratum: str) -> EpisodeSpec:
    found = task(name)
    board = next(b for b in found.boards[0] if b.id.endswith(f"/{stratum}"))
    return EpisodeSpec(found, board, 0, "0")


def answered(spec: EpisodeSpec, text: str) -> Episode:
    return asyncio.run(play(spec, Scripted([text])))


def test_a_question_is_one_turn_and_its_answer_one_action() -> None:
    spec = asked("sokoban_transition", "changing")
    truth = spec.instance.state.item.right[0][0]
    episode = answered(spec, f"<answer>\n{truth}\n</answer>")
    (turn,) = episode.turns
    assert episode.success
    assert (turn.parse, turn.actions, turn.reward) == ("ok", (truth,), 1)


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        ("<answer>no idea</answer>", "invalid"),
        ("no idea", "format"),
        ("<answer>{copy}</answer>", "wrong"),
    ],
)
def test_an_answer_that_is_not_right_has_a_class(reply: str, failure: str) -> None:
    spec = asked("sokoban_transition", "changing")
    episode = answered(spec, reply.replace("{copy}", spec.instance.state.item.copy))
    assert (episode.success, episode.failure) == (False, failure)


def test_an_answer_with_the_separator_in_it_is_still_one() -> None:
    spec = asked("sudoku_transition_grid", "changing")
    truth = spec.instance.state.item.right[0][0]
    episode = answered(spec, f"<answer>{truth.replace(' | ', '|| ')}</answer>")
    assert episode.turns[0].parse == "ok"


def test_the_items_of_a_board_share_its_key_and_its_split() -> None:
    boards = task("sokoban_transition").boards[0]
    base = {board.seed: board.board_key for board in task("sokoban").boards[0]}
    assert {board.board_key for board in boards} <= set(base.values())
    assert all(board.board_key == base[board.seed] for board in boards)


def test_grid_and_coordinates_ask_the_same_items_under_other_hashes() -> None:
    one, other = task("sokoban_transition"), task("sokoban_transition_grid")
    assert [b.id for b in one.boards[0]] == [b.id for b in other.boards[0]]
    assert one.environment.environment_id == other.environment.environment_id
    assert one.hash != other.hash


def test_the_question_is_part_of_what_is_measured() -> None:
    found = task("sokoban_transition")
    assert found.config.probe is not None
    probe = {**found.config.probe, "question": "{state} {action} and then?"}
    changed = make_task(found.name, found.config.model_copy(update={"probe": probe}))
    assert changed.hash != found.hash
    assert changed.environment.environment_id == found.environment.environment_id


@pytest.mark.parametrize("name", ["sokoban_rollout", "frozenlake_slippery_transition"])
def test_the_oracle_is_right_wherever_the_dynamics_allow_it(name: str, tmp_path: Path) -> None:
    (result,) = evaluate("baseline/oracle", name, limit=24, output=tmp_path / "run").tasks
    assert result.probe is not None
    assert result.metrics["accuracy"].value == 1
    assert result.probe.probability == pytest.approx(result.probe.best)


def test_results_are_told_by_stratum_beside_chance_and_copying(tmp_path: Path) -> None:
    name = "sokoban_transition"
    (result,) = evaluate("baseline/random", name, limit=30, output=tmp_path / "run").tasks
    probe = result.probe
    assert probe is not None
    assert set(probe.strata) == {"changing", "blocked", "ending"}
    assert sum(stratum.items for stratum in probe.strata.values()) == probe.items == 30
    assert (probe.strata["blocked"].copied, probe.strata["changing"].copied) == (1, 0)
    assert result.metrics["accuracy"].floor == probe.chance
    assert 0 < (probe.chance or 0) < 0.5


def test_a_run_of_probes_is_resumed_item_by_item(tmp_path: Path) -> None:
    calls = iter(range(100))

    def breaks(request: Request) -> Any:
        return ModelGoneError("gone") if next(calls) == 5 else "<answer>yes</answer>"

    name, output = "sokoban_legality", tmp_path / "run"
    with pytest.raises(ModelGoneError):
        evaluate(Scripted(breaks), name, limit=12, output=output)
    again = Scripted(["<answer>yes</answer>"])
    (result,) = evaluate(again, name, limit=12, output=output, resume=True).tasks
    assert len(again.requests) == 7
    assert (result.owed, result.metrics["accuracy"].value) == (0, 0.5)


def test_scores_follow_from_the_log_and_the_task_alone() -> None:
    spec = asked("sokoban_transition", "changing")
    truth = spec.instance.state.item.right[0][0]
    episode = answered(spec, f"<answer>{truth}</answer>")
    forged = replace(episode, success=False, turns=(replace(episode.turns[0], reward=-7.0),))
    world = spec.task.environment
    assert isinstance(world, ProbeWorld)
    for logged in (episode, forged):
        tally = ProbeTally(world, [spec.instance])
        tally.add(logged)
        assert tally.result().probability == 1


def test_a_log_with_an_answer_that_nobody_can_read_counts_as_wrong() -> None:
    spec = asked("sokoban_transition", "changing")
    episode = answered(spec, "<answer>x</answer>")
    forged = replace(episode, turns=(replace(episode.turns[0], actions=("\x00" * 9,)),))
    world = spec.task.environment
    assert isinstance(world, ProbeWorld)
    for logged in (forged, replace(episode, turns=())):
        tally = ProbeTally(world, [spec.instance])
        tally.add(logged)
        found = tally.result()
        assert (found.accuracy.value, found.cell_accuracy) == (0, 0)


def test_answers_that_are_no_states_have_no_cells() -> None:
    spec = asked("sokoban_legality", "yes")
    world = spec.task.environment
    assert isinstance(world, ProbeWorld)
    tally = ProbeTally(world, [spec.instance])
    tally.add(answered(spec, "<answer>yes</answer>"))
    found = tally.result()
    assert found.accuracy.value == 1
    assert math.isnan(found.cell_accuracy or 0.0)
    assert math.isnan(found.copied or 0.0)


def test_a_plugged_in_world_has_probes_without_a_line_of_its_own() -> None:
    world = ProbeWorld(SLIPPERY, TransitionProbe(), "{state} {action}", "grid")
    made = replace(table_task(), environment=world)
    assert made.boards[0]
    for board in made.boards[0]:
        assert world.scored(board.state.item, board.state.item.right[0][0]).accepted


# -- what is wrong is told -------------------------------------------------------------------------


def test_a_world_that_cannot_enumerate_has_no_probes() -> None:
    with pytest.raises(InputError, match="has no probes"):
        ProbeWorld(GymnasiumText(), Legality(), "{state} {action}", "grid")


BAD: Mapping[str, str] = {
    "probe: {name: transitions}": "unknown probe 'transitions' (did you mean transition?)",
    "probe: {horizon: 3}": "probe 'transition' has no parameter 'horizon'",
    'probe: {question: "{state} {State}"}': "probe.question: unknown placeholder {State}",
    'probe: {question: "{stat}"}': "probe.question: unknown placeholder {stat}",
    "limits: {turns: 2}": "limits: a probe has one turn",
    "kind: episode": "`probe` is a setting of kind: probe",
    "metrics: [belief]": "metrics: belief is for kind: episode",
}


@pytest.mark.parametrize("line", BAD)
def test_a_bad_probe_is_told_with_file_and_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    included = REGISTRY.entries["sokoban_transition"].path
    path.write_text(f"task: mine\ninclude: {included}\n{line}\n")
    with pytest.raises(InputError) as told:
        load_task(path)
    assert str(told.value).startswith(f"{path}:")
    assert BAD[line] in str(told.value)
