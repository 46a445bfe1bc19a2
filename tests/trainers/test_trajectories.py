"""Trajectories as tensors, worked out by hand; no model plays here."""

import asyncio
from dataclasses import replace

import pytest
import torch
from scripted import Scripted, answer
from worlds import table_task

from spa_bench.runner.episode import EpisodeSpec, play
from spa_bench.runner.record import TurnTokens
from spa_trainers.loss_spans import Answers, everything
from spa_trainers.rewards import RewardSettings
from spa_trainers.trajectories import Trajectory, collate, replies, trajectory

PLAIN = RewardSettings()


@pytest.fixture(scope="module")
def task():
    return table_task()


@pytest.fixture(scope="module")
def episode(task):
    """An episode of at least two turns, whose tokens are not in the log."""
    spec = EpisodeSpec(task, task.boards[0][0], 0, "s")
    played = asyncio.run(play(spec, Scripted([answer("no action"), answer("b")])))
    assert len(played.turns) >= 2
    return played


def _with_tokens(episode, *tokens):
    turns = tuple(replace(turn, tokens=t) for turn, t in zip(episode.turns, tokens, strict=False))
    return replace(episode, turns=turns)


def _read(task, episode):
    return trajectory(task, task.boards[0][0].state, episode, PLAIN)


def test_what_was_sent_and_sampled_is_read_turn_by_turn(task, episode):
    first = TurnTokens((1, 2), (3, 4), (-0.5, None))
    second = TurnTokens((1, 2, 3, 4, 5), (6,), (-1.5,))
    found = _read(task, _with_tokens(episode, first, second))
    assert found.ids == (1, 2, 3, 4, 5, 6)
    assert found.turns == ((2, 4), (5, 6))
    assert found.logprobs == (-0.5, float("-inf"), -1.5)
    assert found.group == f"{episode.task}:{episode.instance}"
    assert found.reward == sum(found.rewards)
    assert found.rewards[0] == pytest.approx(episode.turns[0].reward + PLAIN.format_penalty)


def test_a_prompt_that_left_no_room_for_a_token_is_not_read(task, episode):
    first = TurnTokens((1, 2), (3, 4), (-0.5, -0.5))
    found = _read(task, _with_tokens(episode, first, TurnTokens((1, 2, 3, 4, 5, 6, 7), (), ())))
    assert found.ids == (1, 2, 3, 4)
    assert found.turns == ((2, 4), (4, 4))
    assert len(found.rewards) == 2


def test_a_prompt_that_does_not_extend_what_was_before_is_refused(task, episode):
    first = TurnTokens((1, 2), (3, 4), (-0.5, -0.5))
    for prompt in ((1, 2, 3, 9, 5), (1, 2, 3)):
        second = TurnTokens(prompt, (6,), (-1.5,))
        with pytest.raises(ValueError, match="does not extend the earlier turns"):
            _read(task, _with_tokens(episode, first, second))


@pytest.mark.parametrize("tokens", [None, TurnTokens((1,), (2,), None)])
def test_an_episode_without_tokens_cannot_be_trained_on(task, episode, tokens):
    with pytest.raises(ValueError, match="played without tokens"):
        _read(task, _with_tokens(episode, tokens, tokens))


def _made(ids, turns, rewards, episode):
    sampled = sum(end - start for start, end in turns)
    logprobs = tuple(-0.25 * (i + 1) for i in range(sampled))
    return Trajectory(tuple(ids), turns, logprobs, rewards, "board", episode)


@pytest.fixture
def two(episode):
    """Two turns of two tokens and one, beside a single turn of one."""
    long = _made(range(10, 17), ((2, 4), (6, 7)), (1.0, 2.0), episode)
    return [long, _made((30, 31, 32), ((2, 3),), (4.0,), episode)]


def test_sampled_tokens_stand_together_and_rewards_on_the_last_of_a_turn(two):
    batch = collate(two)
    assert len(batch) == 2
    assert batch.ids.tolist() == [[10, 11, 12, 13, 14, 15, 16], [30, 31, 32, 0, 0, 0, 0]]
    assert batch.attention.sum(1).tolist() == [7, 3]
    assert batch.places.tolist() == [[1, 2, 5], [1, 0, 0]]
    assert batch.targets.tolist() == [[12, 13, 16], [32, 0, 0]]
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.turn.tolist() == [[0, 0, 1], [0, 0, 0]]
    assert batch.rewards.tolist() == [[0, 1, 2], [4, 0, 0]]
    assert batch.sampled.equal(batch.mask)
    assert batch.sampled_logprobs.tolist() == [[-0.25, -0.5, -0.75], [-0.25, 0, 0]]


def test_with_the_context_a_turn_reaches_from_the_last_reply_to_its_own(two):
    batch = collate(two, spans=everything)
    assert batch.targets.tolist() == [[12, 13, 14, 15, 16], [32, 0, 0, 0, 0]]
    assert batch.sampled.tolist()[0] == [True, True, False, False, True]
    assert batch.mask.sum(1).tolist() == [5, 1]
    assert batch.turn.tolist()[0] == [0, 0, 1, 1, 1]
    assert batch.rewards.tolist()[0] == [0, 1, 0, 0, 2]
    assert batch.sampled_logprobs.tolist()[0] == [-0.25, -0.5, 0, 0, -0.75]


def test_a_turn_without_a_token_gives_its_reward_to_the_one_before(episode):
    batch = collate([_made(range(5), ((2, 4), (5, 5)), (1.0, 8.0), episode)])
    assert batch.rewards.tolist() == [[0, 9]]


@pytest.mark.parametrize("spans", [replies, everything])
def test_an_episode_without_turns_is_a_row_without_loss(task, episode, spans):
    nothing = _made((1, 2), (), (), replace(episode, turns=()))
    answers = Answers({task.hash: task}, lambda prompt, ids: "")
    batch = collate([nothing], spans=spans, learnt=answers)
    assert batch.learnt.tolist() == [[False]]
    assert batch.mask.tolist() == [[False]]
    assert batch.rewards.tolist() == [[0]]


def test_rows_that_are_taken_out_leave_their_padding_behind(two):
    short = collate(two).rows(torch.tensor([1]))
    alone = collate(two[1:])
    for name in alone.__dataclass_fields__:
        assert getattr(short, name).equal(getattr(alone, name)), name
    assert collate(two).rows(torch.tensor([1, 0])).ids.shape == (2, 7)
