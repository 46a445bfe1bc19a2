"""A probe as a world of its own, so that nothing that plays, logs or counts needs to know of it.

Its boards are questions, its actions are answers, and one answer ends the episode. Chance is then
the floor of that world and the right answer its ceiling, both exact like those of any other.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias, cast

from spa_bench.canonical import sha256_hex
from spa_bench.environments.environment import (
    CERTAIN,
    AnyEnvironment,
    Environment,
    Facts,
    NoBoardError,
    Outcome,
)
from spa_bench.errors import InputError
from spa_bench.probes.board import Board
from spa_bench.probes.probe import Item, Probe, Scored, View
from spa_bench.task import fill, misspelt

Answer: TypeAlias = str


class Asked(NamedTuple):
    """A question, and what was answered to it: None as long as nothing was.

    Attributes:
        board_key: of the board that the question is about.
    """

    item: Item
    board_key: str
    answer: Answer | None = None


@dataclass(frozen=True)
class ProbeWorld(Environment[Asked, Answer]):
    """The questions of one probe about one world.

    Attributes:
        base: the world that the questions are about.
        probe: which questions.
        question: their text, with the probe's placeholders.
        observation: the style in which states are shown.
        ranking: whether a model chooses among the plausible answers by log-probability, instead of
            writing one.
    """

    name: ClassVar[str] = "probe"
    presentation: ClassVar[frozenset[str]] = frozenset({"question", "observation", "ranking"})
    whole_answer: ClassVar[bool] = True

    base: AnyEnvironment
    probe: Probe
    question: str
    observation: str
    ranking: bool = False

    def __post_init__(self) -> None:
        if not self.base.enumerable:
            raise InputError(f"{self.base.name} cannot say what may happen, so it has no probes")
        for name in misspelt(self.question, self.probe.placeholders):
            known = ", ".join(f"{{{one}}}" for one in sorted(self.probe.placeholders))
            raise InputError(f"probe.question: unknown placeholder {{{name}}}; there are {known}")

    # -- the kernel ----------------------------------------------------------------------------

    def initial_state(self, seed: int) -> Asked:
        return next(self.instances(seed))[1]

    def instances(self, seed: int) -> Iterator[tuple[str, Asked]]:
        """Yields the questions about the board of a seed.

        Raises:
            NoBoardError: if there is no such board, or nothing to ask about it.
        """
        start = self.base.initial_state(seed)
        key = self.base.board_key(start)
        asked = Counter[str]()
        for item in self.probe.items(self._view, Board(self.base, start, seed)):
            if len(item.candidates) < 2:  # nothing to choose from, so nothing is asked
                continue
            name = re.sub(r"[^A-Za-z0-9.+-]+", "-", item.stratum)
            asked[name] += 1
            again = f"-{asked[name]}" if asked[name] > 1 else ""  # `a` and `A`, or two arrows
            yield f"{self.instance_id(seed)}/{name}{again}", Asked(item, key)
        if not asked:
            raise NoBoardError(f"nothing to ask about the board of seed {seed}")

    def actions(self, state: Asked) -> Sequence[Answer]:
        """Returns the plausible answers: what chance chooses from."""
        return state.item.candidates

    def choices(self, state: Asked) -> Sequence[Answer]:
        return state.item.candidates if self.ranking else ()

    def outcomes(self, state: Asked, action: Answer) -> tuple[Outcome[Asked], ...]:
        """Returns the one outcome: answered. The reward is the probability of the answer."""
        reward = float(self.scored(state.item, action).probability)
        return (Outcome(CERTAIN, state._replace(answer=action), reward, True),)

    def is_success(self, state: Asked) -> bool:
        return state.answer is not None and self.scored(state.item, state.answer).accepted

    def loss(self, state: Asked) -> str | None:
        """Returns 'wrong' once a wrong answer is given."""
        return None if state.answer is None or self.is_success(state) else "wrong"

    def scored(self, item: Item, answer: Answer) -> Scored:
        """Scores an answer to a question."""
        return self.probe.score(self._view, item, answer)

    # -- what can be known, and how it is written ------------------------------------------------

    def facts(self, state: Asked) -> Facts:
        """Returns nothing: a question has no objects of its own."""
        return {}

    def render(self, state: Asked) -> str:
        """Returns the question, with the state and all else that it names."""
        return fill(self.question, dict(state.item.fields))

    def describe(self, state: Asked) -> str:
        return self.render(state)

    def observe(self, state: Asked, observation: str) -> str:
        return self.render(state)

    def parse_render(self, text: str) -> Facts | None:
        return None

    def parse_describe(self, text: str) -> Facts | None:
        return None

    def format_action(self, action: Answer) -> str:
        return action

    def parse_action(self, text: str) -> Answer | None:
        return self.probe.read(self._view, text)

    def prompt_fields(self) -> Mapping[str, str]:
        return self.base.prompt_fields()

    def board_key(self, state: Asked) -> str:
        """Returns the key of the board that the question is about, which decides its split."""
        return state.board_key

    # -- identity --------------------------------------------------------------------------------

    @property
    def variant(self) -> str:
        return f"{self.base.name}/{self.base.variant}/{self.probe.name}"

    def instance_id(self, seed: int) -> str:
        return f"{self.base.instance_id(seed)}/{self.probe.name}"

    def parameters(self) -> dict[str, Any]:
        fields = dataclasses.fields(cast(Any, self.probe))
        probe = {field.name: getattr(self.probe, field.name) for field in fields}
        named = {"base": self.base.environment_id, "probe": self.probe.name, **probe}
        return named | ({"version": self.probe.version} if self.probe.version > 1 else {})

    def shown_as(self) -> dict[str, Any]:
        return {
            "base": self.base.shown_as(),
            "question": self.question,
            "observation": self.observation,
            **({"ranking": True} if self.ranking else {}),
        }

    def items_sha256(self, instances: Sequence[Asked]) -> str:
        """Returns a hash of questions and answers, to tell whether two makers agree on them."""
        return sha256_hex(
            [
                [i.stratum, i.fields, [[a, str(p)] for a, p in i.right], i.wrong]
                for i in (asked.item for asked in instances)
            ]
        )

    @property
    def _view(self) -> View:
        return View(self.base, self.observation)
