"""Gymnasium environments as tasks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import pytest

from spa_bench.environments.environment import NoBoardError
from spa_bench.environments.gymnasium_text import GymnasiumText
from spa_bench.errors import InputError, ModelGoneError
from spa_bench.evaluation import evaluate
from spa_bench.results.table import format_results
from spa_bench.runner.episode import EpisodeSpec, play
from spa_bench.runner.log import BadLines, RunFolder
from spa_bench.task import Task
from spa_bench.task_file import builtin_tasks_folder, load_task
from spa_bench.validate import validate_all
from tests.scripted import Scripted

NAMES = ("Left", "Down", "Right", "Up")


@pytest.fixture
def lake(tmp_path: Path) -> Task:
    return _task(tmp_path, "settings: {is_slippery: false}, action_names: [Left, Down, Right, Up]")


def _task(folder: Path, more: str, name: str = "FrozenLake-v1") -> Task:
    path = folder / "lake.yaml"
    path.write_text(
        f"""
task: gymnasium_lake
include: {builtin_tasks_folder()}/_episode.yaml
environment: {{name: gymnasium, id: {name}, render_mode: ansi, {more}}}
observation: grid
limits: {{turns: 5, actions_per_turn: 5, actions: 20, new_tokens: 200}}
instances: {{split: all, seeds: 0-3}}
prompt: {{instruction: "Reach G. Actions: {{action_names}}."}}
"""
    )
    return load_task(path)


def _play(task: Task, answer: str, repeat: int = 0):
    model = Scripted([f"<think></think><answer>{answer}</answer>"] * 5)
    return asyncio.run(play(EpisodeSpec(task, task.boards[0][0], repeat, "0"), model))


@pytest.mark.parametrize("name", ["this:Foo-v0", "GymV26Environment-v0"])
def test_a_task_cannot_have_code_imported(name: str, tmp_path: Path) -> None:
    sys.modules.pop("this", None)
    with pytest.raises(InputError, match=r"lake.yaml:4: environment: .*would import code"):
        _task(tmp_path, "action_names: []", f'"{name}"')
    assert "this" not in sys.modules


def test_a_task_of_it_validates(lake: Task, tmp_path: Path) -> None:
    report = validate_all([str(tmp_path / "lake.yaml")])
    assert (report.boards, report.problems) == (4, [])


def test_a_walk_to_the_goal_succeeds(lake: Task) -> None:
    model = Scripted(
        [
            "<think></think><answer>Down || Down || Right || Right || Down</answer>",
            "<think></think><answer>Right</answer>",
        ]
    )
    episode = asyncio.run(play(EpisodeSpec(lake, lake.boards[0][0], 0, "0"), model))
    assert (episode.success, [turn.reward for turn in episode.turns]) == (True, [0.0, 1.0])


def test_an_end_without_success_is_a_loss(lake: Task) -> None:
    assert _play(lake, "Down || Right").failure == "lost"


def test_luck_is_keyed_by_repeat_and_replays(tmp_path: Path) -> None:
    slippery = _task(tmp_path, "action_names: [Left, Down, Right, Up]")

    def shown(repeat: int) -> list[str]:
        return [turn.state for turn in _play(slippery, "Right", repeat).turns]

    assert shown(0) == shown(0)
    assert len({tuple(shown(repeat)) for repeat in range(8)}) > 1


def test_what_is_shown_has_no_terminal_codes(lake: Task) -> None:
    assert lake.environment.render(lake.boards[0][0].state) == "SFFF\nFHFH\nFFFH\nHFFG"


def test_tables_print_a_dash_where_there_are_no_bounds(lake: Task, tmp_path: Path) -> None:
    results = evaluate("baseline/random", [lake], output=tmp_path / "run", repeats=1)
    score = results.tasks[0].metrics["pass@1"]
    assert "- / -" in format_results([results], "table")
    assert score.model_dump(mode="json")["ceiling"] is None


def test_the_oracle_says_that_it_cannot_play(lake: Task, tmp_path: Path) -> None:
    with pytest.raises(ModelGoneError, match="cannot be searched"):
        evaluate("baseline/oracle", [lake], output=tmp_path / "run", repeats=1)


def test_actions_without_names_are_numbers() -> None:
    world = GymnasiumText(id="FrozenLake-v1", render_mode="ansi")
    assert world.parse_action(" 3 ") == 3
    assert world.parse_action("4") is None
    assert world.format_action(2) == "2"


def test_an_environment_that_gymnasium_does_not_know_is_told_with_file_and_line(
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match=r"lake.yaml:4: environment: .*gymnasium cannot make"):
        _task(tmp_path, "action_names: [Left, Down, Right, Up]", name="NoSuchLake-v9")


def test_as_many_names_as_actions(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 4 actions, not 2"):
        _task(tmp_path, "action_names: [Left, Right]")


class Valley(gymnasium.Env[str, Any]):
    """A walk whose actions are -1, 0 and 1; seed 13 brings it down."""

    made = closed = 0

    def __init__(self, render_mode: str | None = None) -> None:
        type(self).made += 1
        self.action_space = gymnasium.spaces.Discrete(3, start=-1)
        self.observation_space = gymnasium.spaces.Text(9)
        self.at = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, dict[str, Any]]:
        if seed == 13:
            raise RuntimeError("no valley")
        return f"at {self.at}", {}

    def step(self, action: int) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.at += action
        return f"at {self.at}", 0.0, False, False, {}

    def close(self) -> None:
        type(self).closed += 1


@pytest.fixture
def valley(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Valley, "made", 0)
    monkeypatch.setattr(Valley, "closed", 0)
    gymnasium.register("Valley-v0", entry_point=Valley)
    yield "Valley-v0"
    del gymnasium.registry["Valley-v0"]


@pytest.mark.parametrize("names", [("West", "Stay", "East"), ()])
def test_actions_that_begin_below_0_are_read_written_and_done(
    valley: str, names: tuple[str, ...]
) -> None:
    world = GymnasiumText(id=valley, action_names=names)
    start = world.initial_state(0)
    written = names or ("-1", "0", "1")
    assert list(world.actions(start)) == [-1, 0, 1]
    assert [world.parse_action(text) for text in written] == [-1, 0, 1]
    assert [world.format_action(action) for action in (-1, 0, 1)] == list(written)
    assert [world.parse_action(text) for text in ("2", "-2", "North")] == [None] * 3
    shown = [world.sample(start, action, 0.5).state.shown for action in world.actions(start)]
    assert shown == ["at -1", "at 0", "at 1"]


class Spelling(gymnasium.Env[str, str]):
    """A word to spell: any text of up to nine letters is an action."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"]}

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.action_space = gymnasium.spaces.Text(9)
        self.observation_space = gymnasium.spaces.Text(9)
        self.shown = "spell: ice"

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, dict[str, Any]]:
        return self.shown, {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.shown = action
        right = action == "ice"
        return action, float(right), right, False, {}

    def render(self) -> Any:
        return self.shown


@pytest.fixture
def spelling() -> Iterator[str]:
    gymnasium.register("Spelling-v0", entry_point=Spelling)
    yield "Spelling-v0"
    del gymnasium.registry["Spelling-v0"]


def test_a_task_whose_actions_are_text_validates_and_is_played(
    spelling: str, tmp_path: Path
) -> None:
    task = _task(tmp_path, "action_names: []", spelling)
    assert validate_all([str(tmp_path / "lake.yaml")]).problems == []
    assert _play(task, "eis || ice").success


def test_every_environment_that_was_made_is_closed(valley: str) -> None:
    world = GymnasiumText(id=valley)
    state = world.initial_state(0)
    for action in world.actions(state):
        state = world.sample(state, world.parse_action(world.format_action(action)), 0.5).state
    with pytest.raises(NoBoardError, match="no valley"):
        world.initial_state(13)
    assert Valley.made == Valley.closed > 0


def test_actions_that_cannot_be_written_are_refused(
    valley: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Valley.__init__

    def with_switches(self: Valley, render_mode: str | None = None) -> None:
        made(self, render_mode)
        self.action_space = gymnasium.spaces.MultiBinary(3)

    monkeypatch.setattr(Valley, "__init__", with_switches)
    with pytest.raises(ValueError, match=r"MultiBinary\(3\); only Discrete and Text"):
        GymnasiumText(id=valley)


def test_a_reward_that_is_no_number_breaks_the_episode_and_can_be_read(
    lake: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = GymnasiumText.sample

    def unsure(self: GymnasiumText, *given: Any) -> Any:
        return step(self, *given)._replace(reward=float("nan"))

    monkeypatch.setattr(GymnasiumText, "sample", unsure)
    spec = EpisodeSpec(lake, lake.boards[0][0], 0, "salt")
    model = Scripted(["<think>so</think><answer>Right</answer>"])
    episode = asyncio.run(play(spec, model))
    assert episode.status == "infrastructure"
    assert episode.error is not None
    assert "gave nan as a reward" in episode.error
    writer, bad = RunFolder(tmp_path / "run").writer(), BadLines()
    writer.write(episode)
    writer.close()
    assert list(RunFolder(tmp_path / "run").episodes(bad)) == [episode]
    assert bad.count == 0
