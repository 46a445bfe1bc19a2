"""A log is replayed as far as it can have happened, and no further."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from scripted import Scripted, answer
from worlds import LINE, drawn

from spa_bench.runner.episode import play
from spa_bench.runner.record import Episode
from spa_bench.runner.replay import ReplayError, replay

SPEC = drawn(LINE)


@pytest.fixture(scope="module")
def episode() -> Episode:
    return asyncio.run(play(SPEC, Scripted([answer("Right", "Right")])))


def test_the_states_are_those_of_the_episode(episode: Episode) -> None:
    turns = list(replay(SPEC.task, SPEC.instance.state, episode))
    grids = [SPEC.task.environment.render(turn.before) for turn in turns]
    assert grids == [turn.state for turn in episode.turns]
    assert SPEC.task.environment.is_success(turns[-1].after)


@pytest.mark.parametrize(
    "change",
    [
        {"outcomes": (0, -1)},
        {"outcomes": (0, -9)},
        {"outcomes": (0, 1)},
        {"outcomes": (0,)},
        {"executed": 3, "outcomes": (0, 0, 0)},
        {"actions": ("Right", "Fly")},
    ],
    ids=str,
)
def test_what_cannot_have_happened_is_an_error(episode: Episode, change: dict[str, object]) -> None:
    first = replace(episode.turns[0], **change)  # type: ignore[arg-type]
    with pytest.raises(ReplayError, match="turn 1"):
        list(replay(SPEC.task, SPEC.instance.state, replace(episode, turns=(first,))))
