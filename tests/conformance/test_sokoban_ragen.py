"""Our Sokoban boards are those of the published generator (recorded by record_published.py)."""

import json
from pathlib import Path

import pytest

from spa_bench.environments import sokoban_ragen
from spa_bench.environments.environment import NoBoardError
from spa_bench.environments.sokoban import Sokoban
from spa_bench.task_file import builtin_tasks_folder, load_task

RECORDED = json.loads(
    (Path(__file__).parent / "data" / "sokoban_ragen.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(
    ("setting", "size", "boxes", "depth", "count"),
    [
        ("6x6-1-300", 6, 1, 300, 200),
        ("6x6-2-30", 6, 2, 30, 128),
        ("10x10-2-300", 10, 2, 300, 128),
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


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("sokoban", "6x6-1-300"),
        ("sokoban_2boxes", "6x6-2-30"),
        ("sokoban_10x10", "10x10-2-300"),
    ],
)
def test_the_papers_tasks_play_the_published_boards(name: str, setting: str) -> None:
    task = load_task(builtin_tasks_folder() / "sokoban" / f"{name}.yaml")
    boards, skipped = task.boards
    ours = {board.seed: task.environment.render(board.state).split("\n") for board in boards}
    ours |= dict.fromkeys((one.seed for one in skipped), None)
    assert ours == {seed: RECORDED[setting][str(seed)] for seed in range(123, 251)}


def test_the_published_depth_of_the_other_symbols_changes_one_board() -> None:
    seeds = range(123, 251)
    depths = [
        [sokoban_ragen.generate(seed, 6, 6, 1, depth) for seed in seeds] for depth in (30, 300)
    ]
    assert [seed for seed, one, other in zip(seeds, *depths, strict=True) if one != other] == [171]
