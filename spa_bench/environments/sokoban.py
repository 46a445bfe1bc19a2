"""Sokoban as a kernel: bring every box onto a target.

Rules and rewards are those of gym-sokoban (an action pushes where it can, else walks):
-0.1 a step, +1 for a box brought onto a target, -1 for one taken off, +10 when all are on.
Unfamiliar rules are parameters: boxes that are pulled, actions that lead elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple, TypeAlias

from spa_bench.canonical import sha256_hex
from spa_bench.environments import sokoban_ragen, sokoban_spa
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

MOVES: tuple[Move, ...] = ("Up", "Down", "Left", "Right")
WALL, FLOOR, TARGET = "#", "_", "O"
_PLAIN_SYMBOLS = "#_O√XPS"
_MEANINGS = (
    "wall",
    "empty floor",
    "target",
    "box on a target",
    "box",
    "player",
    "player on a target",
)


class SokobanState(NamedTuple):
    """A position of Sokoban.

    Attributes:
        room: the fixed part, rows of `#_O` joined by newlines; its border is wall. A cell (r, c)
            is the character at r * (columns + 1) + c, which is how positions are stored.
        player: the cell the player is on.
        boxes: the cells of the boxes, ascending.
    """

    room: str
    player: int
    boxes: tuple[int, ...]


@dataclass(frozen=True)
class Sokoban(Environment[SokobanState, Move]):
    """Sokoban with `boxes` boxes on a board of `rows` x `cols` cells, border included.

    Attributes:
        rows: number of rows, walls included.
        cols: number of columns, walls included.
        boxes: number of boxes, and of targets.
        generator: `ragen` makes the boards of RAGEN's published generator, bit for bit; they are
            solvable by pushing. `spa` makes spa-bench's own, solvable by the board's own rule.
        search_depth: depth of RAGEN's search for a start position. None: 300; 30 with two boxes or
            more, as the published configuration says for 6x6.
        controls: `plain`; `mirrored`: Left and Right are swapped; `rotated`: a quarter turn
            clockwise, so Up moves right.
        boxes_move: `pushed`: by walking into them. `pulled`: a player who walks away from a box
            directly behind, on the side opposite to the move, pulls it into the cell left behind.
            Nothing is pushed then: a box in the way blocks like a wall.
        min_solution: `spa` only: minimum length of the shortest solution, in actions.
        max_solution: `spa` only: its maximum length.
        symbols: wall, floor, target, box on target, box, player, player on target.
        action_names: names of up, down, left and right.
    """

    name: ClassVar[str] = "sokoban"
    presentation: ClassVar[frozenset[str]] = frozenset({"symbols", "action_names"})

    rows: int = 6
    cols: int = 6
    boxes: int = 1
    generator: Literal["ragen", "spa"] = "ragen"
    search_depth: int | None = None
    symbols: str = _PLAIN_SYMBOLS
    action_names: tuple[str, str, str, str] = ("Up", "Down", "Left", "Right")
    controls: Controls = "plain"
    boxes_move: sokoban_spa.BoxesMove = "pushed"
    min_solution: int | None = None
    max_solution: int | None = None

    def __post_init__(self) -> None:
        if not (4 <= self.rows <= 50 and 4 <= self.cols <= 50):
            raise ValueError("rows and cols must lie between 4 and 50")
        if not 1 <= self.boxes <= 10:
            raise ValueError("boxes must lie between 1 and 10")
        if self.search_depth is not None and self.search_depth < 1:
            raise ValueError("search_depth must be at least 1")
        if self.search_depth is not None and self.generator != "ragen":
            raise ValueError("search_depth is a setting of generator: ragen")
        check_lengths(self.generator, self.min_solution, self.max_solution)
        if len(self.symbols) != 7 or len(set(self.symbols)) != 7:
            raise ValueError("symbols must be seven different characters")
        if any(symbol.isspace() for symbol in self.symbols):
            raise ValueError("symbols must not contain white space")
        if len({name.lower() for name in self.action_names}) != 4:
            raise ValueError("action_names must be four different names")
        check_action_names(self.action_names)

    # -- the kernel ----------------------------------------------------------------------------

    def initial_state(self, seed: int) -> SokobanState:
        size = (self.rows, self.cols, self.boxes)
        if self.generator == "ragen":
            depth = self.search_depth or (300 if self.boxes == 1 else 30)
            rows = sokoban_ragen.generate(seed, *size, depth)
            if rows is None:
                raise NoBoardError(f"the published generator has no board for seed {seed}")
        else:
            lengths = (self.min_solution, self.max_solution)
            rows = sokoban_spa.generate(seed, *size, self.boxes_move, *lengths)
            if rows is None:
                raise NoBoardError(f"no board of this kind was found for seed {seed}")
        return self.from_grid("\n".join(rows), _PLAIN_SYMBOLS)

    def from_grid(self, text: str, symbols: str | None = None) -> SokobanState:
        """Returns the state drawn in `text`, in this environment's symbols unless given others.

        Raises:
            ValueError: where the text is not a Sokoban board of this size with a closed border.
        """
        rows = text.strip("\n").split("\n")
        wall, floor, target, box_on, box, player, player_on = symbols or self.symbols
        fixed = {wall: WALL, target: TARGET, box_on: TARGET, player_on: TARGET}
        fixed |= dict.fromkeys((floor, box, player), FLOOR)
        if len(rows) != self.rows or any(len(row) != self.cols for row in rows):
            raise ValueError(f"not a rectangle of {self.rows} rows and {self.cols} columns")
        if set("".join(rows)) - set(fixed):
            raise ValueError("a symbol that this board does not have")
        room = ["".join(fixed[symbol] for symbol in row) for row in rows]
        border = room[0] + room[-1] + "".join(row[0] + row[-1] for row in room)
        if set(border) != {WALL}:
            raise ValueError("the border of the board must be wall")
        grid = "\n".join(rows)
        players = [i for i, symbol in enumerate(grid) if symbol in (player, player_on)]
        boxes = tuple(i for i, symbol in enumerate(grid) if symbol in (box, box_on))
        if len(players) != 1:
            raise ValueError(f"a board has one player, not {len(players)}")
        if not boxes or "\n".join(room).count(TARGET) != len(boxes):
            raise ValueError("a board has as many targets as boxes, and at least one")
        return SokobanState("\n".join(room), players[0], boxes)

    def actions(self, state: SokobanState) -> Sequence[Move]:
        return MOVES

    def outcomes(self, state: SokobanState, action: Move) -> tuple[Outcome[SokobanState], ...]:
        room, player, boxes = state
        step = self._steps[action]
        ahead = player + step
        if room[ahead] == WALL:
            return (Outcome(CERTAIN, state, -0.1, False),)
        if self.boxes_move == "pushed":
            if ahead not in boxes:
                return (Outcome(CERTAIN, SokobanState(room, ahead, boxes), -0.1, False),)
            left, entered = ahead, ahead + step
            if room[entered] == WALL or entered in boxes:
                return (Outcome(CERTAIN, state, -0.1, False),)
        else:
            if ahead in boxes:
                return (Outcome(CERTAIN, state, -0.1, False),)
            left, entered = player - step, player
            if left not in boxes:
                return (Outcome(CERTAIN, SokobanState(room, ahead, boxes), -0.1, False),)
        shifted = tuple(sorted(entered if box == left else box for box in boxes))
        gained = (room[entered] == TARGET) - (room[left] == TARGET)
        moved = SokobanState(room, ahead, shifted)
        solved = gained >= 0 and self.is_success(moved)
        reward = -0.1 + gained + (10 if solved else 0)
        return (Outcome(CERTAIN, moved, reward, solved),)

    def is_success(self, state: SokobanState) -> bool:
        room = state.room
        for box in state.boxes:  # noqa: SIM110 - a generator costs more than the rest of a step
            if room[box] != TARGET:
                return False
        return True

    # -- what can be known, and how it is written ------------------------------------------------

    def facts(self, state: SokobanState) -> Facts:
        """Returns the positions of player, boxes and targets; walls never change, so not theirs."""
        targets = (i for i, cell in enumerate(state.room) if cell == TARGET)
        return {
            "player": frozenset({(self._position(state.player), "")}),
            "box": frozenset((self._position(box), "") for box in state.boxes),
            "target": frozenset((self._position(target), "") for target in targets),
        }

    def render(self, state: SokobanState) -> str:
        room, player, boxes = state
        cells = list(room)
        for box in boxes:
            cells[box] = "√" if cells[box] == TARGET else "X"
        cells[player] = "S" if cells[player] == TARGET else "P"
        grid = "".join(cells)
        return grid if self._shown is None else grid.translate(self._shown)

    def describe(self, state: SokobanState) -> str:
        """Returns the coordinates as the paper adds them: player, each box, each target.

        The authors' own renderer is not public; this is a reconstruction from the paper.
        """
        room, player, boxes = state
        targets = [i for i, cell in enumerate(room) if cell == TARGET]
        return (
            f"Player at {self._position(player)}\n"
            f"Box at {', '.join(str(self._position(box)) for box in boxes)}\n"
            f"Target at {', '.join(str(self._position(target)) for target in targets)}"
        )

    def parse_render(self, text: str) -> Facts | None:
        """Reads player, boxes and targets off a grid; the walls may be wrong, the size may not."""
        rows = ["".join(row.split()) for row in text.strip().split("\n")]
        if len(rows) != self.rows or any(len(row) != self.cols for row in rows):
            return None
        kinds = self._kinds
        found: dict[str, set[tuple[Position, str]]] = {
            "player": set(),
            "box": set(),
            "target": set(),
        }
        for r, row in enumerate(rows):
            for c, symbol in enumerate(row):
                if symbol not in kinds:
                    return None
                for kind in kinds[symbol]:
                    found[kind].add(((r, c), ""))
        return {kind: frozenset(places) for kind, places in found.items()}

    def parse_describe(self, text: str) -> Facts | None:
        found: dict[str, set[tuple[Position, str]]] = {}
        places: set[tuple[Position, str]] = set()
        for match in _DESCRIPTION.finditer(text):
            word: str | None = match[1]
            if word:
                word = word.lower()
                kind = "box" if word.startswith("box") else word.rstrip("s")
                places = found.setdefault(kind, set())
            else:
                places.add(((int(match[2]), int(match[3])), ""))
        if set(found) != {"player", "box", "target"}:
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
            "rows": str(self.rows),
            "cols": str(self.cols),
            "boxes": str(self.boxes),
        }

    def board_key(self, state: SokobanState) -> str:
        """Returns the hash of the least of the board's eight rotations and reflections.

        Under any controls these are equal boards: what an image needs is the same actions by
        other names.
        """
        grid = Sokoban.render(_PLAIN, state).split("\n")
        return f"d4:{sha256_hex(min(rotations_and_reflections(grid)))[:24]}"

    # -- identity --------------------------------------------------------------------------------

    @property
    def variant(self) -> str:
        controls = "" if self.controls == "plain" else f"-{self.controls}"
        moved = "" if self.boxes_move == "pushed" else f"-{self.boxes_move}"
        depth = "" if self.search_depth is None else f"-depth{self.search_depth}"
        lengths = length_suffix(self.min_solution, self.max_solution)
        rules = f"{self.rows}x{self.cols}-{self.boxes}{controls}{moved}"
        return f"{rules}/{self.generator}{depth}{lengths}"

    # -- inside ------------------------------------------------------------------------------------

    def _position(self, cell: int) -> Position:
        return divmod(cell, self.cols + 1)

    @cached_property
    def _steps(self) -> dict[Move, int]:
        """For each action, the difference between the cell ahead and the player's own."""
        stride = self.cols + 1
        steps: dict[Direction, int] = {"Up": -stride, "Down": stride, "Left": -1, "Right": 1}
        return {move: steps[direction_of(move, self.controls)] for move in MOVES}

    @cached_property
    def _shown(self) -> dict[int, int] | None:
        plain = _PLAIN_SYMBOLS
        return None if self.symbols == plain else str.maketrans(plain, self.symbols)

    @cached_property
    def _kinds(self) -> dict[str, tuple[str, ...]]:
        kinds = (
            (),
            (),
            ("target",),
            ("box", "target"),
            ("box",),
            ("player",),
            ("player", "target"),
        )
        return dict(zip(self.symbols, kinds, strict=True))

    @cached_property
    def _moves_by_name(self) -> dict[str, Move]:
        return {name.lower(): move for name, move in zip(self.action_names, MOVES, strict=True)}


_PLAIN = Sokoban()
_DESCRIPTION = re.compile(
    r"\b(player|box(?:es)?|targets?)\b|\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)", re.IGNORECASE
)
