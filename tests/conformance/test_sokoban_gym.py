"""Our Sokoban rules are those of gym-sokoban (recorded by record_gym_sokoban.py)."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from spa_bench.environments.sokoban import MOVES, Sokoban

DATA = Path(__file__).parent / "data"
EPISODES: list[dict[str, Any]] = json.loads(
    gzip.decompress((DATA / "sokoban_gym.json.gz").read_bytes())
)
BOARDS = json.loads((DATA / "sokoban_ragen.json").read_text(encoding="utf-8"))


def test_ten_thousand_transitions_agree_in_state_reward_and_end() -> None:
    compared = 0
    for episode in EPISODES:
        setting, seed = episode["board"].split("/")
        board = BOARDS[setting][seed]
        environment = Sokoban(rows=len(board), cols=len(board[0]))
        state = environment.from_grid("\n".join(board))
        assert environment.render(state).replace("\n", "") == episode["states"][0]
        terminal = False
        for action, drawn, reward in zip(
            episode["actions"], episode["states"][1:], episode["rewards"], strict=True
        ):
            assert not terminal
            move = next(move for move in MOVES if move.startswith(action))
            (outcome,) = environment.outcomes(state, move)
            state, terminal = outcome.state, outcome.terminal
            assert environment.render(state).replace("\n", "") == drawn
            assert outcome.reward == pytest.approx(reward, abs=1e-9)
            compared += 1
        assert terminal == environment.is_success(state) == episode["solved"]
    assert compared >= 10_000


def test_the_recording_holds_every_kind_of_reward() -> None:
    rewards = {reward for episode in EPISODES for reward in episode["rewards"]}
    assert rewards == {-0.1, 0.9, -1.1, 10.9}
