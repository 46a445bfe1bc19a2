"""Our Sokoban boards are those of the published generator (recorded by record_published.py)."""

import json
from pathlib import Path

import pytest

from spa_bench.environments import sokoban_ragen
from spa_bench.environments.environment import NoBoardError
from spa_bench.environments.sokoban import Sokoban

RECORDED = json.loads(
    (Path(__file__).parent / "data" / "sokoban_ragen.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(
    ("setting", "size", "boxes", "depth", "count"),
    [
        ("6x6-1-300", 6, 1, 300, 200),
        ("6x6-2-30", 6, 2, 30, 128),
        ("10x10-2-30", 10, 2, 30, 50),
    ],
)
def test_boards_equal_the_published_ones(
    setting: str, size: int, boxes: int, depth: int, count: int
) -> None:
    recorded = RECORDED[setting]
    assert len(recorded) == count
    ours = {seed: sokoban_ragen.generate(int(seed), size, size, boxes, depth) for seed in recorded}
    assert ours == {seed: board and tuple(board) for seed, board in recorded.items()}


def test_where_the_published_generator_raises_there_is_no_board() -> None:
    environment = Sokoban(boxes=2)
    missing = [int(seed) for seed, board in RECORDED["6x6-2-30"].items() if board is None]
    assert len(missing) == 8
    for seed in missing:
        with pytest.raises(NoBoardError):
            environment.initial_state(seed)


def test_the_environment_plays_the_published_boards() -> None:
    environment = Sokoban()
    for seed, board in RECORDED["6x6-1-300"].items():
        assert environment.render(environment.initial_state(int(seed))) == "\n".join(board)
