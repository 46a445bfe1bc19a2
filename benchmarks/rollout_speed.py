"""How fast a training's rollouts are, beside transformers' own `generate` on the same prompts.

    python -m benchmarks.rollout_speed CHECKPOINT [--task sokoban_grid] [--boards 32] [--repeats 8]
        [--rounds 3]

The episodes of a step of reinforcement learning are played as in training: the weights in float32,
tokens and log-probabilities kept, all episodes at once. Then `generate` gets the very same prompts,
token for token, the first turns of all episodes in one batch, then the second turns, and so on,
with the same tokens ending a reply. It draws tokens of its own, keeps no log-probabilities and
plays no world. Medians of `--rounds`, taken in turns; tokens are those written.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.generate import generate
from benchmarks.watch import Watch

Ids = tuple[int, ...]


def main() -> None:
    """Measures and prints a table."""
    import torch

    from spa_bench.models.hf_template import Template, end_ids
    from spa_bench.registry import Registry
    from spa_trainers import checkpoint
    from spa_trainers.boards import training_task
    from spa_trainers.play import Player
    from spa_trainers.ppo_settings import PpoSettings

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--task", default="sokoban_grid")
    parser.add_argument("--boards", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    episodes = chosen.boards * chosen.repeats
    settings = PpoSettings(
        tasks=[chosen.task], boards=chosen.boards, repeats=chosen.repeats, batch_size=episodes
    )
    start = checkpoint.load(chosen.checkpoint)
    (task,) = Registry().resolve([chosen.task])
    task = training_task(task, seeds=settings.seeds, boards=chosen.boards)
    player = Player(settings, start.tokenizer, [task], [task], frozenset())
    ends = sorted(end_ids(start.model, Template(start.tokenizer)))
    played: list[tuple[float, float]] = []
    generated: list[float] = []
    for number in range(chosen.rounds + 1):
        specs = player.specs(0)
        with Watch(start.model) as watched:
            found = [one for one in player.rollouts(start.model, specs) if one is not None]
        took = watched.result()
        written = sum(len(one.logprobs) for one in found)
        began = time.perf_counter()
        said = _generate(start.model, _turns(found), ends, task.config.limits.new_tokens)
        seconds = time.perf_counter() - began
        if number:  # the first round warms up
            played.append((written / took.seconds, took.forward / took.seconds))
            generated.append(said / seconds)
    ours = statistics.median(rate for rate, _ in played)
    theirs = statistics.median(generated)
    device = torch.cuda.get_device_name() if start.model.device.type == "cuda" else "CPU"
    print(f"{start.name}, {chosen.task}, {episodes} episodes, {start.model.dtype}, {device}")
    print("| | tokens/s | of generate | under forward passes |")
    print("|---|---|---|---|")
    share = statistics.median(busy for _, busy in played)
    print(f"| rollout | {ours:.0f} | {ours / theirs:.2f} | {share:.0%} |")
    print(f"| generate | {theirs:.0f} | 1.00 | |")


def _turns(played: Sequence[Any]) -> list[list[Ids]]:
    """Returns the prompts of the first turns, of the second turns, and so on."""
    found: list[list[Ids]] = []
    for one in played:
        for number, turn in enumerate(one.episode.turns):
            if turn.tokens is None:
                continue
            if number == len(found):
                found.append([])
            found[number].append(turn.tokens.prompt_ids)
    return found


def _generate(model: Any, turns: Sequence[Sequence[Ids]], ends: list[int], most: int) -> int:
    """Returns how many tokens were written."""
    import torch
    from transformers import GenerationConfig

    config = GenerationConfig(
        do_sample=True, top_k=0, max_new_tokens=most, pad_token_id=ends[0], eos_token_id=ends
    )
    written = 0
    model.eval()
    for prompts in turns:
        with torch.inference_mode():
            said = generate(model, prompts, config)
        for row in said.tolist():
            written += next((n for n, token in enumerate(row, start=1) if token in ends), len(row))
    return written


if __name__ == "__main__":
    main()
