"""What a turn is rewarded with in training."""

import asyncio

import pytest
from scripted import Scripted, answer

from spa_bench.environments.bounds import Solver
from spa_bench.environments.limits import Limits
from spa_bench.models.model import Reply
from spa_bench.registry import Registry
from spa_bench.runner.episode import EpisodeSpec, play
from spa_trainers.rewards import RewardSettings, turn_rewards

SETTINGS = RewardSettings(beliefs=0.5)


@pytest.fixture(scope="module")
def task():
    return Registry().resolve(["sokoban_wm"])[0]


def _rewards(task, reply, settings=SETTINGS):
    board = task.boards[0][0]
    episode = asyncio.run(play(EpisodeSpec(task, board, 0, "s"), Scripted([reply])))
    return turn_rewards(task, board.state, episode, settings)[0], episode.turns[0].reward


def _reply(observation, prediction, answer="Down"):
    return (
        f"<think><observation>\n{observation}\n</observation>"
        f"<prediction>\n{prediction}\n</prediction></think><answer>{answer}</answer>"
    )


def _states(task):
    environment, board = task.environment, task.boards[0][0]
    after = environment.outcomes(board.state, environment.parse_action("Down"))[0].state
    return [environment.observe(state, "grid+coordinates") for state in (board.state, after)]


def test_right_beliefs_gain_all_there_is(task):
    before, after = _states(task)
    gained, world = _rewards(task, _reply(before, after))
    assert gained == pytest.approx(world + 0.5 * 3)


def test_a_wrong_prediction_gains_less(task):
    before, after = _states(task)
    assert before != after
    gained, world = _rewards(task, _reply(before, before))
    assert world + 0.5 * 2 <= gained < world + 0.5 * 3
    unreadable, _ = _rewards(task, _reply(before, "I do not know"))
    assert unreadable == pytest.approx(world + 0.5 * 2)


def test_beliefs_count_only_in_a_turn_that_follows_the_format(task):
    before, after = _states(task)
    gained, world = _rewards(task, _reply(before, after, "Down || Jump"))
    assert gained == pytest.approx(world - 0.1)
    missing, world = _rewards(task, "<think></think><answer>Up</answer>")
    assert missing == pytest.approx(world)


def test_a_solved_board_pays_what_the_settings_say_in_the_turn_that_solves_it():
    task = Registry().resolve(["frozenlake"])[0]
    environment, board, paid = task.environment, task.boards[0][0], RewardSettings(success=9)
    solver = Solver(environment, board.state, Limits(turns=1, actions=10, actions_per_turn=10))
    way = [environment.format_action(a) for a in solver.best_turn(board.state, 1, 10)]
    solved = asyncio.run(
        play(EpisodeSpec(task, board, 0, "s"), Scripted([answer(way[0]), answer(*way[1:])]))
    )
    assert solved.success
    assert turn_rewards(task, board.state, solved, paid) == (0.0, 10.0)
    lost = asyncio.run(play(EpisodeSpec(task, board, 0, "s"), Scripted([answer(way[0])])))
    assert not lost.success
    assert set(turn_rewards(task, board.state, lost, paid)) == {0.0}


def test_by_default_beliefs_are_not_rewarded(task):
    gained, world = _rewards(task, _reply(*_states(task)), RewardSettings())
    assert gained == world
    nothing, world = _rewards(task, "?", RewardSettings())
    assert (nothing, world) == (-0.1, 0.0)


def test_a_reply_that_does_not_stop_costs_what_the_settings_say_though_its_answer_counts(task):
    board = task.boards[0][0]
    reply = Reply(text="<think></think><answer>Down</answer> || Down", stop_reason="length")
    episode = asyncio.run(play(EpisodeSpec(task, board, 0, "s"), Scripted([reply])))
    turn = episode.turns[0]
    assert (turn.parse, turn.stop_reason, turn.executed) == ("ok", "length", 1)

    def gained(**settings):
        return turn_rewards(task, board.state, episode, RewardSettings(**settings))[0]

    assert gained() == turn.reward
    assert gained(cut_off_penalty=-0.3) == pytest.approx(turn.reward - 0.3)
