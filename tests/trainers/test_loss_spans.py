"""Which tokens of a reply carry loss in reinforcement learning, decoded and read."""

import asyncio
from dataclasses import replace

import hf_tiny
import pytest
from scripted import Scripted

from spa_bench.formats.format import Content
from spa_bench.models.hf_template import Template
from spa_bench.registry import Registry
from spa_bench.runner.episode import EpisodeSpec, play
from spa_bench.runner.record import TurnTokens
from spa_trainers.boards import TRAINING_SEEDS, training_task
from spa_trainers.loss_spans import Answers, everything
from spa_trainers.nano.tokenizer import make_tokenizer
from spa_trainers.rewards import RewardSettings
from spa_trainers.trajectories import collate, replies, trajectory

RAMBLING = "<think>on the left there is a wall, and on the right"


@pytest.fixture(scope="module")
def task():
    return training_task(Registry().resolve(["frozenlake_wm"])[0], seeds=TRAINING_SEEDS, boards=8)


@pytest.fixture(scope="module", params=["nano", "bytes", "plain"])
def tokenizer(request, task):
    if request.param == "nano":
        return make_tokenizer([task], 20, 2048)
    return hf_tiny.tokenizer(**({} if request.param == "bytes" else {"template": None}))


@pytest.fixture(scope="module")
def played(task, tokenizer):
    """An episode of three turns: two in the format, and one that rambles between them."""
    template, board = Template(tokenizer), task.boards[0][0]
    grid = task.environment.render(board.state)
    content = Content("Up", observation=grid, prediction=grid, reasoning="Up <answer>")
    said = task.format.compose(content)
    model = Scripted([said, RAMBLING, said], identity={})
    episode = asyncio.run(play(EpisodeSpec(task, board, 0, "s", new_tokens=400), model))
    assert [turn.parse for turn in episode.turns[:3]] == ["ok", "format", "ok"]
    ids, turns = (), []
    for turn in episode.turns[:3]:
        prompt = (*ids, *tokenizer("user <think>", add_special_tokens=False).input_ids)
        reply = turn.reply.removeprefix("<think>")
        completion = (*tokenizer(reply, add_special_tokens=False).input_ids, template.end_id)
        ids = prompt + completion
        tokens = TurnTokens(prompt, completion, tuple(-0.5 for _ in completion))
        turns.append(replace(turn, tokens=tokens))
    episode = replace(episode, turns=tuple(turns))
    return trajectory(task, board.state, episode, RewardSettings())


def _texts(tokenizer, t, spans):
    return [tokenizer.decode(t.ids[start:end], skip_special_tokens=True) for start, end in spans(t)]


def test_a_reply_carries_loss_whole(played, tokenizer):
    assert replies(played) == played.turns
    whole = [turn.reply.removeprefix("<think>") for turn in played.episode.turns]
    assert _texts(tokenizer, played, replies) == whole


def test_of_a_reply_the_answer_alone_and_of_one_without_an_answer_all(played, task, tokenizer):
    answers = Answers({task.hash: task}, Template(tokenizer).text)
    first, second, third = _texts(tokenizer, played, answers)
    assert first == third == "Up</answer>"
    assert second == RAMBLING.removeprefix("<think>")
    # the token that ends a reply is learnt, too
    assert [end for _, end in answers(played)] == [end for _, end in played.turns]


def test_a_batch_keeps_what_is_not_learnt_from(played, task, tokenizer):
    answers = Answers({task.hash: task}, Template(tokenizer).text)
    whole, part = collate([played]), collate([played], learnt=answers)
    assert whole.learnt.equal(whole.mask)
    for name in ("ids", "places", "targets", "mask", "turn", "rewards", "sampled_logprobs"):
        assert getattr(whole, name).equal(getattr(part, name)), name
    learnt = [i for start, end in answers(played) for i in range(start, end)]
    assert 0 < len(learnt) < int(part.mask.sum())
    assert (part.places[part.learnt] + 1).tolist() == learnt


def test_with_all_the_first_prompt_alone_is_left_out(played):
    spans = everything(played)
    assert spans[0] == played.turns[0]
    assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]
    assert spans[-1][1] == len(played.ids)


def test_a_turn_without_a_token_has_no_answer_to_learn(played, task, tokenizer):
    turns = (*played.turns[:2], (played.turns[1][1],) * 2)
    answers = Answers({task.hash: task}, Template(tokenizer).text)
    assert answers(replace(played, turns=turns))[2] == turns[2]
