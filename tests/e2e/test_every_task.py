"""Every built-in task can be played: what a baseline writes is read back, beliefs included."""

from __future__ import annotations

import asyncio

import pytest
from worlds import changed

from spa_bench.models.baselines import RandomBaseline
from spa_bench.registry import Registry
from spa_bench.runner.episode import EpisodeSpec, play
from spa_bench.runner.record import Episode, episode_adapter, facts_to_log, to_line
from spa_bench.task import Task

NAMES = Registry().task_names()


def first(name: str) -> tuple[Task, Episode]:
    """Plays the first board of a task at random."""
    task = Registry().load(name)
    seed = next(task.config.instances.seed_list())
    task = changed(task, instances={"split": "all", "seeds": f"{seed}-{seed + 9}", "count": 1})
    spec = EpisodeSpec(task, task.boards[0][0], 0, "0")
    return task, asyncio.run(play(spec, RandomBaseline("baseline/random")))


@pytest.mark.parametrize("name", NAMES)
def test_a_baselines_reply_is_read_as_it_was_meant(name: str) -> None:
    _, episode = first(name)
    assert {turn.parse for turn in episode.turns} == {"ok"}
    assert all(turn.actions for turn in episode.turns)


@pytest.mark.parametrize("name", NAMES)
def test_an_episode_is_read_back_from_its_line(name: str) -> None:
    _, episode = first(name)
    assert episode_adapter().validate_json(to_line(episode)) == episode


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("_wm")])
def test_a_true_observation_is_read_back_as_the_truth(name: str) -> None:
    task, episode = first(name)
    truth = task.environment.facts(task.boards[0][0].state)
    assert episode.turns[0].facts_observed == facts_to_log(truth)


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("_wm")])
def test_a_prediction_is_read_back_as_facts(name: str) -> None:
    _, episode = first(name)
    assert all(turn.facts_predicted for turn in episode.turns)
