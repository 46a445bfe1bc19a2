"""Choosing instead of writing: the likeliest of some given replies, by a model that can score.

A reply's score is the sum of the log-probabilities of its tokens, its end included, so that no
length is favoured by a rule of ours.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence

from spa_bench.errors import InputError, ModelError
from spa_bench.models.model import Message, Model, Reply, Request, ScoredToken, Scorer


def can_rank(model: Model) -> bool:
    """Returns whether a model can choose: it can score a text, or is a baseline."""
    return model.capabilities.privileged or isinstance(model, Scorer)


def check_scores(model: Model, what: str) -> Scorer:
    """Returns the model as one that scores texts; `what` needs it.

    Raises:
        InputError: if it is none.
    """
    if not isinstance(model, Scorer):
        raise InputError(
            f"{what} needs the log-probabilities of a given text, which {model.name} does not"
            " return: take a local checkpoint (hf/), or a server's completions that echo prompts"
            " (openai/ with --model-args api=completions)"
        )
    return model


def total_logprob(tokens: Sequence[ScoredToken]) -> float:
    """Returns the log-probability of a text from those of its tokens.

    Raises:
        ModelError: if it is no finite number.
    """
    logprob = math.fsum(token.logprob for token in tokens)
    if not math.isfinite(logprob):
        raise ModelError("a log-probability is no finite number")
    return logprob


async def total_logprobs(
    scorer: Scorer, messages: Sequence[Message], prefill: str, endings: Sequence[str]
) -> list[float]:
    """Returns the log-probability of each of several endings of one reply, all asked for at once.

    Raises:
        ModelError: if one cannot be scored, or its score is no finite number.
        ModelGoneError: if nothing can be scored any more.
    """
    # a task group would wrap the first error; gather raises it as it is, and the rest may end
    scores = await asyncio.gather(*(scorer.score_text(messages, prefill, e) for e in endings))
    return list(map(total_logprob, scores))


async def likeliest(model: Model, request: Request) -> Reply:
    """Answers a request with the one of its `choices` that the model finds likeliest.

    Of equally likely ones one by the request's seed, so that to find all of them equally likely is
    to guess.

    Raises:
        ModelError: if the model cannot score, or not this.
        ModelGoneError: if it can score nothing any more.
    """
    if not isinstance(model, Scorer):
        raise ModelError(f"{model.name} returns no log-probabilities of a given text")
    endings = [choice.removeprefix(request.prefill) for choice in request.choices]
    logprobs = await total_logprobs(model, request.messages, request.prefill, endings)
    most = max(logprobs)
    best = random.Random(request.seed).choice([i for i, p in enumerate(logprobs) if p == most])
    return Reply(
        text=endings[best],
        stop_reason="stop",
        prefilled=request.choices[best].startswith(request.prefill),
        choice_logprobs=tuple(round(logprob, 6) for logprob in logprobs),
    )
