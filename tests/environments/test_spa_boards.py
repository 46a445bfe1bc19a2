"""Boards of `generator: spa` are a published promise: these must never change.

A seed means a board to everyone who ever reported a result on it. If one of these tests fails, do
not mend the test: what makes other boards of a seed is another generator and gets another name.
"""

import hashlib
import os
import subprocess
import sys
from typing import Any

import pytest

from spa_bench.environments.environment import AnyEnvironment
from spa_bench.environments.frozenlake import FrozenLake
from spa_bench.environments.sokoban import Sokoban
from spa_bench.environments.sudoku import Sudoku

KINDS: dict[str, tuple[type[AnyEnvironment], dict[str, Any]]] = {
    "sokoban": (Sokoban, {}),
    "sokoban_pull": (Sokoban, {"boxes_move": "pulled", "min_solution": 2, "max_solution": 10}),
    "sokoban_2": (Sokoban, {"boxes": 2, "min_solution": 12}),
    "sokoban_4": (Sokoban, {"rows": 10, "cols": 10, "boxes": 4}),
    "frozenlake": (FrozenLake, {}),
    "frozenlake_slippery": (FrozenLake, {"ice": "slippery", "min_solution": 4}),
    "frozenlake_sliding": (FrozenLake, {"size": 6, "ice": "sliding", "min_solution": 3}),
    "sudoku": (Sudoku, {}),
    "sudoku_regions": (Sudoku, {"regions": "shifted"}),
    "sudoku_9x9": (Sudoku, {"size": 9, "clues": 30}),
}

BOARDS = {
    ("sokoban", 0): "###### #____# #_XO_# ###P## ###### ######",
    ("sokoban", 1): "###### ###### #_XO_# #____# #__P_# ######",
    ("sokoban_pull", 0): "###### #__X## #P_O## #___## #___## ######",
    ("sokoban_pull", 1): "###### ###### #___P# #O__## #X__## ######",
    ("sokoban_2", 0): "###### ##P_## ##OX_# #OX__# ###__# ######",
    ("sokoban_4", 0): (
        "########## #O______## #_XO__O_## #____XP__# #X____X_##"
        " #O_____### ##___##### ########## ########## ##########"
    ),
    ("frozenlake", 0): "P_O_ ___O ____ G___",
    ("frozenlake", 1): "O___ O_G_ O_O_ __P_",
    ("frozenlake_sliding", 0): "__O___ O_____ O_OO_G _____O ____P_ ___O__",
    ("frozenlake_sliding", 1): "__OG__ OO_O__ ___O__ ______ ____O_ _P____",
    ("sudoku", 0): "| 2 . 3 . | 1 3 4 2 | 3 . 1 . | 4 1 . .",
    ("sudoku", 1): "| . 2 . 1 | 1 3 2 . | 2 4 1 3 | . . 4 .",
    ("sudoku_regions", 0): "| . 1 4 . | 4 2 3 . | 1 . 2 . | . 4 1 3",
    ("sudoku_regions", 1): "| 2 . 1 3 | 4 2 . 1 | . . . 4 | 3 1 4 .",
    ("sudoku_9x9", 0): (
        "| 2 . 9 . . . . 4 . | . . . 9 . 7 . . 8 | 1 . . 4 . 6 . . 3 | 7 . . 2 9 . . 6 ."
        " | . . . . . . . . . | . 6 . . 1 . . 3 . | . 9 6 . . . 3 8 . | 5 1 2 . . 9 . . ."
        " | 8 . 7 5 6 . . . 2"
    ),
}

SHA256_OF_SEEDS_0_TO_19 = "93af1506bd43c0fe91d452341cffa1f9c9dc0b93da33eddfc9becdb87fff307b"


def environment(kind: str) -> AnyEnvironment:
    made, settings = KINDS[kind]
    return made(generator="spa", **settings)


def drawn(kind: str, seed: int) -> str:
    world = environment(kind)
    return world.render(world.initial_state(seed)).replace("\n", " ")


def digest() -> str:
    """Returns a hash of twenty boards of every kind, 9x9 Sudokus and large Sokobans included."""
    boards = [drawn(kind, seed) for kind in KINDS for seed in range(20)]
    return hashlib.sha256("\n".join(boards).encode()).hexdigest()


@pytest.mark.parametrize(("kind", "seed"), BOARDS)
def test_a_seed_means_this_board_for_ever(kind: str, seed: int) -> None:
    assert drawn(kind, seed) == BOARDS[kind, seed]


def test_twenty_boards_of_every_kind_are_what_they_were() -> None:
    assert digest() == SHA256_OF_SEEDS_0_TO_19


@pytest.mark.parametrize("hash_seed", ["1", "4294967295"])
def test_boards_do_not_hang_on_the_process(hash_seed: str) -> None:
    code = "import test_spa_boards; print(test_spa_boards.digest())"
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.path.dirname(__file__)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == SHA256_OF_SEEDS_0_TO_19


@pytest.mark.parametrize(
    ("world", "identity"),
    [
        (Sokoban(), "a3cec37be66e53ed"),
        (FrozenLake(), "a760d45f66caa91d"),
        (FrozenLake(ice="slippery"), "d30c7988b1a69f24"),
        (Sudoku(), "d19c77dd5ac75eec"),
    ],
)
def test_new_parameters_leave_the_identity_of_the_papers_worlds_alone(
    world: AnyEnvironment, identity: str
) -> None:
    assert world.environment_id == identity


@pytest.mark.parametrize(
    ("world", "key"),
    [
        (Sokoban(), "d4:d15917e79ccc77cf61a74364"),
        (FrozenLake(), "d4:0c71237078011be922878d3b"),
        (Sudoku(), "sudoku-symmetries:7b60846f48d3efd432866004"),
    ],
)
def test_keys_of_boards_are_the_published_ones(world: AnyEnvironment, key: str) -> None:
    # they say which boards are for training and which for testing, in every manifest
    assert world.board_key(world.initial_state(123)) == key
