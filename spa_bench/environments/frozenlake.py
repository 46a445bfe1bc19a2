"""FrozenLake as a kernel: walk over the ice to the goal without falling into a hole.

Rules and rewards are those of gymnasium's FrozenLake-v1: 1 for reaching the goal, else 0; goal and
holes end the episode; who walks against the edge stays where he is. Unfamiliar rules are
parameters: sliding ice, actions that lead elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import ClassVar, Literal, NamedTuple, TypeAlias

from spa_bench.canonical import sha256_hex
from spa_bench.environments import frozenlake_ragen, frozenlake_spa
from spa_bench.environments.bounds import least_actions
from spa_bench.environments.controls import Controls, Direction, direction_of
from spa_bench.environments.environment import (
    CERTAIN,
    Environment,
    Facts,
    NoBoardError,
    Outcome,
    Position,
    check_action_names,
)
from spa_bench.environments.lengths import check_lengths, length_suffix
from spa_bench.environments.symmetry import rotations_and_reflections

Move: TypeAlias = Direction

MOVES: tuple[Move, ...] = ("Left", "Down", "Right", "Up")
"""In gymnasium's order: the neighbours of a direction, cyclically, are perpendicular to it."""

ICE, HOLE, GOAL = "_", "O", "G"
_PLAYER_ON = {ICE: "P", HOLE: "X", GOAL: "√"}
_PLAIN_SYMBOLS = "P_OGX√"
_MEANINGS = ("player", "ice", "hole", "goal", "player in a hole", "player on the goal")
_ONE_THIRD = Fraction(1, 3)


class FrozenLakeState(NamedTuple):
    """A position of FrozenLake.

    Attributes:
        lake: the fixed part, rows of `_OG` joined by newlines. A cell (r, c) is the character at
            r * (size + 1) + c, which is how positions are stored.
        player: the cell the player is on.
    """

    lake: str
    player: int


@dataclass(frozen=True)
class FrozenLake(Environment[FrozenLakeState, Move]):
    """FrozenLake on a square of `size` x `size` cells.

    Attributes:
        size: cells per side.
        ice: `firm`: one cell in the chosen direction. `slippery`: one cell in that direction or in
            either direction perpendicular to it, each with probability 1/3. `sliding`: on in the
            chosen direction until the edge, a hole or the goal ends the slide.
        p_frozen: probability that the generator makes a cell ice.
        generator: `ragen` makes the boards of RAGEN's published generator, bit for bit; they are
            solvable cell by cell. `spa` makes spa-bench's own, solvable on the board's own ice.
        controls: `plain`; `mirrored`: Left and Right are swapped; `rotated`: a quarter turn
            clockwise, so Up moves right.
        min_solution: `spa` only: minimum length of the shortest solution, in actions.
        max_solution: `spa` only: its maximum length. On slippery ice, both assume lucky slips.
        symbols: player, ice, hole, goal, player in a hole, player on the goal.
        action_names: names of left, down, right and up.
    """

    name: ClassVar[str] = "frozenlake"
    presentation: ClassVar[frozenset[str]] = frozenset({"symbols", "action_names"})

    size: int = 4
    ice: Literal["firm", "slippery", "sliding"] = "firm"
    p_frozen: float = 0.8
    generator: Literal["ragen", "spa"] = "ragen"
    symbols: str = _PLAIN_SYMBOLS
    action_names: tuple[str, str, str, str] = ("Left", "Down", "Right", "Up")
    controls: Controls = "plain"
    min_solution: int | None = None
    max_solution: int | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.size <= 50:
            raise ValueError("size must lie between 2 and 50")
        if not 0.05 <= self.p_frozen <= 1:
            raise ValueError("p_frozen must lie between 0.05 and 1")
        if len(self.symbols) != 6 or len(set(self.symbols)) != 6:
            raise ValueError("symbols must be six different characters")
        if any(symbol.isspace() for symbol in self.symbols):
            raise ValueError("symbols must not contain white space")
        if len({name.lower() for name in self.action_names}) != 4:
            raise ValueError("action_names must be four different names")
        check_action_names(self.action_names)
        check_lengths(self.generator, self.min_solution, self.max_solution)

    # -- the kernel ----------------------------------------------------------------------------

    def initial_state(self, seed: int) -> FrozenLakeState:
        make = (
            _made if type(self) is FrozenLake else _made.__wrapped__
        )  # others may not be hashable
        return make(self, seed)

    def from_grid(self, text: str, symbols: str | None = None) -> FrozenLakeState:
        """Returns the state drawn in `text`, in this environment's symbols unless given others.

        Raises:
            ValueError: where the text is not a lake of this size with one player and one goal.
        """
        grid = text.strip("\n")
        player, ice, hole, goal, in_hole, on_goal = symbols or self.symbols
        fixed = {player: ICE, ice: ICE, hole: HOLE, goal: GOAL, in_hole: HOLE, on_goal: GOAL}
        rows = grid.split("\n")
        if len(rows) != self.size or any(len(row) != self.size for row in rows):
            raise ValueError(f"not a square of {self.size} rows and columns")
        if set(grid) - {*fixed, "\n"}:
            raise ValueError("a symbol that this board does not have")
        lake = "".join(fixed.get(symbol, symbol) for symbol in grid)
        players = [i for i, symbol in enumerate(grid) if symbol in (player, in_hole, on_goal)]
        if len(players) != 1 or lake.count(GOAL) != 1:
            raise ValueError("a board has one player and one goal")
        return FrozenLakeState(lake, players[0])

    def actions(self, state: FrozenLakeState) -> Sequence[Move]:
        return MOVES

    def outcomes(
        self, state: FrozenLakeState, action: Move
    ) -> tuple[Outcome[FrozenLakeState], ...]:
        lake, player = state
        if lake[player] != ICE:
            return (Outcome(CERTAIN, state, 0.0, True),)
        if self.ice == "slippery":
            # Where two directions lead to the same cell they stay two outcomes, so that the
            # order of outcomes is the order of directions on every board.
            left, ahead, right = self._slips[action][player]
            return (
                _arrival(_ONE_THIRD, lake, left),
                _arrival(_ONE_THIRD, lake, ahead),
                _arrival(_ONE_THIRD, lake, right),
            )
        neighbour = self._neighbours[action]
        there = neighbour[player]
        if self.ice == "sliding":
            while lake[there] == ICE and neighbour[there] != there:
                there = neighbour[there]
        return (_arrival(CERTAIN, lake, there),)

    def is_success(self, state: FrozenLakeState) -> bool:
        return state.lake[state.player] == GOAL

    def loss(self, state: FrozenLakeState) -> str | None:
        """Returns 'hole' if the player is in one."""
        return "hole" if state.lake[state.player] == HOLE else None

    # -- what can be known, and how it is written ------------------------------------------------

    def facts(self, state: FrozenLakeState) -> Facts:
        """Returns the positions of player, holes and goal, also where the player covers one."""
        lake = state.lake
        return {
            "player": frozenset({(self._position(state.player), "")}),
            "hole": frozenset((self._position(i), "") for i, c in enumerate(lake) if c == HOLE),
            "goal": frozenset({(self._position(lake.index(GOAL)), "")}),
        }

    def render(self, state: FrozenLakeState) -> str:
        lake, player = state
        grid = lake[:player] + _PLAYER_ON[lake[player]] + lake[player + 1 :]
        return grid if self._shown is None else grid.translate(self._shown)

    def describe(self, state: FrozenLakeState) -> str:
        """Returns the coordinates as the paper adds them: player, holes, goal.

        The authors' own renderer is not public; this is a reconstruction from the paper.
        """
        facts = self.facts(state)
        lines: list[str] = []
        for kind in ("player", "hole", "goal"):
            places = ", ".join(map(str, sorted(position for position, _ in facts[kind])))
            lines.append(f"{kind.capitalize()} at {places}" if places else f"No {kind}")
        return "\n".join(lines)

    def parse_render(self, text: str) -> Facts | None:
        """Reads player, holes and goal off a grid of the right size."""
        rows = ["".join(row.split()) for row in text.strip().split("\n")]
        if len(rows) != self.size or any(len(row) != self.size for row in rows):
            return None
        found: dict[str, set[tuple[Position, str]]] = {
            "player": set(),
            "hole": set(),
            "goal": set(),
        }
        for r, row in enumerate(rows):
            for c, symbol in enumerate(row):
                if symbol not in self._kinds:
                    return None
                for kind in self._kinds[symbol]:
                    found[kind].add(((r, c), ""))
        return {kind: frozenset(places) for kind, places in found.items()}

    def parse_describe(self, text: str) -> Facts | None:
        found: dict[str, set[tuple[Position, str]]] = {}
        kind = ""
        for match in _DESCRIPTION.finditer(text):
            word, row, col = match.groups()
            if word:
                kind = word.lower().rstrip("s")
                found.setdefault(kind, set())
            elif kind:
                found[kind].add(((int(row), int(col)), ""))
        if set(found) != {"player", "hole", "goal"}:
            return None
        return {kind: frozenset(places) for kind, places in found.items()}

    def format_action(self, action: Move) -> str:
        return self.action_names[MOVES.index(action)]

    def parse_action(self, text: str) -> Move | None:
        """Reads an action by its name, in any case."""
        return self._moves_by_name.get(text.strip().lower())

    def prompt_fields(self) -> Mapping[str, str]:
        return {
            "legend": ", ".join(f"{s} {m}" for s, m in zip(self.symbols, _MEANINGS, strict=True)),
            "action_names": ", ".join(self.action_names),
            "size": str(self.size),
        }

    def board_key(self, state: FrozenLakeState) -> str:
        """Returns the hash of the least of the board's eight rotations and reflections.

        Under any controls these are equal boards: what an image needs is the same actions by
        other names.
        """
        lake, player = state
        grid = lake[:player] + _PLAYER_ON[lake[player]] + lake[player + 1 :]
        return f"d4:{sha256_hex(min(rotations_and_reflections(grid.split())))[:24]}"

    # -- identity --------------------------------------------------------------------------------

    @property
    def variant(self) -> str:
        ice = "" if self.ice == "firm" else f"-{self.ice}"
        frozen = "" if self.p_frozen == 0.8 else f"-p{self.p_frozen:g}"
        controls = "" if self.controls == "plain" else f"-{self.controls}"
        lengths = length_suffix(self.min_solution, self.max_solution)
        return f"{self.size}x{self.size}{ice}{controls}{frozen}/{self.generator}{lengths}"

    # -- inside ------------------------------------------------------------------------------------

    def _position(self, cell: int) -> Position:
        return divmod(cell, self.size + 1)

    @cached_property
    def _neighbours(self) -> dict[Move, tuple[int, ...]]:
        """For each action and cell, the cell one step on, or the same at the edge."""
        size, last = self.size, self.size - 1
        changes: dict[Direction, tuple[int, int]] = {
            "Left": (0, -1),
            "Down": (1, 0),
            "Right": (0, 1),
            "Up": (-1, 0),
        }
        ahead = {
            direction: tuple(
                min(max(row + down, 0), last) * (size + 1) + min(max(col + right, 0), last)
                for row in range(size)
                for col in range(size + 1)  # one more, for the newline that ends the row
            )
            for direction, (down, right) in changes.items()
        }
        return {move: ahead[direction_of(move, self.controls)] for move in MOVES}

    @cached_property
    def _slips(self) -> dict[Move, tuple[tuple[int, int, int], ...]]:
        """For each action and cell, the cells slippery ice may lead to, in canonical order.

        The order is that of the actions on either side in `MOVES`, gymnasium's: which are at
        right angles under all controls, for these turn and mirror all four directions alike.
        """
        steps = [self._neighbours[move] for move in MOVES]
        return {
            move: tuple(zip(steps[i - 1], steps[i], steps[(i + 1) % 4], strict=True))
            for i, move in enumerate(MOVES)
        }

    @cached_property
    def _shown(self) -> dict[int, int] | None:
        plain = _PLAIN_SYMBOLS
        return None if self.symbols == plain else str.maketrans(plain, self.symbols)

    @cached_property
    def _kinds(self) -> dict[str, tuple[str, ...]]:
        kinds = (("player",), (), ("hole",), ("goal",), ("player", "hole"), ("player", "goal"))
        return dict(zip(self.symbols, kinds, strict=True))

    @cached_property
    def _moves_by_name(self) -> dict[str, Move]:
        return {name.lower(): move for name, move in zip(self.action_names, MOVES, strict=True)}


_DESCRIPTION = re.compile(
    r"\b(player|holes?|goal)\b|\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)", re.IGNORECASE
)


def _arrival(probability: Fraction, lake: str, cell: int) -> Outcome[FrozenLakeState]:
    kind = lake[cell]
    return Outcome(
        probability, FrozenLakeState(lake, cell), 1.0 if kind == GOAL else 0.0, kind != ICE
    )


@lru_cache(maxsize=4096)  # tasks share boards, and one on sliding ice takes a while to find
def _made(lake: FrozenLake, seed: int) -> FrozenLakeState:
    def drawn(rows: Sequence[str]) -> FrozenLakeState:
        return lake.from_grid("\n".join(rows), _PLAIN_SYMBOLS)

    if lake.generator == "ragen":
        return drawn(frozenlake_ragen.generate(seed, lake.size, lake.p_frozen))
    rows = frozenlake_spa.generate(
        seed,
        lake.size,
        lake.ice,
        lake.p_frozen,
        lambda rows: least_actions(lake, drawn(rows)),
        lake.min_solution,
        lake.max_solution,
    )
    if rows is None:
        raise NoBoardError(f"no lake of this kind was found for seed {seed}")
    return drawn(rows)
