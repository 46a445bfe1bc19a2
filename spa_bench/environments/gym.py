"""The kernels as Gymnasium environments: `gymnasium.make("spa_bench/Sokoban-v0")`.

Importing this module registers them, as Gymnasium expects; nothing else of spa-bench imports it.
Inside a Gymnasium environment luck comes from Gymnasium's own `np_random`, not from the keyed
streams of the harness.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete, Text

from spa_bench.environments.environment import AnyEnvironment, NoBoardError
from spa_bench.environments.frozenlake import FrozenLake
from spa_bench.environments.sokoban import Sokoban
from spa_bench.environments.sudoku import Sudoku

KINDS: dict[str, type[AnyEnvironment]] = {
    "Sokoban-v0": Sokoban,
    "FrozenLake-v0": FrozenLake,
    "Sudoku-v0": Sudoku,
}

_BOARDS = 2**31


class GymEnvironment(gymnasium.Env[str, int]):
    """A kernel with one episode in it.

    Observations are the text a model would see; action `n` is the n-th of the kernel's actions.
    `reset(options={"board": 123})` chooses a board, as does `board=123` when it is made; otherwise
    each reset takes another one.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"]}  # pyright: ignore

    def __init__(
        self,
        kind: type[AnyEnvironment],
        observation: str = "grid",
        board: int | None = None,
        render_mode: str | None = None,
        **parameters: Any,
    ) -> None:
        """Makes the kernel.

        Args:
            observation: `grid`, `coordinates` or `grid+coordinates`.
            parameters: of the kernel, such as `rows=8`.
        """
        self.kernel = kind(**parameters)
        self.render_mode = render_mode
        self._observation = observation
        self._board = board
        _, example = self._first_board(board or 0)
        self._state: Any = example
        self._actions = tuple(self.kernel.actions(example))
        self.action_space = Discrete(len(self._actions))  # pyright: ignore
        printable = "".join(map(chr, range(32, 127)))
        shown = self.kernel.prompt_fields().get("legend", "") + self._observe()
        self.observation_space = Text(
            max_length=20 * len(self._observe()) + 1000,
            charset="".join(sorted({*printable, *shown, "\n"})),
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        board = (options or {}).get("board", self._board)
        if board is None:
            board = int(self.np_random.integers(_BOARDS))
        seed, self._state = self._first_board(board)
        return self._observe(), {"board": seed}

    def step(self, action: int) -> tuple[str, float, bool, bool, dict[str, Any]]:
        outcomes = self.kernel.outcomes(self._state, self._actions[int(action)])
        index = 0
        if len(outcomes) > 1:
            weights = np.array([float(outcome.probability) for outcome in outcomes])
            index = int(self.np_random.choice(len(outcomes), p=weights / weights.sum()))
        outcome = outcomes[index]
        self._state = outcome.state
        info = {"success": self.kernel.is_success(self._state), "outcome": index}
        return self._observe(), float(outcome.reward), outcome.terminal, False, info

    def render(self) -> str | None:  # pyright: ignore
        return self._observe() if self.render_mode == "ansi" else None

    def _observe(self) -> str:
        return self.kernel.observe(self._state, self._observation)

    def _first_board(self, board: int) -> tuple[int, Any]:
        """Returns the first seed from this one on that has a board, and the board's state."""
        for seed in range(board, board + 1000):  # a published generator may lack some seeds
            try:
                return seed, self.kernel.initial_state(seed)
            except NoBoardError:
                continue
        raise NoBoardError(f"no board for seeds {board} to {board + 999}")


for _name, _kind in KINDS.items():
    cast(Any, gymnasium).register(
        id=f"spa_bench/{_name}", entry_point=GymEnvironment, kwargs={"kind": _kind}
    )
