"""Teacher forcing: the log-probabilities of given tokens.

Plausible answers to one question share their prompt. It is read once, and its keys and values
serve all of them.

Torch is imported at module level: import this file only where a model is about to run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from spa_bench.models.hf_batcher import Job
from spa_bench.models.hf_forward import Forward, growing_cache

_PADDING = 16
"""Jobs of unlike lengths are scored apart if padding would be over a sixteenth of a pass."""
_LOGITS = 2**28
"""The most logits of one pass: 1 GiB in float32."""


def batches(jobs: Iterable[Job], most_tokens: int, vocabulary: int) -> Iterator[list[Job]]:
    """Cuts jobs into batches for `score`: equal prompts together, and then like lengths.

    Args:
        jobs: with tokens to score.
        most_tokens: that a batch may read, padding included.
        vocabulary: logits of a token.
    """
    batch: list[Job] = []
    prompts = read = 0  # different prompts in the batch; its tokens without padding
    for job in sorted(jobs, key=lambda job: (len(job.prompt), job.prompt, len(_given(job)))):
        new = not batch or job.prompt != batch[-1].prompt
        longest = max(len(_given(job)), *map(len, map(_given, batch)), 0)
        padded = (prompts + new) * len(job.prompt) + (len(batch) + 1) * longest
        own = new * len(job.prompt) + len(_given(job))
        if batch and (
            padded > most_tokens
            or (padded - read - own) * _PADDING > most_tokens
            or (len(batch) + 1) * longest * vocabulary > _LOGITS
        ):
            yield batch
            batch, prompts, read = [], 0, 0
            new, own = True, len(job.prompt) + len(_given(job))
        batch.append(job)
        prompts, read = prompts + new, read + own
    if batch:
        yield batch


def score(forward: Forward, jobs: list[Job]) -> None:
    """Fills in the log-probability of each token of `given` of every job (temperature 1)."""
    number = {prompt: i for i, prompt in enumerate(dict.fromkeys(job.prompt for job in jobs))}
    ids, starts = forward.padded(list(number))
    longest = max(len(_given(job)) for job in jobs)
    past = growing_cache()
    first = forward(ids, starts, past, 0, keep=1)
    following = first.new_empty(len(jobs), 0, first.shape[-1])
    if longest > 1:
        rows = forward.on_device([number[job.prompt] for job in jobs])
        if len(number) < len(jobs):
            past.batch_select_indices(rows)
        # What stands right of a row is seen by no token of it; the last token of all is not read.
        given = [[*_given(job), *[0] * (longest - len(_given(job)))][:-1] for job in jobs]
        read = forward.on_device(given)
        following = forward(read, starts[rows], past, ids.shape[1], keep=longest - 1)
    for row, job in enumerate(jobs):
        chosen = forward.on_device(list(_given(job)))[:, None]
        logits = torch.cat([first[number[job.prompt]], following[row, : len(chosen) - 1]])
        logprobs = logits.log_softmax(-1, dtype=torch.float32).gather(-1, chosen)
        job.completion = list(_given(job))
        job.logprobs = [float(logprob) for logprob in logprobs[:, 0]]
        job.stop_reason = "stop"


def _given(job: Job) -> tuple[int, ...]:
    return job.given or ()
