"""A policy that is trained while vLLM plays it: the weights that play are the ones that learnt."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from spa_bench.errors import ModelGoneError
from tests.models.vllm.live import NEEDS_VLLM, TOLERANCE

pytestmark = NEEDS_VLLM


def _gap(live: Any, played: Sequence[Any]) -> float:
    """Returns how far sampled log-probabilities are from those of the weights as they are."""
    import torch

    from spa_trainers.actor_critic import ActorCritic
    from spa_trainers.trajectories import collate

    batch = collate(played, live.device)
    with torch.no_grad():
        found = ActorCritic(live, None)(batch).logprobs
    return float((found - batch.sampled_logprobs).abs()[batch.sampled].max())


@pytest.mark.parametrize("adapted", [False, True])
def test_what_plays_is_what_was_learnt_last(
    folder: Path, engine_args: dict[str, str], adapted: bool
) -> None:
    import torch

    from spa_bench.registry import Registry
    from spa_trainers import checkpoint
    from spa_trainers.boards import TRAINING_SEEDS, training_task
    from spa_trainers.play import Player
    from spa_trainers.rl_settings import RlSettings
    from spa_trainers.sft import Lora, lora_layers

    start = checkpoint.load(str(folder))
    live = start.model
    if adapted:
        live = lora_layers(live, Lora(rank=4, dropout=0.0))
    settings = RlSettings(
        tasks=["sokoban"],
        boards=4,
        repeats=2,
        new_tokens=64,
        batch_size=8,
        engine="vllm",
        engine_args=engine_args,
    )
    task = training_task(Registry().resolve(["sokoban"])[0], seeds=TRAINING_SEEDS, boards=4)
    player = Player(settings, start.tokenizer, [task], [], frozenset())
    learning = [weight for weight in live.parameters() if weight.requires_grad]
    try:
        first = player.rollouts(live, player.specs(0))
        again = player.rollouts(live, player.specs(0))
        assert [t.ids for t in first] == [t.ids for t in again]
        assert _gap(live, first) < TOLERANCE
        torch.manual_seed(0)
        with torch.no_grad():
            for weight in learning:
                weight.add_(torch.randn_like(weight), alpha=0.02)
        assert _gap(live, first) > 10 * TOLERANCE  # the weights are others
        then = player.rollouts(live, player.specs(0))
        assert _gap(live, then) < TOLERANCE
        assert [t.ids for t in first] != [t.ids for t in then]
        for process in multiprocessing.active_children():
            process.kill()
        with torch.no_grad():
            learning[0].mul_(1.1)
        with pytest.raises(ModelGoneError) as caught:
            player.rollouts(live, player.specs(0))
        assert "\n" not in str(caught.value)
    finally:
        player.close()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("algorithm", ["ppo", "grpo"])
def test_a_training_is_played_by_vllm(
    folder: Path, engine_args: dict[str, str], tmp_path: Path, algorithm: str
) -> None:
    from spa_bench.registry import Registry
    from spa_trainers.pipeline import Pipeline
    from spa_trainers.recipe import load_recipe

    path = tmp_path / "recipe.yaml"
    rl = {
        "algorithm": algorithm,
        "tasks": ["sokoban"],
        "steps": 2,
        "boards": 2,
        "repeats": 4,
        "new_tokens": 64,
        "batch_size": 8,
        "evaluate_every": 1,
        "evaluate_boards": 2,
        "evaluate_repeats": 2,
        "engine": "vllm",
        "engine_args": engine_args,
    }
    rates = {"learning_rate": 1e-3}  # fused AdamW changes weights without bumping their versions
    if algorithm == "ppo":
        rates = {"actor_lr": 1e-3, "critic": "shared", "keep": 1.0}
    recipe = {"recipe": "played", "method": "vanilla", "model": str(folder), "rl": rl | rates}
    path.write_text(json.dumps(recipe))  # JSON is YAML
    made = Pipeline(load_recipe(path), tmp_path / "run", Registry(), _progress(), print).run()
    assert made is not None
    assert (made / "model.safetensors").is_file()
    lines = [json.loads(line) for line in (tmp_path / "run/rl/log.jsonl").open()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert all("sokoban/pass@1" in line for line in lines)
    assert max(line["logprob_gap"] for line in lines[1:]) < TOLERANCE
    moved = _weights(made), _weights(folder)
    assert max(float((moved[0][name] - moved[1][name]).abs().max()) for name in moved[0]) > 1e-3
    assert not list((tmp_path / "run/rl").glob("policy-*"))
    assert not multiprocessing.active_children()


def _weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {
        name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()
    }


def _progress() -> Any:
    return lambda *_: None
