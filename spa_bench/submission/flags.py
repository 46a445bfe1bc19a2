"""What a reader should know before believing a number: proof of nothing, refused for nothing."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Iterator, Mapping, Sequence

from spa_bench.results.results import Results, Score
from spa_bench.runner.record import Episode
from spa_bench.submission.schema import Flag, Submission

USUAL_SALT = "0"

_SAMPLE = 256
"""Hashes of transcripts that a verification keeps."""

_SHORTEST = 200
"""Characters of all replies of an episode; shorter ones are equal by chance."""

_COPIED = 0.2
"""From this share on, transcripts that another submission has, too, are worth a word."""

_REPEATED = 0.05
"""And those that repeat another of the same board from this share on."""


class Transcripts:
    """The transcripts of a submission: how many repeat one another, and a sample to find copies by.

    The sample is the least of all hashes, so the samples of two submissions hold the same
    transcripts if both have them.
    """

    def __init__(self) -> None:
        self.long = 0
        self.repeated = 0
        self._least: list[int] = []  # a heap of negative hashes: the largest kept one is first
        self._kept: set[int] = set()
        self._board: tuple[str, str] = ("", "")
        self._on_board: set[int] = set()

    def add(self, episode: Episode) -> None:
        """Takes the next episode; those of a board follow one another."""
        if sum(len(turn.reply) for turn in episode.turns) < _SHORTEST:
            return
        board = (episode.task_hash, episode.instance)
        digest = hashlib.sha256("\n".join(board).encode())
        for turn in episode.turns:
            digest.update(b"\0" + turn.reply.encode())
        number = int.from_bytes(digest.digest()[:8], "big")
        if board != self._board:
            self._board, self._on_board = board, set()
        self.long += 1
        self.repeated += number in self._on_board
        self._on_board.add(number)
        if number not in self._kept:
            self._keep(number)

    def _keep(self, number: int) -> None:
        if len(self._least) < _SAMPLE:
            heapq.heappush(self._least, -number)
            self._kept.add(number)
        elif number < -self._least[0]:
            self._kept.remove(-heapq.heapreplace(self._least, -number))
            self._kept.add(number)

    def sample(self) -> list[str]:
        """Returns the least hashes, sorted, 16 hexadecimal digits each."""
        return [f"{number:016x}" for number in sorted(self._kept)]


def share_in(sample: Sequence[str], other: Sequence[str]) -> float:
    """Returns the estimated share of one submission's transcripts that another has, too."""
    if not sample or not other:
        return 0.0
    # a full sample says nothing about hashes above its largest
    reach = min((s[-1] for s in (sample, other) if len(s) >= _SAMPLE), default="~")
    ours = [number for number in sample if number <= reach]
    return len(set(ours) & set(other)) / len(ours) if ours else 0.0


def flags(
    submission: Submission,
    results: Results,
    transcripts: Transcripts,
    shares: Mapping[str, float | None],
    others: Mapping[str, Sequence[str]],
) -> Iterator[Flag]:
    """Yields all flags of a submission whose replay found no difference.

    Args:
        results: recomputed.
        shares: of each task's boards among the training boards; None where unknown.
        others: the samples of transcripts of other submissions, by name.
    """
    for task in results.tasks:
        for metric, score in task.metrics.items():
            if _above(score):
                says = f"{metric} is above what any policy gets in the mean ({score.ceiling:.1%})"
                yield Flag(kind="above_ceiling", task=task.task, says=says)
        first = task.metrics.get("pass@1")
        wasted = task.steps_over_optimal
        at_ceiling = first is not None and _at_ceiling(first)
        if at_ceiling and wasted is not None and wasted < 0.01:
            says = "succeeds wherever it can be done, without an action too many: as a solver does"
            yield Flag(kind="optimal_play", task=task.task, says=says)
        share = shares[task.task]
        if share:
            says = f"{share:.1%} of the boards are among those it was trained on"
            yield Flag(kind="overlap", task=task.task, says=says)
    for name, sample in others.items():
        share = share_in(transcripts.sample(), sample)
        if share >= _COPIED:
            says = f"about {share:.0%} of the transcripts are, word for word, also those of {name}"
            yield Flag(kind="copied", says=says)
    if transcripts.repeated > _REPEATED * max(transcripts.long, 1):
        says = (
            f"{transcripts.repeated:,} of {transcripts.long:,} transcripts repeat another of the"
            " same board, word for word: natural for a deterministic model only"
        )
        yield Flag(kind="repeated", says=says)
    if submission.run.salt != USUAL_SALT:
        says = f"the salt is {submission.run.salt!r}: luck can be chosen by trying several"
        yield Flag(kind="salt", says=says)


def _above(score: Score) -> bool:
    low, ceiling = score.low, score.ceiling
    return low is not None and ceiling is not None and low > ceiling + 1e-9


def _at_ceiling(score: Score) -> bool:
    value, ceiling = score.value, score.ceiling
    if value is None or ceiling is None or math.isnan(ceiling):
        return False
    return value >= 0.99 * ceiling > 0
