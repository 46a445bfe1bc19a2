"""Sudoku as a kernel: fill the blanks so that no digit repeats in a row, column or region.

The givens never change. Own entries may be overwritten but not erased. A digit that already
stands in the row, column or region is not placed, and the action still counts. The reward is 1 for
the digit that completes the board, else 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb
from operator import itemgetter
from typing import ClassVar, Literal, NamedTuple, TypeAlias

from spa_bench.canonical import sha256_hex
from spa_bench.environments import sudoku_ragen, sudoku_spa
from spa_bench.environments.environment import CERTAIN, Environment, Facts, NoBoardError, Outcome
from spa_bench.environments.sudoku_regions import BLANK, Regions, peer_masks, unshifted
from spa_bench.environments.symmetry import sudoku_permutations

DIGITS = "123456789"

Picker: TypeAlias = Callable[[str], tuple[str, ...]]


class SudokuState(NamedTuple):
    """A position of Sudoku.

    Attributes:
        givens: the puzzle, row by row: digits, and `.` for a cell to be filled.
        cells: the same with the player's own entries.
    """

    givens: str
    cells: str


class Placement(NamedTuple):
    """The action that writes `value` into a cell; rows, columns and values count from 1."""

    row: int
    col: int
    value: int


@dataclass(frozen=True)
class Sudoku(Environment[SudokuState, Placement]):
    """Sudoku of `size` x `size` cells, 4x4 in boxes of 2x2 or 9x9 in boxes of 3x3.

    Attributes:
        size: cells per side, 4 or 9.
        clues: number of cells that the generator leaves filled. `ragen` may leave a few more where
            fewer would allow more than one solution.
        generator: `ragen` makes the boards of RAGEN's published generator, bit for bit; they have
            the usual boxes. `spa` makes spa-bench's own, with any regions.
        regions: `boxes`: the usual ones. `shifted`: the boxes moved one column to the right,
            wrapping around at the edge.
        symbols: how the digits from 1 are written, at least `size` of them.
        blank: how an empty cell is written.
    """

    name: ClassVar[str] = "sudoku"
    presentation: ClassVar[frozenset[str]] = frozenset({"symbols", "blank"})

    size: Literal[4, 9] = 4
    clues: int = 10
    generator: Literal["ragen", "spa"] = "ragen"
    regions: Regions = "boxes"
    symbols: str = DIGITS
    blank: str = BLANK

    def __post_init__(self) -> None:
        if self.size not in (4, 9):
            raise ValueError("size must be 4 or 9")
        if not 1 <= self.clues < self.size**2:
            raise ValueError(f"clues must lie between 1 and {self.size**2 - 1}")
        if self.generator == "ragen" and self.regions != "boxes":
            raise ValueError(
                "regions: the published generator makes usual boxes; take generator: spa"
            )
        if len(self.blank) != 1:
            raise ValueError("blank must be one character")
        shown = self.blank + self.symbols[: self.size].lower()
        if len(shown) != self.size + 1 or len(set(shown)) != self.size + 1:
            raise ValueError(f"symbols must be {self.size} different characters, and not the blank")
        if any(symbol.isspace() or symbol in "|,()" for symbol in shown):
            raise ValueError("symbols must not contain white space, bars, commas or brackets")

    # -- the kernel ----------------------------------------------------------------------------

    def initial_state(self, seed: int) -> SudokuState:
        if self.generator == "ragen":
            puzzle = sudoku_ragen.generate(seed, self._box, self.clues)
        else:
            found = sudoku_spa.generate(seed, self._box, self.clues, self.regions)
            if found is None:
                raise NoBoardError(f"no puzzle with {self.clues} clues was found for seed {seed}")
            puzzle = found
        return SudokuState(puzzle, puzzle)

    def from_cells(self, givens: str, cells: str | None = None) -> SudokuState:
        """Returns the state with these givens and cells, row by row, `.` for a blank.

        Raises:
            ValueError: where that is no board of this size, or a digit repeats.
        """
        cells = givens if cells is None else cells
        for text in (givens, cells):
            if len(text) != self.size**2 or set(text) - {BLANK, *DIGITS[: self.size]}:
                raise ValueError(f"not {self.size**2} cells of 1 to {self.size} and {BLANK!r}")
        if any(g not in (BLANK, c) for g, c in zip(givens, cells, strict=True)):
            raise ValueError("a given is changed")
        for i, digit in enumerate(cells):
            if digit != BLANK and digit in self._peers[i](cells):
                raise ValueError(f"the {digit} in cell {divmod(i, self.size)} repeats")
        return SudokuState(givens, cells)

    def actions(self, state: SudokuState) -> Sequence[Placement]:
        """Returns every cell with every digit, also where it clashes or the cell is a given."""
        return self._actions

    def effective_actions(self, state: SudokuState) -> Sequence[int]:
        """Returns the numbers of the actions that write a digit: a tenth of all, or fewer."""
        givens, cells = state
        size = self.size
        numbers: list[int] = []
        for cell, own in enumerate(cells):
            if givens[cell] == BLANK:
                taken = {own, *self._peers[cell](cells)}
                digits = enumerate(DIGITS[:size], start=cell * size)
                numbers += [number for number, digit in digits if digit not in taken]
        return numbers

    def outcomes(self, state: SudokuState, action: Placement) -> tuple[Outcome[SudokuState], ...]:
        givens, cells = state
        row, col, value = action
        cell = (row - 1) * self.size + col - 1
        digit = DIGITS[value - 1]
        if givens[cell] != BLANK or cells[cell] == digit or digit in self._peers[cell](cells):
            return (Outcome(CERTAIN, state, 0.0, False),)
        filled = cells[:cell] + digit + cells[cell + 1 :]
        # Nothing that clashes is ever placed, so a board without blanks is a solved one.
        solved = BLANK not in filled
        return (Outcome(CERTAIN, SudokuState(givens, filled), 1.0 if solved else 0.0, solved),)

    def is_success(self, state: SudokuState) -> bool:
        return BLANK not in state.cells

    def without_past(self, state: SudokuState) -> SudokuState:
        """Takes all filled cells for givens: own entries look like them."""
        return SudokuState(state.cells, state.cells)

    def least_states(self, state: SudokuState, actions: int) -> int:
        """Counts the ways to write part of the solution: each is a state of its own."""
        if state.cells != state.givens or self._solve(state.givens) is None:
            return 1
        blanks = state.cells.count(BLANK)
        return sum(comb(blanks, written) for written in range(min(actions, blanks) + 1))

    def plan(self, state: SudokuState) -> Sequence[Placement] | None:
        """Returns the digits of the solution that are missing, in an order that is allowed."""
        solution = self._solve(state.givens)
        plan: list[Placement] = []
        while solution is not None and state.cells != solution:
            for cell, digit in enumerate(solution):
                row, col = divmod(cell, self.size)
                action = Placement(row + 1, col + 1, int(digit))
                after = self.outcomes(state, action)[0].state
                if after != state:
                    plan.append(action)
                    state = after
                    break
            else:
                return None  # own entries stand in each other's way
        return None if solution is None else plan

    # -- what can be known, and how it is written ------------------------------------------------

    def facts(self, state: SudokuState) -> Facts:
        """Returns each filled cell with its digit (`cell`) and each blank one (`empty`).

        Positions count from (1, 1); digits are 1 to 9, whatever symbols stand for them.
        """
        return self._facts(state.cells)

    def render(self, state: SudokuState) -> str:
        """Returns the board as the published code writes it: one line, a bar before each row."""
        size = self.size
        cells = state.cells if self._shown is None else state.cells.translate(self._shown)
        return " ".join("| " + " ".join(cells[r : r + size]) for r in range(0, size**2, size))

    def describe(self, state: SudokuState) -> str:
        """Returns the empty positions, which is what the paper's coordinates say of Sudoku."""
        empty = [str(self._position(i)) for i, digit in enumerate(state.cells) if digit == BLANK]
        return f"Empty positions: {', '.join(empty)}" if empty else "No empty positions"

    def parse_render(self, text: str) -> Facts | None:
        """Reads the first grid in `text`: rows between bars or line breaks, as many as the size."""
        rows = ["".join(part.split()) for part in re.split(r"[|\n]", text)]
        run: list[str] = []
        for row in [*filter(None, rows), ""]:
            if len(row) == self.size and set(row) <= self._digits_by_symbol.keys():
                run.append(row)
            elif len(run) == self.size:
                break
            else:
                run = []
        if len(run) != self.size:
            return None
        return self._facts("".join(self._digits_by_symbol[symbol] for symbol in "".join(run)))

    def parse_describe(self, text: str) -> Facts | None:
        """Reads the positions that follow the word `empty`; coordinates say nothing else."""
        word = _EMPTY.search(text)
        if word is None:
            return None
        found = _POSITION.findall(text, word.end())
        return {"empty": frozenset(((int(row), int(col)), "") for row, col in found)}

    def read(self, text: str, observation: str) -> Facts | None:
        """Reads grids before coordinates, which leave out the digits."""
        if observation == "coordinates":
            return self.parse_describe(text)
        facts = self.parse_render(text)
        if facts is None and observation != "grid":
            facts = self.parse_describe(text)
        return facts

    def format_action(self, action: Placement) -> str:
        return f"{action.row},{action.col},{self.symbols[action.value - 1]}"

    def parse_action(self, text: str) -> Placement | None:
        """Reads `row,col,value`, the same with spaces or brackets, and `place V at row R col C`.

        In words the order is free: the value is the one symbol that follows neither `row` nor
        `col`.
        """
        words = _WORD.findall(text.lower())
        if len(words) == 3:
            row, col, value = words
        else:
            try:
                row = _take_after(words, "row")
                col = _take_after(words, "col" if "col" in words else "column")
                (value,) = [word for word in words if word in self._values]
            except (ValueError, IndexError):
                return None
        if row not in self._numbers or col not in self._numbers or value not in self._values:
            return None
        return Placement(self._numbers[row], self._numbers[col], self._values[value])

    def prompt_fields(self) -> Mapping[str, str]:
        return {
            "size": str(self.size),
            "box": str(self._box),
            "symbols": " ".join(self.symbols[: self.size]),
            "blank": self.blank,
        }

    @property
    def cell_symbols(self) -> tuple[str, ...]:
        return (self.blank, *self.symbols[: self.size])

    def board_key(self, state: SudokuState) -> str:
        """Returns a key of the puzzle, with the player's own entries told apart from givens.

        For 4x4, equal for boards that become equal by renaming digits, by swapping rows within a
        band, bands, columns within a stack, stacks, or rows with columns, which all are counted
        as they lie once the regions are shifted back to boxes. For 9x9, whose boards are too many
        to repeat, the exact board.
        """
        if self.size != 4:
            return f"exact:{sha256_hex(list(state))[:24]}"
        givens, cells = state
        kinds = "".join(
            "." if digit == BLANK else "g" if given == digit else "o"
            for given, digit in zip(givens, cells, strict=True)
        )
        shapes = [image(kinds) for image in self._images]
        least = min(shapes)
        named = min(
            _renamed(image(cells))
            for image, shape in zip(self._images, shapes, strict=True)
            if shape == least
        )
        regions = "" if self.regions == "boxes" else f"{self.regions}-"
        return f"{regions}sudoku-symmetries:{sha256_hex([''.join(least), named])[:24]}"

    # -- identity --------------------------------------------------------------------------------

    @property
    def variant(self) -> str:
        regions = "" if self.regions == "boxes" else f"-{self.regions}"
        return f"{self.size}x{self.size}-{self.clues}{regions}/{self.generator}"

    # -- inside ------------------------------------------------------------------------------------

    def _solve(self, cells: str) -> str | None:
        """Returns the first completion of the cells found by trying the tightest cell first."""
        tightest: tuple[int, list[str]] | None = None
        for cell, digit in enumerate(cells):
            if digit != BLANK:
                continue
            taken = self._peers[cell](cells)
            free = [d for d in DIGITS[: self.size] if d not in taken]
            if tightest is None or len(free) < len(tightest[1]):
                tightest = cell, free
        if tightest is None:
            return cells
        cell, free = tightest
        for digit in free:
            solved = self._solve(cells[:cell] + digit + cells[cell + 1 :])
            if solved is not None:
                return solved
        return None

    @property
    def _box(self) -> int:
        return 2 if self.size == 4 else 3

    def _position(self, cell: int) -> tuple[int, int]:
        row, col = divmod(cell, self.size)
        return row + 1, col + 1

    def _facts(self, cells: str) -> Facts:
        places = [(self._position(i), digit) for i, digit in enumerate(cells)]
        return {
            "cell": frozenset(place for place in places if place[1] != BLANK),
            "empty": frozenset((position, "") for position, digit in places if digit == BLANK),
        }

    @cached_property
    def _actions(self) -> tuple[Placement, ...]:
        numbers = range(1, self.size + 1)
        return tuple(Placement(r, c, v) for r in numbers for c in numbers for v in numbers)

    @cached_property
    def _peers(self) -> tuple[Picker, ...]:
        """For each cell, what picks the cells that share its row, column or region."""
        masks = peer_masks(self._box, self.regions)
        cells = range(self.size**2)
        return tuple(_picker([i for i in cells if mask >> i & 1]) for mask in masks)

    @cached_property
    def _images(self) -> tuple[Picker, ...]:
        usual = unshifted(self._box, self.regions)
        return tuple(
            _picker([usual[cell] for cell in order]) for order in sudoku_permutations(self._box)
        )

    @cached_property
    def _shown(self) -> dict[int, str] | None:
        shown = {ord(d): s for s, d in self._digits_by_symbol.items()}
        return None if all(chr(digit) == symbol for digit, symbol in shown.items()) else shown

    @cached_property
    def _digits_by_symbol(self) -> dict[str, str]:
        shown = self.symbols[: self.size]
        return {self.blank: BLANK, **dict(zip(shown, DIGITS[: self.size], strict=True))}

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {str(number): number for number in range(1, self.size + 1)}

    @cached_property
    def _values(self) -> dict[str, int]:
        return {s.lower(): value for value, s in enumerate(self.symbols[: self.size], start=1)}


_EMPTY = re.compile(r"\bempty\b", re.IGNORECASE)
_POSITION = re.compile(r"\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)")
_WORD = re.compile(r"[^\s,()]+")


def _picker(indices: Sequence[int]) -> Picker:
    return itemgetter(*indices)


def _take_after(words: list[str], name: str) -> str:
    """Removes `name` and the word after it, and returns that word."""
    at = words.index(name)
    word = words[at + 1]
    del words[at : at + 2]
    return word


def _renamed(cells: tuple[str, ...]) -> str:
    """Returns the cells with their digits named in the order in which they appear."""
    names: dict[str, str] = {BLANK: BLANK}
    return "".join(names.setdefault(digit, str(len(names))) for digit in cells)
