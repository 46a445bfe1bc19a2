"""What the trainer measures on held-out boards is what was so there."""

from dataclasses import replace
from pathlib import Path

import pytest

from spa_bench.environments.environment import Facts
from spa_bench.errors import InputError
from spa_bench.registry import Registry
from spa_bench.runner.record import facts_from_log
from spa_bench.runner.replay import replay
from spa_bench.runner.rollout import Rollout
from spa_trainers import checkpoint
from spa_trainers.boards import TRAINING_SEEDS, held_out_task, training_task
from spa_trainers.play import Player, rollout_facts
from spa_trainers.rl_settings import RlSettings

WORLD_MODEL = Path(__file__).parents[2] / "checkpoints" / "nano-world-model-sokoban"


@pytest.fixture(scope="module")
def model():
    return checkpoint.load(str(WORLD_MODEL))


def _player(name, tokenizer):
    task = Registry().resolve([name])[0]
    held_out = held_out_task(task, boards=3)
    settings = RlSettings(tasks=[name], evaluate_boards=3, evaluate_repeats=2)
    return Player(settings, tokenizer, [], [held_out], frozenset())


def test_beliefs_on_held_out_boards_are_compared_with_the_kernels_states(model, monkeypatch):
    player, played = _player("sokoban_wm", model.tokenizer), []
    play = Player._play
    monkeypatch.setattr(Player, "_play", lambda *a: played.extend(found := play(*a)) or found)
    told = player.evaluate(model.model)
    task = player.held_out[0]
    world, observation = task.environment, task.config.observation

    def shown(state) -> Facts:
        return world.read(world.observe(state, observation), observation)

    starts = {board.id: board.state for board in task.boards[0]}
    seen, expected = [], []
    for episode in played:
        for here in replay(task, starts[episode.instance], episode):
            seen.append(facts_from_log(here.turn.facts_observed) == shown(here.before))
            expected.append(facts_from_log(here.turn.facts_predicted) == shown(here.after))
    assert len(played) == 6
    assert sum(seen) > 0
    assert told["sokoban_wm/observation"] == pytest.approx(sum(seen) / len(seen))
    assert told["sokoban_wm/prediction"] == pytest.approx(sum(expected) / len(expected))


def test_a_pool_that_comes_round_within_a_step_is_not_played_twice_alike(model):
    task = training_task(Registry().resolve(["frozenlake"])[0], seeds=TRAINING_SEEDS, boards=3)
    settings = RlSettings(tasks=["frozenlake"], boards=7, repeats=2, pool=3)
    specs = Player(settings, model.tokenizer, [task], [], frozenset()).specs(5)
    assert len(specs) == 14
    assert len({(spec.instance.id, spec.repeat) for spec in specs}) == 14
    assert len({spec.instance.id for spec in specs}) == 3
    assert {spec.salt for spec in specs} == {"rl/0/5"}


def test_a_reply_may_be_held_shorter_than_the_task_says(model):
    task = training_task(Registry().resolve(["frozenlake"])[0], seeds=TRAINING_SEEDS, boards=2)
    settings = RlSettings(tasks=["frozenlake"], boards=2, repeats=2, new_tokens=3)
    player = Player(settings, model.tokenizer, [task], [], frozenset())
    played = player.rollouts(model.model, player.specs(0))
    turns = [turn for t in played for turn in t.episode.turns]
    assert {turn.stop_reason for turn in turns} == {"length"}
    assert {len(turn.tokens.completion_ids) for turn in turns} == {3}
    limit = f"below {task.config.limits.new_tokens} tokens"
    assert limit in model.tokenizer.decode(turns[0].tokens.prompt_ids)


def test_boards_that_are_left_out_give_way_to_others():
    task = Registry().resolve(["sudoku"])[0]
    held_out = held_out_task(task, boards=8)
    left_out = frozenset(board.board_key for board in held_out.boards[0][:5])
    settings = RlSettings(tasks=["sudoku"], evaluate_boards=8)
    boards = Player(settings, None, [], [held_out], left_out)._held_out_boards[0]
    assert len(boards) == 8
    assert not left_out & {board.board_key for board in boards}


def test_none_left_is_said():
    held_out = held_out_task(Registry().resolve(["sudoku"])[0], boards=2)
    left_out = frozenset(board.board_key for board in held_out.boards[0])
    player = Player(RlSettings(tasks=["sudoku"]), None, [], [held_out], left_out)
    with pytest.raises(InputError, match="no held-out board of sudoku is left"):
        player.evaluate(None)


def test_not_a_token_sampled_is_said():
    with pytest.raises(InputError, match="not a token was sampled"):
        rollout_facts([])


def test_a_format_without_beliefs_has_none(model):
    told = _player("frozenlake", model.tokenizer).evaluate(model.model)
    assert set(told) == {"frozenlake/pass@1", "frozenlake/pass@2", "evaluate_seconds"}


def test_episodes_that_broke_are_no_losses(model, monkeypatch):
    player = _player("sokoban_wm", model.tokenizer)

    def _played(self, live, specs):
        """Each board is solved once, and its other episode breaks."""
        broke = [Rollout(spec, "").end("broke") for spec in specs if spec.repeat]
        ended = [Rollout(spec, "").end() for spec in specs if not spec.repeat]
        return [*broke, *(replace(episode, success=True, failure=None) for episode in ended)]

    monkeypatch.setattr(Player, "_play", _played)
    told = player.evaluate(model.model)
    assert told["sokoban_wm/pass@1"] == 1
    assert "sokoban_wm/pass@2" not in told
