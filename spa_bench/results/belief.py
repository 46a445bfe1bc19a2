"""Belief inside episodes: what a model says it sees and expects, against what was so.

Each `<observation>` is compared with the state before the turn, each `<prediction>` with the state
after all of its actions, as facts. The states come from the log, replayed through the kernel.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeAlias

from spa_bench.environments.environment import AnyEnvironment, Facts, Position
from spa_bench.environments.forecast import forecast
from spa_bench.metrics.belief import Agreement, agreement
from spa_bench.metrics.interval import NOTHING, Estimate, clustered, difference
from spa_bench.results.schema import Interval, Number, ResultModel
from spa_bench.runner.record import Episode, Listed, facts_from_log
from spa_bench.runner.replay import ReplayError, replay
from spa_bench.task import Instance, Task

BELIEF = "belief"
"""What a task's `metrics` call it."""


class Statement(ResultModel):
    """How statements of one kind agree with the truth: means over all turns.

    A turn without a readable statement agrees with nothing. Intervals are clustered by board.

    Attributes:
        stated: share of turns that have one.
        exact: says all facts and no other. cell_accuracy, object_f1: see `metrics.belief`.
    """

    stated: Number
    exact: Interval
    cell_accuracy: Number
    object_f1: Number


class TurnBelief(ResultModel):
    """Exact matches in the n-th turns of all episodes that have one; `turn` is from 1."""

    turn: int
    turns: int
    observation: Number
    prediction: Number


class Belief(ResultModel):
    """What the turns of a task say about the state, against what was so.

    Attributes:
        turns: that were compared. unreplayed: episodes of the log that cannot have happened.
        copied: share of turns after whose actions the state looks as it did before: the exact match
            of predictions that repeat what is shown. It depends on what the model chose to do.
        changed: exact match of the predictions of all other turns.
        ceiling: exact match of the best possible predictions of the same turns: 1 where dynamics
            are certain. It is exact.
        supported: share of turns whose prediction is possible.
        probability: mean probability, by the kernel, of what was predicted.
        by_turn: exact match over the course of an episode.
        success_if_right, success_if_wrong: share of turns with an exact prediction, and of those
            without, whose episode succeeded. gain: the first less the second, with an interval that
            takes the two to be independent: rather too wide.
    """

    turns: int
    unreplayed: int
    observation: Statement
    prediction: Statement
    copied: Number
    changed: Interval
    ceiling: Number
    supported: Number
    probability: Number
    by_turn: Listed[TurnBelief]
    success_if_right: Interval
    success_if_wrong: Interval
    gain: Interval


def belief_tally(task: Task, boards: Iterable[Instance]) -> BeliefTally | None:
    """Returns what counts the beliefs of a task; None where it asks for none or none can be told.

    Its format must state beliefs, and its world enumerate what may happen.
    """
    asked = BELIEF in task.config.metrics and task.format.believes
    if not asked or not task.environment.enumerable:
        return None
    return BeliefTally(task, {board.id: board.state for board in boards})


_Frozen: TypeAlias = tuple[tuple[str, frozenset[tuple[Position, str]]], ...]


@dataclass
class _Sums:
    """Sums over the statements of one kind on one board."""

    stated: int = 0
    exact: int = 0
    cells: Fraction = Fraction(0)  # exact, so that the order of episodes changes no digit
    objects: Fraction = Fraction(0)

    def add(self, stated: Facts | None, agrees: Agreement) -> None:
        self.stated += stated is not None
        self.exact += agrees.exact
        self.cells += Fraction(agrees.cell_accuracy)
        self.objects += Fraction(agrees.object_f1)


@dataclass
class _Board:
    """Sums over the turns of one board."""

    turns: int = 0
    seen: _Sums = field(default_factory=_Sums)
    expected: _Sums = field(default_factory=_Sums)
    changed: int = 0
    changed_exact: int = 0
    right_and_success: int = 0
    wrong_and_success: int = 0


class BeliefTally:
    """Running sums of one task; memory grows with boards, not with episodes."""

    def __init__(self, task: Task, starts: Mapping[str, Any]) -> None:
        """Begins to count.

        Args:
            task: whose format states beliefs, in a world that enumerates its outcomes.
            starts: the state of each board, by instance.
        """
        self._task = task
        self._starts = starts
        self._boards: dict[str, _Board] = {}
        self._by_turn: dict[int, Counter[str]] = {}
        self._unreplayed = 0
        self._ceiling = self._probability = Fraction(0)
        self._supported = 0

    def add(self, episode: Episode) -> None:
        """Counts the turns of a complete episode."""
        try:
            turns = list(replay(self._task, self._starts[episode.instance], episode))
        except ReplayError:
            self._unreplayed += 1
            return
        environment, observation = self._task.environment, self._task.config.observation
        board = self._boards.setdefault(episode.instance, _Board())
        for number, replayed in enumerate(turns, start=1):
            observed = facts_from_log(replayed.turn.facts_observed)
            predicted = facts_from_log(replayed.turn.facts_predicted)
            before = _shown(environment, observation, replayed.before)
            after = _shown(environment, observation, replayed.after)
            sees, expects = agreement(observed, before), agreement(predicted, after)
            board.turns += 1
            board.seen.add(observed, sees)
            board.expected.add(predicted, expects)
            board.changed += before != after
            board.changed_exact += before != after and expects.exact
            board.right_and_success += expects.exact and episode.success
            board.wrong_and_success += not expects.exact and episode.success
            here = self._by_turn.setdefault(number, Counter())
            here.update(turns=1, observation=sees.exact, prediction=expects.exact)
            possible = _possible(environment, observation, replayed.before, replayed.chosen)
            probability = Fraction(0) if predicted is None else possible.get(_frozen(predicted), 0)
            self._ceiling += max(possible.values())
            self._probability += probability
            self._supported += probability > 0

    def exact_predictions(self) -> Mapping[str, tuple[int, int]]:
        """Returns for each board its turns, and in how many of them the prediction was exact."""
        return {name: (board.turns, board.expected.exact) for name, board in self._boards.items()}

    def result(self) -> Belief:
        """Returns what was counted."""
        boards = self._boards.values()
        turns = sum(board.turns for board in boards)
        changed = [board.changed for board in boards]
        right = [board.expected.exact for board in boards]
        wrong = [board.turns - board.expected.exact for board in boards]
        if_right = _ratio((board.right_and_success for board in boards), right)
        if_wrong = _ratio((board.wrong_and_success for board in boards), wrong)
        return Belief(
            turns=turns,
            unreplayed=self._unreplayed,
            observation=_statement((board.seen, board.turns) for board in boards),
            prediction=_statement((board.expected, board.turns) for board in boards),
            copied=_share(turns - sum(changed), turns),
            changed=Interval.of(_ratio((board.changed_exact for board in boards), changed)),
            ceiling=_share(self._ceiling, turns),
            supported=_share(self._supported, turns),
            probability=_share(self._probability, turns),
            by_turn=[
                TurnBelief(
                    turn=number,
                    turns=counts["turns"],
                    observation=counts["observation"] / counts["turns"],
                    prediction=counts["prediction"] / counts["turns"],
                )
                for number, counts in sorted(self._by_turn.items())
            ],
            success_if_right=Interval.of(if_right),
            success_if_wrong=Interval.of(if_wrong),
            gain=Interval.of(difference(if_right, if_wrong)),
        )


def _statement(boards: Iterable[tuple[_Sums, int]]) -> Statement:
    pairs = list(boards)
    turns = [count for _, count in pairs]
    whole = sum(turns)
    return Statement(
        stated=_share(sum(sums.stated for sums, _ in pairs), whole),
        exact=Interval.of(_ratio((sums.exact for sums, _ in pairs), turns)),
        cell_accuracy=_share(sum(sums.cells for sums, _ in pairs), whole),
        object_f1=_share(sum(sums.objects for sums, _ in pairs), whole),
    )


def _ratio(successes: Iterable[int], turns: Iterable[int]) -> Estimate:
    """Returns the share of turns that succeed, clustered by board; boards without turns are out."""
    counts = [(c, n) for c, n in zip(successes, turns, strict=True) if n]
    if not counts:
        return NOTHING
    whole = [n for _, n in counts]
    return clustered([c / n for c, n in counts], sum(whole), whole)


def _share(part: float | Fraction, whole: int) -> float:
    return float(part / whole) if whole else math.nan


def _frozen(facts: Facts) -> _Frozen:
    return tuple(sorted(facts.items()))


@lru_cache(maxsize=10_000)
def _shown(environment: AnyEnvironment, observation: str, state: Any) -> Facts:
    return environment.facts_shown(state, observation)


@lru_cache(maxsize=10_000)
def _possible(
    environment: AnyEnvironment, observation: str, state: Any, actions: tuple[Any, ...]
) -> Mapping[_Frozen, Fraction]:
    """Returns the distribution of what a state will look like after these actions."""
    looks: dict[_Frozen, Fraction] = {}
    for there, probability in forecast(environment, state, actions).items():
        look = _frozen(_shown(environment, observation, there))
        looks[look] = looks.get(look, Fraction(0)) + probability
    return looks
