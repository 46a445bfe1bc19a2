"""Records what the published code does, for the conformance tests of ours.

Run from the root of the repository, with a checkout of the published code:

    git clone https://github.com/RAGEN-AI/RAGEN /tmp/ragen
    python tests/conformance/record_published.py sokoban --ragen /tmp/ragen
    python tests/conformance/record_published.py frozenlake --ragen /tmp/ragen
    git clone --branch dev-1116 https://github.com/mll-lab-nu/RAGEN /tmp/ragen-sudoku
    python tests/conformance/record_published.py sudoku --ragen /tmp/ragen-sudoku
    python tests/conformance/record_published.py sudoku_steps --ragen /tmp/ragen-sudoku

Frozen lakes need gymnasium. What else the published modules import and their generators do not
use (matplotlib, their own base class) is replaced by empty modules.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import sys
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parent / "data"


def published_module(root: Path, path: str, *, stubs: dict[str, dict[str, Any]]) -> Any:
    """Imports one file of the checkout, with stand-ins for the modules named in `stubs`."""
    for name, members in stubs.items():
        module = types.ModuleType(name)
        module.__path__ = []
        for member, value in members.items():
            setattr(module, member, value)
        sys.modules[name] = module
    spec = importlib.util.spec_from_file_location(f"published_{Path(path).stem}", root / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def sokoban(root: Path) -> dict[str, dict[str, list[str] | None]]:
    """Boards by `rows x cols - boxes - search depth` and seed; None where the original raises."""
    drawing = {name: {} for name in ("matplotlib", "matplotlib.pyplot", "matplotlib.animation")}
    module = published_module(root, "ragen/env/sokoban/utils.py", stubs=drawing)
    sys.setrecursionlimit(5000)

    def board(seed: int, size: int, boxes: int, depth: int) -> list[str] | None:
        random.seed(seed)
        np.random.seed(seed)
        try:
            fixed, state, *_ = module.generate_room(
                dim=(size, size),
                num_steps=int(1.7 * (size + size)),
                num_boxes=boxes,
                search_depth=depth,
            )
        except (RuntimeError, RuntimeWarning):
            return None
        room = np.where((state == 5) & (fixed == 2), 6, state)
        return ["".join("#_O√XPS"[cell] for cell in row) for row in room.tolist()]

    def boards(seeds: Iterable[int], *setting: int) -> dict[str, list[str] | None]:
        return {str(seed): board(seed, *setting) for seed in seeds}

    return {
        "6x6-1-300": boards([*range(72), *range(123, 251)], 6, 1, 300),
        "6x6-2-30": boards(range(123, 251), 6, 2, 30),
        "10x10-2-300": boards(range(123, 251), 10, 2, 300),
    }


def frozenlake(root: Path) -> dict[str, dict[str, list[str]]]:
    """Lakes by `size - p(frozen)` and seed, in the original's letters."""
    module = published_module(root, "ragen/env/frozen_lake/utils.py", stubs={})

    def boards(seeds: Iterable[int], size: int, p: float) -> dict[str, list[str]]:
        return {str(seed): module.generate_random_map(size, p, seed) for seed in seeds}

    seeds = [*range(72), *range(123, 251)]
    return {
        "4-0.8": boards(seeds, 4, 0.8),
        "6-0.8": boards(seeds, 6, 0.8),
        "8-0.6": boards(range(20), 8, 0.6),
    }


def sudoku(root: Path) -> dict[str, dict[str, str]]:
    """Puzzles by `size - difficulty` and seed, row by row, `.` for a blank."""
    make = _sudoku_maker(root)

    def boards(seeds: Iterable[int], size: int, difficulty: str) -> dict[str, str]:
        env = make(size, difficulty)
        found: dict[str, str] = {}
        for seed in seeds:
            env.reset(seed=seed)
            found[str(seed)] = _cells(env)
        return found

    seeds = [*range(72), *range(123, 251)]
    return {
        "4-easy": boards(seeds, 4, "easy"),
        "4-medium": boards(range(50), 4, "medium"),
        "4-hard": boards(seeds, 4, "hard"),
        "9-easy": boards(range(123, 163), 9, "easy"),
        "9-hard": boards(range(123, 133), 9, "hard"),
    }


def sudoku_steps(root: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Episodes of random play, every other action right.

    Of each action: whether it changed the board, and the reward.
    """
    make = _sudoku_maker(root)

    def episode(env: Any, seed: int, steps: int) -> dict[str, Any]:
        env.reset(seed=seed)
        rng = random.Random(f"steps/{seed}")
        size = env.board_size
        played: dict[str, Any] = {"actions": [], "changes": "", "rewards": []}
        for step in range(steps):
            row, col, value = (rng.randrange(size) for _ in range(3))
            if step % 2:
                row, col = rng.choice(np.argwhere(env.initial_board == 0).tolist())
                value = int(env.solution[row, col]) - 1
            action = f"{row + 1},{col + 1},{value + 1}"
            before = _cells(env)
            _, reward, done, _ = env.step(action)
            played["actions"].append(action)
            played["changes"] += "01"[_cells(env) != before]
            played["rewards"].append(reward)
            if done:
                break
        played["actions"] = " ".join(played["actions"])
        played["end"] = _cells(env)
        return played

    return {
        "4-easy": {str(s): episode(make(4, "easy"), s, 40) for s in range(60)},
        "4-hard": {str(s): episode(make(4, "hard"), s, 60) for s in range(40)},
        "9-easy": {str(s): episode(make(9, "easy"), s, 300) for s in range(6)},
    }


def _sudoku_maker(root: Path) -> Callable[[int, str], Any]:
    configuration = published_module(root, "ragen/env/sudoku/config.py", stubs=_RAGEN_BASE)
    own_names = {"ragen.env.sudoku.config": vars(configuration)}
    module = published_module(root, "ragen/env/sudoku/env.py", stubs=own_names)

    def make(size: int, difficulty: str) -> Any:
        return module.SudokuEnv(
            configuration.SudokuEnvConfig(
                board_size=size, difficulty=difficulty, max_steps=1_000_000
            )
        )

    return make


def _cells(env: Any) -> str:
    return "".join(map(str, env.board.ravel().tolist())).replace("0", ".")


_RAGEN_BASE: dict[str, dict[str, Any]] = {
    "ragen": {},
    "ragen.env": {},
    "ragen.env.sudoku": {},
    "ragen.env.base": {
        "BaseEnvConfig": object,
        "BaseLanguageBasedEnv": type("BaseLanguageBasedEnv", (), {}),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    recorders = {
        "sokoban": sokoban,
        "frozenlake": frozenlake,
        "sudoku": sudoku,
        "sudoku_steps": sudoku_steps,
    }
    parser.add_argument("game", choices=recorders)
    parser.add_argument("--ragen", type=Path, required=True, help="root of the published checkout")
    arguments = parser.parse_args()
    recorded = recorders[arguments.game](arguments.ragen)
    path = DATA / f"{arguments.game}_ragen.json"
    lines = (
        f"{json.dumps(setting)}: {{\n"
        + ",\n".join(
            f"{json.dumps(k)}: {json.dumps(b, ensure_ascii=False)}" for k, b in boards.items()
        )
        + "\n}"
        for setting, boards in recorded.items()
    )
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{path}: {', '.join(f'{len(b)} {s}' for s, b in recorded.items())}")


if __name__ == "__main__":
    main()
