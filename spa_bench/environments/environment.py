"""What an environment is: its transition kernel, and the words in which it is shown.

An `Environment` is immutable and holds no episode. Everything that can happen is in
`outcomes`; which of it happens is decided elsewhere, by a keyed number. Episodes, exact
bounds, probes, ground truth for training and replay verification all follow from this one
interface, so no rule is ever written twice.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar

from spa_bench.canonical import sha256_hex

S = TypeVar("S", bound=Hashable)
A = TypeVar("A", bound=Hashable)

Position: TypeAlias = tuple[int, int]
"""(row, column)."""

Facts: TypeAlias = Mapping[str, frozenset[tuple[Position, str]]]
"""What an observer can know: object kind -> {(position, value)}; value is '' for bare objects."""

OBSERVATIONS = ("grid", "grid+coordinates", "coordinates")
"""The styles in which a state can be shown; `coordinates` alone is used by probes."""

CERTAIN = Fraction(1)


class NoBoardError(ValueError):
    """The generator has no board for this seed; callers skip the seed and say so."""


class Outcome(NamedTuple, Generic[S]):
    """One thing that an action can lead to.

    Attributes:
        probability: exact; the probabilities of all outcomes of an action sum to 1.
        state: the next state.
        reward: the environment's own reward for this transition.
        terminal: whether the episode ends here, by success or by a loss: `is_over` of the state.
    """

    probability: Fraction
    state: S
    reward: float
    terminal: bool


def _default(field: dataclasses.Field[Any]) -> Any:
    made = field.default_factory
    return field.default if made is dataclasses.MISSING else made()


class Environment(ABC, Generic[S, A]):
    """A world as a pure kernel. Subclasses are frozen dataclasses; their fields are its parameters.

    Class attributes:
        name: the name under which tasks refer to it.
        rules_version: raised whenever the same parameters would mean other rules or other boards.
        presentation: names of fields that change only how states and actions are written, not
            what they are. They are left out of the identity, so all ways of showing a board
            share its luck.
        enumerable: whether `outcomes` can be asked. A world that cannot enumerate what may happen
            offers `sample` instead; it has no bounds, no probes and no oracle.
        whole_answer: whether an answer is one action as a whole, and not several with separators.
    """

    name: ClassVar[str]
    rules_version: ClassVar[int] = 1
    presentation: ClassVar[frozenset[str]] = frozenset()
    enumerable: ClassVar[bool] = True
    whole_answer: ClassVar[bool] = False

    # -- the kernel ----------------------------------------------------------------------------

    @abstractmethod
    def initial_state(self, seed: int) -> S:
        """Returns the board with this seed: the same on every machine, in every process.

        Raises:
            NoBoardError: if the generator has none for this seed.
        """

    def instances(self, seed: int) -> Iterator[tuple[str, S]]:
        """Yields the id and the state of everything that this seed stands for: one board.

        Only a world whose boards are questions about boards has more.

        Raises:
            NoBoardError: as `initial_state`.
        """
        yield self.instance_id(seed), self.initial_state(seed)

    @abstractmethod
    def actions(self, state: S) -> Sequence[A]:
        """Returns every syntactically valid action, whether or not it changes anything.

        A world that is not `enumerable` may have too many to name, as any text; then none.
        """

    def choices(self, state: S) -> Sequence[str]:
        """Returns the answers among which a model is to choose, by log-probability.

        Empty, the default: it is to write its answer.
        """
        return ()

    def effective_actions(self, state: S) -> Sequence[int]:
        """Returns the numbers, in `actions(state)`, of the actions that may change something.

        All others must surely leave the state as it is, without reward and without an end. The
        default is all of them; an environment where most do nothing makes search faster by
        saying so.
        """
        return range(len(self.actions(state)))

    @abstractmethod
    def outcomes(self, state: S, action: A) -> tuple[Outcome[S], ...]:
        """Returns all that `action` can lead to, in canonical order."""

    def sample(self, state: S, action: A, u: float) -> Outcome[S]:
        """Returns what happens by the luck of `u`, uniform in [0, 1), with probability 0: unknown.

        Only of worlds that are not `enumerable`, and a pure function there, too.
        """
        raise TypeError(f"{self.name} enumerates its outcomes")

    @abstractmethod
    def is_success(self, state: S) -> bool:
        """Returns whether the task is solved in `state`."""

    def loss(self, state: S) -> str | None:
        """Returns the name of the failure if `state` is a terminal loss (such as 'hole')."""
        return None

    def is_over(self, state: S) -> bool:
        """Returns whether the board is solved or lost in `state`."""
        return self.is_success(state) or self.loss(state) is not None

    def without_past(self, state: S) -> S:
        """Returns the state that looks the same and remembers nothing of how it came about.

        What a question about a state shown alone is about: nobody asked can know its past. The
        default is the state itself, right wherever all that matters can be seen.
        """
        return state

    def least_states(self, state: S, actions: int) -> int:
        """Returns a number of states that surely can be reached in so many actions.

        An environment that can count them without search spares a search that must fail.
        """
        return 1

    def plan(self, state: S) -> Sequence[A] | None:
        """Returns actions that solve the board, where this kind of board can be solved directly.

        None, the default, leaves it to search. Used only where there are too many states to
        search, and believed only after the actions have been tried on `outcomes`.
        """
        return None

    # -- what can be known, and how it is written ------------------------------------------------

    @abstractmethod
    def facts(self, state: S) -> Facts:
        """Returns what an observer of `state` can know."""

    @abstractmethod
    def render(self, state: S) -> str:
        """Returns the state as a grid of symbols."""

    @abstractmethod
    def describe(self, state: S) -> str:
        """Returns the state as coordinates of its objects."""

    @abstractmethod
    def parse_render(self, text: str) -> Facts | None:
        """Reads a grid as `render` writes it; None where the text is no such grid."""

    @abstractmethod
    def parse_describe(self, text: str) -> Facts | None:
        """Reads coordinates as `describe` writes them; None where the text holds none."""

    @abstractmethod
    def format_action(self, action: A) -> str:
        """Returns the action as a model is expected to write it."""

    @abstractmethod
    def parse_action(self, text: str) -> A | None:
        """Reads one action; None where the text is not an action. Never raises."""

    @abstractmethod
    def prompt_fields(self) -> Mapping[str, str]:
        """Returns the placeholders this environment offers to prompt texts, such as `legend`."""

    @abstractmethod
    def board_key(self, state: S) -> str:
        """Returns a key equal for boards that are equal under the board's symmetries.

        The part before the colon says which symmetries were divided out, or `exact`.
        """

    # -- identity --------------------------------------------------------------------------------

    @property
    @abstractmethod
    def variant(self) -> str:
        """A short readable name of rules and generator, such as `6x6-1/ragen`."""

    def parameters(self) -> dict[str, Any]:
        """Returns the fields that make the rules and the boards, as far as they are not default.

        Defaults are left out so that a new parameter does not change what was there before.
        """
        own = self._chosen()
        return {name: value for name, value in own.items() if name not in self.presentation}

    def shown_as(self) -> dict[str, Any]:
        """Returns the fields of the presentation, as far as they are not default."""
        own = self._chosen()
        return {name: value for name, value in own.items() if name in self.presentation}

    def _chosen(self) -> dict[str, Any]:
        if not dataclasses.is_dataclass(self):
            raise TypeError(f"{type(self).__name__} must be a frozen dataclass")
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != _default(field)
        }

    @cached_property
    def environment_id(self) -> str:
        """The hash of rules and generator; it keys the streams of chance."""
        return sha256_hex([self.name, self.rules_version, self.parameters()])[:16]

    def instance_id(self, seed: int) -> str:
        """Returns the readable name of one board, such as `sokoban/6x6-1/ragen/123`."""
        return f"{self.name}/{self.variant}/{seed}"

    @property
    def cell_symbols(self) -> tuple[str, ...]:
        """The symbols that a cell of the grid may hold; empty where nobody says.

        The default is what the `legend` of `prompt_fields` begins its entries with.
        """
        entries = self.prompt_fields().get("legend", "").split(",")
        return tuple(entry.strip()[0] for entry in entries if entry.strip()[1:2] == " ")

    # -- shared by all -----------------------------------------------------------------------------

    def observe(self, state: S, observation: str) -> str:
        """Returns the state in one of the `OBSERVATIONS` styles."""
        if observation == "grid":
            return self.render(state)
        if observation == "coordinates":
            return self.describe(state)
        return f"{self.render(state)}\n{self.describe(state)}"

    def read(self, text: str, observation: str) -> Facts | None:
        """Reads what a text in one of the `OBSERVATIONS` styles says; None if it says nothing.

        Where both a grid and coordinates are expected, coordinates are read first, being what
        the text states outright, and the grid where there are none.
        """
        if observation == "grid":
            return self.parse_render(text)
        facts = self.parse_describe(text)
        if facts is None and observation != "coordinates":
            facts = self.parse_render(text)
        return facts

    def facts_shown(self, state: S, observation: str) -> Facts:
        """Returns the facts that a state tells if it is shown in one of the `OBSERVATIONS` styles:
        all that a statement can get right."""
        return self.read(self.observe(state, observation), observation) or {}


def check_action_names(names: Sequence[str]) -> None:
    """Refuses names of actions that could not be read back out of an answer.

    Raises:
        ValueError: for a name that is empty, padded, unprintable, or holds `|`, `<` or `>`.
    """
    for name in names:
        if not name or name != name.strip() or not name.isprintable() or set(name) & set("|<>"):
            raise ValueError(f"an action name must be plain text without |, < or >, not {name!r}")


AnyEnvironment: TypeAlias = Environment[Any, Any]
