"""Transitions a second of gym-sokoban, each with its smallest picture (`tiny_rgb_array`).

Runs under the Python of `benchmarks.peers gym-sokoban`, so it imports gym-sokoban and not
spa-bench:

    PYTHON benchmarks/gym_sokoban_walk.py BOARDS TRANSITIONS REPETITIONS LONGEST

BOARDS is a JSON file with a list of boards, each a list of rows of `#_O√XPS`. A random walk pushes
and walks on them, a new board after a solution or LONGEST steps. Loading a board is not timed.
Prints the rates as a JSON list.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from gym_sokoban.envs.sokoban_env import SokobanEnv

SYMBOLS = "#_O√XPS"


def load(env: SokobanEnv, board: list[str]) -> None:
    """Puts the environment into the state of a drawn board."""
    room = np.array([[SYMBOLS.index(symbol) for symbol in row] for row in board])
    env.room_fixed = np.select([room == 0, np.isin(room, (2, 3, 6))], [0, 2], 1)
    env.room_state = np.where(room == 6, 5, room)
    env.player_position = np.argwhere(env.room_state == 5)[0]
    env.num_env_steps = 0
    env.reward_last = 0
    env.boxes_on_target = int((room == 3).sum())


def rate(env: SokobanEnv, boards: list[list[str]], transitions: int, longest: int) -> float:
    """Returns transitions a second of one walk."""
    rng = random.Random(0)
    actions = rng.choices((1, 2, 3, 4), k=transitions)
    spent, done = 0.0, 0
    while done < transitions:
        load(env, rng.choice(boards))
        started = time.perf_counter()
        for action in actions[done : done + longest]:
            _, _, over, _ = env.step(action, observation_mode="tiny_rgb_array")
            done += 1
            if over:
                break
        spent += time.perf_counter() - started
    return transitions / spent


def main() -> None:
    """Measures and prints."""
    boards: list[Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    transitions, repetitions, longest = map(int, sys.argv[2:])
    size = (len(boards[0]), len(boards[0][0]))
    env = SokobanEnv(dim_room=size, num_boxes=1, max_steps=10**9, reset=False)
    rate(env, boards, 1000, longest)
    print(json.dumps([rate(env, boards, transitions, longest) for _ in range(repetitions)]))


if __name__ == "__main__":
    main()
