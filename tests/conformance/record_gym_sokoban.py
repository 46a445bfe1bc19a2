"""Records random play of gym-sokoban, for the conformance test of our rules.

gym-sokoban needs the retired `gym`, so it is no dependency of ours, not even for development. Run
from the root of the repository:

    python -m venv /tmp/gym-sokoban
    /tmp/gym-sokoban/bin/pip install gym-sokoban==0.0.6 gym==0.26.2 "numpy<2" \
        imageio tqdm requests setuptools
    /tmp/gym-sokoban/bin/python tests/conformance/record_gym_sokoban.py

The boards are those of `data/sokoban_ragen.json`. On a reset gym-sokoban counts no box as on its
target, even where one is, so that its first reward would be one too high there; here the count is
set to what the board shows.
"""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from gym_sokoban.envs.sokoban_env import SokobanEnv

DATA = Path(__file__).parent / "data"
TRANSITIONS = 10_000
EPISODE = 40
SYMBOLS = "#_O√XPS"
MOVES = "UDLR"  # gym-sokoban's actions 1 to 4 push up, down, left, right


def load(env: SokobanEnv, board: list[str]) -> None:
    """Puts the environment into the state of a drawn board."""
    room = np.array([[SYMBOLS.index(symbol) for symbol in row] for row in board])
    env.room_fixed = np.select([room == 0, np.isin(room, (2, 3, 6))], [0, 2], 1)
    env.room_state = np.where(room == 6, 5, room)
    env.player_position = np.argwhere(env.room_state == 5)[0]
    env.num_env_steps = 0
    env.reward_last = 0
    env.boxes_on_target = int((room == 3).sum())


def draw(env: SokobanEnv) -> str:
    """Returns the state as rows of symbols, joined."""
    on_target = (env.room_state == 5) & (env.room_fixed == 2)
    return "".join(SYMBOLS[cell] for cell in np.where(on_target, 6, env.room_state).ravel())


def play(setting: str, seed: str, board: list[str]) -> dict[str, Any]:
    """Plays random actions until the board is solved or the episode is long enough."""
    env = SokobanEnv(dim_room=(len(board), len(board[0])), max_steps=EPISODE + 1, reset=False)
    env.num_boxes = sum(row.count("X") + row.count("√") for row in board)
    load(env, board)
    rng = random.Random(f"{setting}/{seed}")
    actions, states, rewards = "", [draw(env)], list[float]()
    solved = False
    while not solved and len(actions) < EPISODE:
        move = rng.randrange(4)
        _, reward, solved, _ = env.step(move + 1, "tiny_rgb_array")
        actions += MOVES[move]
        states.append(draw(env))
        rewards.append(round(float(reward), 6))
    return {
        "board": f"{setting}/{seed}",
        "actions": actions,
        "states": states,
        "rewards": rewards,
        "solved": bool(solved),
    }


def main() -> None:
    recorded = json.loads((DATA / "sokoban_ragen.json").read_text(encoding="utf-8"))
    boards = [
        (setting, seed, board)
        for setting in recorded
        for seed, board in recorded[setting].items()
        if board is not None
    ]
    random.Random(0).shuffle(boards)
    episodes: list[dict[str, Any]] = []
    for board in boards:
        episodes.append(play(*board))
        if sum(len(episode["actions"]) for episode in episodes) >= TRANSITIONS:
            break
    path = DATA / "sokoban_gym.json.gz"
    text = "[\n" + ",\n".join(json.dumps(e, ensure_ascii=False) for e in episodes) + "\n]\n"
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    count = sum(len(episode["actions"]) for episode in episodes)
    print(f"{path}: {count} transitions in {len(episodes)} episodes, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
