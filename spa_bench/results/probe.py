"""What a run says about the items of a probe: accuracy by stratum, beside chance and copying."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from spa_bench.metrics.belief import NO_AGREEMENT
from spa_bench.metrics.calibration import calibration_error, softmax
from spa_bench.metrics.interval import Estimate, clustered_by
from spa_bench.probes.probe import Item, Scored
from spa_bench.probes.world import Asked, ProbeWorld
from spa_bench.results.schema import Interval, Number, ResultModel
from spa_bench.runner.record import Episode, Named
from spa_bench.task import Instance

ACCURACY = "accuracy"
"""What a task's `metrics` call it."""


class Stratum(ResultModel):
    """The items of one kind of case; fields as in `ProbeResult`."""

    items: int
    accuracy: Interval
    chance: Number
    copied: Number


class Ranking(ResultModel):
    """What log-probabilities say, where a model ranked given answers.

    A model's distribution over an item's answers is the softmax of their log-probabilities.

    Attributes:
        mass: mean probability that it gives to right answers.
        distance: mean total variation distance between it and the kernel's distribution.
        confidence: mean probability of the answer chosen.
        calibration_error: expected calibration error of the confidence, in ten bins of equal width
            (Naeini et al. 2015, AAAI 29). An answer that is one of several right ones is right with
            its probability by the kernel, so that a model with the kernel's distribution has none.
    """

    mass: Number
    distance: Number
    confidence: Number
    calibration_error: Number


class ProbeResult(ResultModel):
    """How the items of a probe were answered.

    An unreadable answer is wrong, and agrees with nothing.

    Attributes:
        items: that were answered.
        accuracy: share of answers that are right: possible, where chance decides. The interval is
            clustered by board.
        chance: exact accuracy of a uniformly random choice among each item's plausible answers.
        copied: exact accuracy of what is shown, given as the answer; null where it could not be
            one.
        probability: mean probability of the answers by the kernel; `best` is the exact mean of the
            most probable ones, `chance_probability` and `copied_probability` of those policies.
        cell_accuracy, object_f1: agreement with the nearest right state; null for answers that
            are no states.
        ranking: where the model ranked given answers and wrote none; else null.
        strata: by kind of case, such as `blocked`, or the number of actions of a roll-out.
    """

    items: int
    accuracy: Interval
    chance: Number
    copied: Number
    probability: Number
    best: Number
    chance_probability: Number
    copied_probability: Number
    cell_accuracy: Number
    object_f1: Number
    ranking: Ranking | None = None
    strata: Named[Stratum]


@dataclass(frozen=True, slots=True)
class _Answered:
    board: str
    item: Item
    scored: Scored
    references: _References
    distribution: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class _References:
    """What one item is worth to those who know nothing of the world, and at best."""

    chance: float
    chance_probability: float
    copied: float
    copied_probability: float
    best: float


_Rows: TypeAlias = Sequence[_Answered]


class ProbeTally:
    """The answers to the items of one task."""

    def __init__(self, world: ProbeWorld, instances: Iterable[Instance]) -> None:
        self._world = world
        self._asked: Mapping[str, Asked] = {board.id: board.state for board in instances}
        self._references: dict[str, _References] = {}
        self._rows: list[_Answered] = []

    def add(self, episode: Episode) -> None:
        """Counts the answer of a complete episode, scored anew from what the log says it was."""
        asked = self._asked[episode.instance]
        if episode.instance not in self._references:
            self._references[episode.instance] = _references(self._world, asked.item)
        answers = [
            read
            for turn in episode.turns[:1]
            for text in turn.actions[:1]
            if (read := self._world.parse_action(text)) is not None
        ]
        scored = self._world.scored(asked.item, answers[0]) if answers else Scored.nothing()
        references = self._references[episode.instance]
        distribution = _distribution(asked.item, episode)
        self._rows.append(_Answered(asked.board_key, asked.item, scored, references, distribution))

    def accuracy(self) -> Estimate:
        """Returns the accuracy over all items."""
        return _accuracy(self._rows)

    def chance(self) -> float:
        """Returns the exact accuracy of chance on the same items."""
        return _mean(row.references.chance for row in self._rows)

    def result(self) -> ProbeResult:
        """Returns what was counted."""
        rows = self._rows
        by_stratum: dict[str, list[_Answered]] = {}
        for row in rows:
            by_stratum.setdefault(row.item.stratum, []).append(row)
        states = any(self._is_state(row.item) for row in rows[:1])
        agreements = [row.scored.agreement or NO_AGREEMENT for row in rows] if states else []
        return ProbeResult(
            items=len(rows),
            accuracy=Interval.of(_accuracy(rows)),
            chance=self.chance(),
            copied=_mean(row.references.copied for row in rows),
            probability=_mean(float(row.scored.probability) for row in rows),
            best=_mean(row.references.best for row in rows),
            chance_probability=_mean(row.references.chance_probability for row in rows),
            copied_probability=_mean(row.references.copied_probability for row in rows),
            cell_accuracy=_mean(agrees.cell_accuracy for agrees in agreements),
            object_f1=_mean(agrees.object_f1 for agrees in agreements),
            ranking=_ranking([row for row in rows if row.distribution is not None]),
            strata={
                name: Stratum(
                    items=len(some),
                    accuracy=Interval.of(_accuracy(some)),
                    chance=_mean(row.references.chance for row in some),
                    copied=_mean(row.references.copied for row in some),
                )
                for name, some in sorted(by_stratum.items())
            },
        )

    def _is_state(self, item: Item) -> bool:
        return self._world.scored(item, item.right[0][0]).agreement is not None


def _references(world: ProbeWorld, item: Item) -> _References:
    candidates = item.candidates
    probabilities = dict(item.right)
    copied, copied_probability = math.nan, math.nan
    if item.copy is not None:
        read = world.parse_action(item.copy)
        scored = Scored.nothing() if read is None else world.scored(item, read)
        copied, copied_probability = float(scored.accepted), float(scored.probability)
    return _References(
        chance=len(item.right) / len(candidates),
        chance_probability=float(sum(probabilities.values())) / len(candidates),
        copied=copied,
        copied_probability=copied_probability,
        best=float(item.right[0][1]),
    )


def _distribution(item: Item, episode: Episode) -> tuple[float, ...] | None:
    """Returns the model's distribution over the plausible answers, if the log has it."""
    logprobs = next((turn.choice_logprobs for turn in episode.turns[:1]), None)
    if logprobs is None or len(logprobs) != len(item.candidates):
        return None
    return softmax(logprobs)


def _ranking(rows: _Rows) -> Ranking | None:
    if not rows:
        return None
    masses, distances = list[float](), list[float]()
    confidences, correct = list[float](), list[float]()
    for row in rows:
        found, right = row.distribution or (), len(row.item.right)
        true = [float(p) for _, p in row.item.right] + [0.0] * (len(found) - right)
        whole = math.fsum(true)  # where several answers are right for certain, more than 1
        masses.append(math.fsum(found[:right]))
        distances.append(
            math.fsum(abs(q - p / whole) for q, p in zip(found, true, strict=True)) / 2
        )
        confidences.append(max(found))
        correct.append(float(row.scored.probability) / whole)
    return Ranking(
        mass=_mean(masses),
        distance=_mean(distances),
        confidence=_mean(confidences),
        calibration_error=calibration_error(confidences, correct),
    )


def _accuracy(rows: _Rows) -> Estimate:
    return clustered_by((row.board, float(row.scored.accepted)) for row in rows)


def _mean(values: Iterable[float] | Iterator[float]) -> float:
    numbers = list(values)
    return math.fsum(numbers) / len(numbers) if numbers else math.nan
