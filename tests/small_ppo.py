"""A PPO so small that tests can run it in one process and in several: `small_ppo.py FOLDER STEPS`.

Rewards depend on what was written and on nothing else, so that there is something to learn.
"""

import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch

from spa_bench.registry import Registry
from spa_trainers import trajectories
from spa_trainers.actor_critic import ActorCritic
from spa_trainers.boards import TRAINING_SEEDS, held_out_task, training_task
from spa_trainers.learner import Learner
from spa_trainers.nano.model import NanoConfig, make_model
from spa_trainers.nano.tokenizer import make_tokenizer
from spa_trainers.ppo import Ppo
from spa_trainers.ppo_settings import PpoSettings
from spa_trainers.processes import Processes

SETTINGS = PpoSettings(
    tasks=["frozenlake"],
    boards=3,
    repeats=3,  # nine episodes: two processes have no equal shares
    keep=1.0,
    pool=20,
    leave_out=[],
    actor_lr=1e-3,
    critic_lr=1e-3,
    microbatch=2,
    kl=0.1,
    evaluate_every=2,
    evaluate_boards=2,
    evaluate_repeats=2,
    save_every=1,
)


def train(folder, steps, processes):
    torch.manual_seed(0)
    task = Registry().resolve(["frozenlake"])[0]
    limits = task.config.limits.model_copy(update={"new_tokens": 20, "turns": 3})
    task = replace(task, config=task.config.model_copy(update={"limits": limits}))
    training = training_task(task, seeds=TRAINING_SEEDS, boards=20)
    tokenizer = make_tokenizer([training], 20, 1024)
    config = NanoConfig(
        tasks=["frozenlake"], hidden=16, layers=2, heads=2, feed_forward=32, context=1024
    )
    settings = SETTINGS.model_copy(update={"steps": steps})
    model = ActorCritic(make_model(config, tokenizer), make_model(config, tokenizer))
    reference = ActorCritic(make_model(config, tokenizer), None)
    learner = Learner.of(model, settings, reference, processes)
    held_out = held_out_task(task, boards=2)
    ppo = Ppo(
        settings, learner, tokenizer, [training], [held_out], frozenset(), folder, lambda _: None
    )
    with patch.object(trajectories, "turn_rewards", _rewards):  # other tests have the real ones
        return ppo, ppo.run()


def _rewards(task, start, episode, settings):
    return tuple(len(turn.reply) % 7 / 7 for turn in episode.turns)


if __name__ == "__main__":
    among = Processes.started()
    train(Path(sys.argv[1]), int(sys.argv[2]), among)
    among.end()  # torch may abort a process that leaves without it
