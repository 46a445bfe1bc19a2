"""An episode made again from its replies: equal if it is honest, told apart where it is not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted, answer
from submissions import FewBoards
from worlds import table_task

from spa_bench.models.model import Capabilities, Message, Reply, ScoredToken
from spa_bench.runner.episode import EpisodeSpec, play
from spa_bench.runner.record import Episode
from spa_bench.submission.recompute import recompute
from spa_bench.task import Task

PRIVILEGED = Capabilities(privileged=True)


def spec_of(task: Task, repeat: int = 0) -> EpisodeSpec:
    return EpisodeSpec(task, task.boards[0][0], repeat, "0")


REPLIES = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(["a", "b", "c", "", "d"]), max_size=7).map(lambda a: answer(*a)),
)


@given(st.lists(REPLIES, min_size=1, max_size=6), st.integers(0, 3), st.booleans())
def test_every_episode_that_was_played_is_made_again(
    replies: list[str], repeat: int, prefills: bool
) -> None:
    spec = spec_of(table_task(), repeat)
    model = Scripted(
        [Reply(reply, "stop", prefilled=prefills) for reply in replies],
        capabilities=Capabilities(prefill=prefills),
    )
    episode = asyncio.run(play(spec, model))
    made, differences = recompute(spec, episode, spec.task.format.prefill if prefills else "")
    assert differences == []
    assert made == episode


@pytest.mark.parametrize("history", ["full", 1, 2])
def test_prompts_of_a_window_of_history_are_made_again(history: str | int) -> None:
    spec = spec_of(table_task(history=history))
    episode = asyncio.run(play(spec, Scripted([answer("b")])))
    assert len(episode.turns) > 2
    assert recompute(spec, episode, "")[1] == []


# -- replies that were chosen by their likelihood --------------------------------------------------


class Scoring(Scripted):
    """Finds longer texts less likely, and writes nothing."""

    def __init__(self) -> None:
        super().__init__([AssertionError("asked to write")])

    async def score_text(
        self, messages: Sequence[Message], prefill: str, text: str
    ) -> tuple[ScoredToken, ...]:
        return (ScoredToken(text, -len(text) - sum(map(ord, text)) / 1e6),)


@pytest.fixture
def ranked() -> tuple[EpisodeSpec, Episode]:
    spec = spec_of(FewBoards().load("frozenlake_inverse_ranking"))
    return spec, asyncio.run(play(spec, Scoring()))


def test_a_choice_is_made_again(ranked: tuple[EpisodeSpec, Episode]) -> None:
    spec, episode = ranked
    assert episode.turns[0].choice_logprobs is not None
    assert recompute(spec, episode, "") == (episode, [])


def test_what_was_written_where_there_was_to_be_chosen_is_told(
    ranked: tuple[EpisodeSpec, Episode],
) -> None:
    spec = ranked[0]
    written = asyncio.run(play(spec, Scripted([answer("Up")], capabilities=PRIVILEGED)))
    _, (difference,) = recompute(spec, written, "", privileged=True)
    assert difference == "turn 1: reply is none of the choices"


def test_a_choice_without_log_probabilities_is_that_of_a_privileged_player_alone(
    ranked: tuple[EpisodeSpec, Episode],
) -> None:
    spec, episode = ranked
    unsaid = replace(episode, turns=(replace(episode.turns[0], choice_logprobs=None),))
    assert recompute(spec, unsaid, "", privileged=True) == (unsaid, [])
    _, (difference,) = recompute(spec, unsaid, "")
    assert difference.startswith("turn 1: choice_logprobs are missing")


def test_a_choice_that_was_not_the_likeliest_is_told(ranked: tuple[EpisodeSpec, Episode]) -> None:
    spec, episode = ranked
    (turn,) = episode.turns
    assert turn.choice_logprobs is not None
    lied = replace(turn, choice_logprobs=tuple(-p for p in turn.choice_logprobs))
    _, (difference,) = recompute(spec, replace(episode, turns=(lied,)), "")
    assert difference == "turn 1: reply is not the choice with the highest of choice_logprobs"


@pytest.mark.parametrize("shift", [1e9, -1e300])
def test_what_is_no_logarithm_of_a_probability_is_told(
    ranked: tuple[EpisodeSpec, Episode], shift: float
) -> None:
    spec, episode = ranked
    (turn,) = episode.turns
    assert turn.choice_logprobs is not None
    lied = replace(turn, choice_logprobs=tuple(p + shift for p in turn.choice_logprobs))
    _, (difference,) = recompute(spec, replace(episode, turns=(lied,)), "")
    assert difference == "turn 1: choice_logprobs are not logarithms of probabilities"


def test_log_probabilities_of_other_choices_are_told(ranked: tuple[EpisodeSpec, Episode]) -> None:
    spec, episode = ranked
    lied = replace(episode.turns[0], choice_logprobs=(-1.0,))
    _, (difference,) = recompute(spec, replace(episode, turns=(lied,)), "")
    assert difference.startswith("turn 1: choice_logprobs are 1, and there are ")
