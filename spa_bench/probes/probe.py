"""What a probe is: a kind of question about a world, its items, and how an answer is scored.

Everything is made from the environment interface alone, so a probe works for every world that can
enumerate its outcomes, those of plug-ins included.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from spa_bench.environments.environment import AnyEnvironment
from spa_bench.metrics.belief import Agreement
from spa_bench.probes.board import Board


@dataclass(frozen=True, slots=True)
class Item:
    """One question with its answers, as texts.

    Attributes:
        stratum: the kind of case it is, unique among the items of a board: items are balanced over
            strata, and results are told by stratum.
        fields: what fills the placeholders of the question.
        right: the right answers with their probabilities by the kernel, the likeliest first.
        wrong: plausible wrong ones; right and wrong together are what ranking chooses from and
            what chance is exact for.
        copy: what is shown, as an answer; None where it could not be one.
    """

    stratum: str
    fields: tuple[tuple[str, str], ...]
    right: tuple[tuple[str, Fraction], ...]
    wrong: tuple[str, ...]
    copy: str | None = None

    @property
    def candidates(self) -> tuple[str, ...]:
        """All plausible answers, right ones first."""
        return (*(text for text, _ in self.right), *self.wrong)


@dataclass(frozen=True, slots=True)
class View:
    """A world, and the style in which its states are shown."""

    environment: AnyEnvironment
    observation: str

    def show(self, state: Any) -> str:
        """Returns the state as text."""
        return self.environment.observe(state, self.observation)


@dataclass(frozen=True, slots=True)
class Scored:
    """What an answer is worth.

    Attributes:
        probability: of the answer, by the kernel; above 0 the answer is accepted.
        agreement: with the nearest right answer, for answers that are states.
    """

    probability: Fraction
    agreement: Agreement | None = None

    @classmethod
    def nothing(cls) -> Scored:
        """Returns what no answer is worth."""
        return cls(Fraction(0))

    @property
    def accepted(self) -> bool:
        """Whether the answer is right: it can happen."""
        return self.probability > 0


class Probe(ABC):
    """A kind of question. Subclasses are frozen dataclasses; their fields are its parameters.

    Class attributes:
        name: by which tasks refer to it.
        version: raised whenever the same parameters would ask other questions.
        placeholders: what the text of its question may use.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    placeholders: ClassVar[frozenset[str]]

    def world(
        self, base: AnyEnvironment, question: str, observation: str, ranking: bool
    ) -> AnyEnvironment:
        """Returns the world whose boards are this probe's questions about `base`.

        Raises:
            InputError: for a world without probes, and for a question with other placeholders.
        """
        from spa_bench.probes.world import ProbeWorld  # which asks probes, so not at import

        return ProbeWorld(base, self, question, observation, ranking)

    @abstractmethod
    def items(self, view: View, board: Board) -> Iterator[Item]:
        """Yields the questions about one board, none where it has not enough cases for balance."""

    @abstractmethod
    def read(self, view: View, text: str) -> str | None:
        """Returns an answer in its canonical form, which reads as itself; None if unreadable.

        Never raises; lenient about white space.
        """

    @abstractmethod
    def score(self, view: View, item: Item, answer: str) -> Scored:
        """Scores a readable answer."""
