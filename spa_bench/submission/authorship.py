"""Did these weights write these replies? Teacher-forcing the record, beside the weights' own words.

A sample of the recorded replies is scored token by token under the weights, and so is a fresh reply
to each of the same prompts, sampled as the task samples. Had the weights written the record, the
two would differ by chance alone. Text by somebody else, or of a solver, is less likely; text that
was drawn colder than claimed is more likely.

The sample is drawn by the hash of the submission, so whoever made it could not choose it.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spa_bench.canonical import sha256_hex
from spa_bench.errors import InputError
from spa_bench.metrics.interval import student_t
from spa_bench.models.model import Message, Model, Request, Sampling, Scorer
from spa_bench.runner.plan import Plan
from spa_bench.runner.record import Turn
from spa_bench.runner.rollout import Answer, EpisodeSpec, Rollout
from spa_bench.submission.folder import SubmissionFolder
from spa_bench.submission.order import Order
from spa_bench.submission.schema import Authorship, Flag, Verification
from spa_bench.submission.verify import Report

REPLIES = 64
"""How many replies are scored, at most."""

_FEWEST = 8

MARGIN = 0.5
"""Nats a token between the record and the weights' own words, up to which they count as theirs:
what quantisation costs is far less, another model's words far more."""


@dataclass(frozen=True)
class Recorded:
    """A recorded reply, less the prefill, and what it answers."""

    messages: tuple[Message, ...]
    prefill: str
    text: str
    sampling: Sampling
    seed: int


async def authored(
    folder: SubmissionFolder, report: Report, model: Model, weights: Path
) -> Verification:
    """Returns the verification of a replayed submission with what the weights say to it.

    Args:
        report: of the submission's replay, without a difference.
        model: with the weights; started and closed here.
        weights: their folder.

    Raises:
        InputError: for a model that cannot score, too few replies, or a folder without weights.
    """
    plan, verification = report.plan, report.verification
    if plan is None or verification is None:
        raise InputError(f"{folder.path} was not replayed; nothing is known of its replies")
    digest = hash_weights(weights)
    prefills = report.submission.run.capabilities.get("prefill", False)
    found = await authorship(folder, plan, prefills, model, digest)
    if plausible(found):
        return verification.model_copy(update={"badge": "authored", "authorship": found})
    flags = [*verification.flags, Flag(kind="unlike_weights", says=says(found))]
    return verification.model_copy(update={"flags": flags, "authorship": found})


def plausible(found: Authorship) -> bool:
    """Returns whether the weights may have written the record, with 95% confidence."""
    return found.low > -MARGIN and found.high < MARGIN


def says(found: Authorship) -> str:
    """Returns the finding in words."""
    more = "less" if found.difference < 0 else "more"
    return (
        f"over {found.replies} replies, a recorded token is {abs(found.difference):.2f} nats {more}"
        f" likely under the given weights than one of their own"
        f" (95%: {found.low:+.2f} to {found.high:+.2f})"
    )


async def authorship(
    folder: SubmissionFolder, plan: Plan, prefills: bool, model: Model, weights: str
) -> Authorship:
    """Scores a sample of a submission's replies, and as many fresh ones.

    Args:
        folder: of a submission that has been replayed.
        prefills: whether the backend of the run could begin the assistant's messages.
        model: with the claimed weights; started and closed here.
        weights: their hash.

    Raises:
        InputError: for a model that cannot score a given text, or a submission with too few
            replies.
    """
    if not isinstance(model, Scorer):
        raise InputError(f"{model.name} cannot score a given text; load the weights with hf/")
    replies = sample(folder, plan, prefills, REPLIES)
    if len(replies) < _FEWEST:
        raise InputError(f"{folder.path}: {len(replies)} replies to score are too few")
    gate = asyncio.Semaphore(max(1, model.concurrency))

    async def pair(reply: Recorded) -> tuple[float, float]:
        async with gate:
            request = Request(reply.messages, reply.prefill, reply.sampling, reply.seed)
            fresh = (await model.generate(request)).text
            return (
                await _mean_logprob(model, reply, reply.text),
                await _mean_logprob(model, reply, fresh),
            )

    try:
        await model.start()
        pairs = await asyncio.gather(*map(pair, replies))
    finally:
        await model.close()
    # an empty fresh reply has no tokens to be likely
    return _compared([both for both in pairs if not any(map(math.isnan, both))], weights)


async def _mean_logprob(scorer: Scorer, reply: Recorded, text: str) -> float:
    tokens = await scorer.score_text(reply.messages, reply.prefill, text)
    return statistics.fmean(token.logprob for token in tokens) if tokens else math.nan


def _compared(pairs: Sequence[tuple[float, float]], weights: str) -> Authorship:
    differences = [recorded - own for recorded, own in pairs]
    mean, n = statistics.fmean(differences), len(pairs)
    half = student_t(n - 1) * statistics.stdev(differences) / math.sqrt(n) if n > 1 else math.inf
    return Authorship(
        weights=weights,
        replies=n,
        recorded=round(statistics.fmean(recorded for recorded, _ in pairs), 6),
        own=round(statistics.fmean(own for _, own in pairs), 6),
        difference=round(mean, 6),
        low=round(mean - half, 6),
        high=round(mean + half, 6),
    )


def sample(folder: SubmissionFolder, plan: Plan, prefills: bool, count: int) -> list[Recorded]:
    """Returns recorded replies of at most `count` episodes, one of each, drawn by the digest."""
    digest = folder.digest()
    drawn = (
        (int(sha256_hex([digest, number])[:16], 16), number) for number, _ in folder.episodes()
    )
    wanted = {number: draw for draw, number in heapq.nsmallest(count, drawn)}
    return list(_chosen(folder, Order(plan), prefills, wanted))


def _chosen(
    folder: SubmissionFolder, order: Order, prefills: bool, wanted: dict[int, int]
) -> Iterator[Recorded]:
    for number, logged in folder.episodes():
        planned = order.place(logged) if number in wanted else None
        if planned is None or not logged.turns:
            continue
        _, spec = planned
        last = wanted[number] % len(logged.turns)
        found = _recorded(spec, prefills, logged.turns[: last + 1], wanted[number])
        if found is not None:
            yield found


def _recorded(
    spec: EpisodeSpec, prefills: bool, turns: Sequence[Turn], seed: int
) -> Recorded | None:
    """Returns the last of some turns as it was asked; None where nothing was written."""
    config = spec.task.config
    prefill = spec.task.format.prefill if prefills else ""
    rollout = Rollout(spec, prefill)
    messages: tuple[Message, ...] = ()
    for turn in turns:
        messages = rollout.ask()
        rollout.answer(Answer.of(turn))
    last = turns[-1]
    if last.choice_logprobs is not None or not last.reply.removeprefix(prefill):
        return None
    begun = prefill if last.reply.startswith(prefill) else ""
    sampling = config.sampling
    return Recorded(
        messages=messages,
        prefill=begun,
        text=last.reply.removeprefix(begun),
        sampling=Sampling(sampling.temperature, sampling.top_p, config.limits.new_tokens),
        seed=seed >> 1,
    )


def hash_weights(folder: Path) -> str:
    """Returns the SHA-256 over names and contents of a checkpoint's weight files.

    Raises:
        InputError: if it has none.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder}: no weights (*.safetensors)")
    digests: list[list[str]] = []
    for path in files:
        with path.open("rb") as file:
            digests.append([path.name, hashlib.file_digest(file, "sha256").hexdigest()])
    return sha256_hex(digests)
