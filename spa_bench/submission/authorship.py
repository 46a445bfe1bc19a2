"""Did these weights write these replies? Teacher-forcing the record, beside the weights' own words.

A sample of the recorded replies is scored token by token under the weights, and so is a fresh reply
to each of the same prompts, sampled as the task samples. Had the weights written the record, the
two would differ by chance alone. Text by somebody else, or of a solver, is less likely; text that
was drawn colder than claimed is more likely. Where the model ranked given replies, the recorded
log-probabilities are set beside those that the weights give to the same replies.

The sample is drawn by a nonce that is chosen only now; `sample` says how.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from spa_bench.errors import InputError
from spa_bench.metrics.interval import student_t
from spa_bench.models.model import Model, Request, Scorer, model_code
from spa_bench.runner.plan import Plan
from spa_bench.submission.folder import SubmissionFolder
from spa_bench.submission.sample import Recorded, sample
from spa_bench.submission.schema import Authorship, Flag, RankedItems, Verification
from spa_bench.submission.verify import Report
from spa_bench.submission.weights import hash_weights

REPLIES = 64
"""How many replies are scored, unless told otherwise."""

_FEWEST = 8

TOLERANCE = 0.1
"""Nats a token that the record may differ by for reasons of its own, such as quantisation."""

RESOLUTION = 0.5
"""Nats a token: a larger difference must show, or too little was scored to say anything."""


async def authored(
    folder: SubmissionFolder,
    report: Report,
    model: Model,
    weights: Path,
    replies: int = REPLIES,
    nonce: str | None = None,
) -> Verification:
    """Returns the verification of a replayed submission with what the weights say to it.

    Args:
        report: of the submission's replay, without a difference.
        model: with the weights; started and closed here.
        weights: their folder.
        replies: to score, about.
        nonce: of an earlier check, to repeat it; None for a new one.

    Raises:
        InputError: for a model that cannot score, too few replies, or a folder without weights.
        PluginError: for a model whose code fails.
    """
    plan, verification = report.plan, report.verification
    if plan is None or verification is None:
        raise InputError(f"{folder.path} was not replayed; nothing is known of its replies")
    digest = hash_weights(weights)
    prefills = report.submission.run.capabilities.get("prefill", False)
    nonce = nonce or secrets.token_hex(16)
    found = await authorship(folder, plan, prefills, model, digest, nonce, replies)
    if plausible(found):
        return verification.model_copy(update={"badge": "authored", "authorship": found})
    flags = [*verification.flags, Flag(kind="unlike_weights", says=says(found))]
    return verification.model_copy(update={"flags": flags, "authorship": found})


def plausible(found: Authorship) -> bool:
    """Returns whether the record looks as if the weights had written it.

    That is so if the 95% interval reaches into the tolerance, and is narrow enough to have told a
    difference that matters. One in twenty honest records misses it by chance; more replies tell.
    Log-probabilities of ranked replies may be off by the tolerance, and in no item by a difference
    that matters.
    """
    half, ranked = (found.high - found.low) / 2, found.ranked
    if ranked is not None and (ranked.difference > TOLERANCE or ranked.largest > RESOLUTION):
        return False
    return half <= RESOLUTION and found.low <= TOLERANCE and found.high >= -TOLERANCE


def says(found: Authorship) -> str:
    """Returns the finding in words."""
    more, ranked = "less" if found.difference < 0 else "more", found.ranked
    written = (
        f"over {found.replies} replies, a recorded token is {abs(found.difference):.2f} nats {more}"
        f" likely under the given weights than one of their own"
        f" (95%: {found.low:+.2f} to {found.high:+.2f})"
    )
    if ranked is None:
        return written
    return (
        f"{written}; over {ranked.items} ranked items, log-probabilities are off by"
        f" {ranked.difference:.2f} nats a token, by {ranked.largest:.2f} in the worst"
    )


async def authorship(
    folder: SubmissionFolder,
    plan: Plan,
    prefills: bool,
    model: Model,
    weights: str,
    nonce: str,
    count: int = REPLIES,
) -> Authorship:
    """Scores a sample of a submission's replies, and as many fresh ones.

    Args:
        folder: of a submission that has been replayed.
        prefills: whether the backend of the run could begin the assistant's messages.
        model: with the claimed weights; started and closed here.
        weights: their hash.
        nonce: decides which replies.
        count: of replies to score.

    Raises:
        InputError: for a model that cannot score a given text, or a submission with too few
            replies.
        PluginError: for a model whose code fails, as with weights that do not fit it.
    """
    if not isinstance(model, Scorer):
        raise InputError(f"{model.name} cannot score a given text; load the weights with hf/")
    replies = sample(folder, plan, prefills, count, nonce)
    written = [reply for reply in replies if not reply.choices]
    ranked = [reply for reply in replies if reply.choices]
    if not written:
        raise InputError(
            f"{folder.path}: the model wrote no reply, it only ranked given ones; weights say who"
            " wrote something"
        )
    if len(written) < _FEWEST:
        raise InputError(
            f"{folder.path}: {len(written)} written replies to score are too few; more --replies"
            " may help"
        )
    gate = asyncio.Semaphore(max(1, model.concurrency))

    async def pair(reply: Recorded) -> tuple[_Scored, _Scored]:
        async with gate:
            request = Request(reply.messages, reply.prefill, reply.sampling, reply.seed)
            fresh = (await model.generate(request)).text
            return await _scored(model, reply, reply.text), await _scored(model, reply, fresh)

    async def off(reply: Recorded) -> float:
        async with gate:
            return await _off(model, reply)

    with model_code(model):
        try:
            await model.start()
            pairs = await asyncio.gather(*map(pair, written))
            offs = await asyncio.gather(*map(off, ranked))
        finally:
            await model.close()
    return _compared(pairs, weights, nonce, _ranking(offs))


class _Scored(NamedTuple):
    """A text under some weights: the sum of its tokens' log-probabilities, and their number."""

    logprob: float
    tokens: int


async def _scored(scorer: Scorer, reply: Recorded, text: str) -> _Scored:
    tokens = await scorer.score_text(reply.messages, reply.prefill, text)
    return _Scored(math.fsum(token.logprob for token in tokens), len(tokens))


async def _off(scorer: Scorer, reply: Recorded) -> float:
    """Returns how far the recorded log-probabilities of choices are off, in nats a token."""
    own = await asyncio.gather(*(_scored(scorer, reply, text) for text, _ in reply.choices))
    recorded = (logprob for _, logprob in reply.choices)
    apart = math.fsum(abs(a.logprob - b) for a, b in zip(own, recorded, strict=True))
    return apart / max(1, sum(text.tokens for text in own))


def _ranking(offs: Sequence[float]) -> RankedItems | None:
    if not offs:
        return None
    mean = math.fsum(offs) / len(offs)
    return RankedItems(items=len(offs), difference=round(mean, 6), largest=round(max(offs), 6))


def _compared(
    pairs: Sequence[tuple[_Scored, _Scored]], weights: str, nonce: str, ranked: RankedItems | None
) -> Authorship:
    """Compares the means over all tokens, paired by prompt.

    Each is a ratio of sums over replies, and the standard error that of its linearisation (Cochran
    1977, Sampling Techniques, section 6.4), with Student's t.
    """
    n = len(pairs)
    recorded, own = ([pair[side] for pair in pairs] for side in (0, 1))
    first, second = _mean(recorded), _mean(own)
    residuals = [
        a - b for a, b in zip(_residuals(recorded, first), _residuals(own, second), strict=True)
    ]
    half = student_t(n - 1) * statistics.stdev(residuals) / math.sqrt(n)
    difference = first - second
    return Authorship(
        weights=weights,
        replies=n,
        recorded=round(first, 6),
        own=round(second, 6),
        difference=round(difference, 6),
        low=round(difference - half, 6),
        high=round(difference + half, 6),
        ranked=ranked,
        nonce=nonce,
    )


def _mean(texts: Sequence[_Scored]) -> float:
    return math.fsum(text.logprob for text in texts) / max(1, sum(text.tokens for text in texts))


def _residuals(texts: Sequence[_Scored], mean: float) -> list[float]:
    each = max(1, sum(text.tokens for text in texts)) / len(texts)
    return [(text.logprob - mean * text.tokens) / each for text in texts]
