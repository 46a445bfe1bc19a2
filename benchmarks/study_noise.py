"""A control of docs/study.md: what updates that mean nothing leave of a world model.

    python -m benchmarks.study_noise FOLDER [--steps 20] [--seed 0]
    spa-bench foresight --model ./FOLDER --tasks frozenlake_wm

writes what so many steps of reinforcement by `nano-spa-frozenlake` would leave of its start if all
gradients were drawn at random: the same optimizer and rates, and as many updates. Muon's steps have
one size, whatever the gradients, so the weights move as they do in a training, but nowhere in
particular.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from spa_trainers.checkpoint import load, save
from spa_trainers.muon import MuonAndAdamW
from spa_trainers.ppo_settings import PpoSettings
from spa_trainers.recipe import find_recipe, load_recipe

START = Path(__file__).parents[1] / "checkpoints" / "nano-world-model-frozenlake"


def move(model: Any, settings: PpoSettings, steps: int, chance: torch.Generator) -> None:
    """Updates a model by random gradients, as often as `steps` of a training by `settings` do.

    Rates do not fall: this is for steps before they would.
    """
    assert settings.muon_lr is not None
    optimizer = MuonAndAdamW.of(
        model,
        learning_rate=settings.actor_lr,
        muon_lr=settings.muon_lr,
        betas=settings.betas,
        weight_decay=0.0,
    )
    for _ in range((steps - settings.critic_warmup) * settings.minibatches * settings.epochs):
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=chance)
        optimizer.step()


def main() -> None:
    """Writes the checkpoint."""
    parser = argparse.ArgumentParser(description="Writes a world model moved by noise.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    settings, start = load_recipe(find_recipe("nano-spa-frozenlake")).rl, load(str(START))
    assert isinstance(settings, PpoSettings)
    assert start.card is not None
    move(start.model, settings, chosen.steps, torch.Generator().manual_seed(chosen.seed))
    about = {"name": chosen.folder.name, "description": f"noise of {chosen.steps} steps"}
    card = start.card.model_copy(update=about)
    save(chosen.folder, start.model, start.tokenizer, card, start.boards)


if __name__ == "__main__":
    main()
