"""A training's own measure of held-out boards is one that `spa-bench evaluate` repeats."""

import json
from pathlib import Path

import pytest

from spa_bench.cli import main
from spa_bench.registry import Registry
from spa_bench.run import Silent
from spa_bench.runner.log import RunFolder
from spa_trainers.pipeline import Pipeline
from spa_trainers.play import Player
from spa_trainers.recipe import Recipe

START = Path(__file__).parents[2] / "checkpoints" / "nano-base-frozenlake"

RL = {"tasks": ["frozenlake"], "leave_out": [], "seed": 7, "steps": 1, "boards": 2, "repeats": 2}
RL |= {"pool": 20, "keep": 1.0, "critic": "shared", "actor_lr": 1e-3}
RL |= {"evaluate_boards": 4, "evaluate_repeats": 2}
RL |= {"batch_size": 1}  # no reply then depends on which others are written beside it

HELD_OUT = """\
task: frozenlake
include: frozenlake
instances: {split: validation, seeds: 1000-9999, count: 4}
metrics: [pass@1, pass@2]
"""

EVALUATE = """\
evaluate --model ./policy --tasks held_out.yaml --repeats 2 --seed rl/7/held-out --batch-size 1
--output run
"""


def _replies(episodes):
    return {(e.instance, e.repeat): [turn.reply for turn in e.turns] for e in episodes}


def test_evaluate_on_the_checkpoint_repeats_the_last_measure_of_its_training(tmp_path, monkeypatch):
    """In float32, with weights saved as they are and replies written one by one: all is equal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(  # there is something to learn, whether or not boards are solved
        "spa_trainers.trajectories.turn_rewards",
        lambda task, start, episode, settings: tuple(len(t.reply) % 7 / 7 for t in episode.turns),
    )
    play, played = Player._play, []
    monkeypatch.setattr(Player, "_play", lambda *a: played.append(play(*a)) or played[-1])
    parts = {"recipe": "policy", "method": "vanilla", "model": str(START), "rl": RL}
    recipe = Recipe.model_validate(parts)
    Pipeline(recipe, tmp_path, Registry(), Silent(), lambda _: None).run()
    before, _, after = map(_replies, played)
    assert after != before, "the weights have changed"

    Path("held_out.yaml").write_text(HELD_OUT, encoding="utf-8")
    with pytest.raises(SystemExit) as exited:
        main(EVALUATE.split())
    assert exited.value.code == 0
    assert _replies(RunFolder(Path("run")).episodes()) == after
    results = json.loads(Path("run/results.json").read_text(encoding="utf-8"))
    scores = results["tasks"][0]["metrics"]
    told = json.loads(Path("rl/log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert told["step"] == 1
    for k in (1, 2):
        assert told[f"frozenlake/pass@{k}"] == round(scores[f"pass@{k}"]["value"], 6)
