"""Our Sudokus and their rules are those of the published code (recorded by record_published.py)."""

import json
from pathlib import Path
from typing import Any

import pytest

from spa_bench.environments import sudoku_ragen
from spa_bench.environments.sudoku import Sudoku

DATA = Path(__file__).parent / "data"
BOARDS = json.loads((DATA / "sudoku_ragen.json").read_text(encoding="utf-8"))
STEPS = json.loads((DATA / "sudoku_steps_ragen.json").read_text(encoding="utf-8"))
SETTINGS = {
    "4-easy": (2, 10, 200),
    "4-medium": (2, 9, 50),
    "4-hard": (2, 6, 200),
    "9-easy": (3, 36, 40),
    "9-hard": (3, 24, 10),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_boards_equal_the_published_ones(setting: str) -> None:
    box, clues, count = SETTINGS[setting]
    recorded = BOARDS[setting]
    assert len(recorded) == count
    ours = {seed: sudoku_ragen.generate(int(seed), box, clues) for seed in recorded}
    assert ours == recorded


@pytest.mark.parametrize("setting", STEPS)
def test_recorded_play_agrees_in_changes_rewards_and_end(setting: str) -> None:
    box, clues, _ = SETTINGS[setting]
    environment = Sudoku(size=4 if box == 2 else 9, clues=clues)
    compared = 0
    for seed, episode in STEPS[setting].items():
        recorded: dict[str, Any] = episode
        state = environment.initial_state(int(seed))
        for text, change, reward in zip(
            recorded["actions"].split(), recorded["changes"], recorded["rewards"], strict=True
        ):
            action = environment.parse_action(text)
            assert action is not None
            (outcome,) = environment.outcomes(state, action)
            assert (outcome.state != state) == (change == "1")
            assert outcome.reward == reward
            assert outcome.terminal == (reward == 1)
            state = outcome.state
            compared += 1
        assert state.cells == recorded["end"]
    assert compared >= 1500
