"""Our frozen lakes are those of the published generator (recorded by record_published.py)."""

import json
from pathlib import Path

import pytest

from spa_bench.environments import frozenlake_ragen
from spa_bench.environments.frozenlake import FrozenLake

RECORDED = json.loads(
    (Path(__file__).parent / "data" / "frozenlake_ragen.json").read_text(encoding="utf-8")
)
OUR_SYMBOLS = str.maketrans("SFHG", "P_OG")


@pytest.mark.parametrize(
    ("setting", "size", "p_frozen", "count"),
    [("4-0.8", 4, 0.8, 200), ("6-0.8", 6, 0.8, 200), ("8-0.6", 8, 0.6, 20)],
)
def test_boards_equal_the_published_ones(
    setting: str, size: int, p_frozen: float, count: int
) -> None:
    recorded = RECORDED[setting]
    assert len(recorded) == count
    for seed, board in recorded.items():
        published = [row.translate(OUR_SYMBOLS) for row in board]
        assert frozenlake_ragen.generate(int(seed), size, p_frozen) == published


@pytest.mark.parametrize("ice", ["firm", "slippery", "sliding"])
def test_the_environment_plays_the_published_boards_on_any_ice(ice: str) -> None:
    environment = FrozenLake(ice=ice)  # pyright: ignore[reportArgumentType]
    for seed, board in RECORDED["4-0.8"].items():
        published = "\n".join(board).translate(OUR_SYMBOLS)
        assert environment.render(environment.initial_state(int(seed))) == published
