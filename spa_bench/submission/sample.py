"""Which of the recorded replies are scored: of every task its share, drawn by a nonce.

The nonce is chosen after the submission was made, so whoever made it could not know the draw. With
the same nonce the same replies are drawn again.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from spa_bench.canonical import sha256_hex
from spa_bench.errors import InputError
from spa_bench.models.model import Message, Sampling
from spa_bench.runner.plan import Plan
from spa_bench.runner.record import Turn
from spa_bench.runner.rollout import Answer, EpisodeSpec, Rollout
from spa_bench.submission.folder import SubmissionFolder
from spa_bench.submission.order import Order


@dataclass(frozen=True)
class Recorded:
    """A recorded reply, less the prefill, and what it answers.

    Attributes:
        choices: where the model ranked given replies and wrote none: each of them, less the
            prefill, with its recorded log-probability.
    """

    messages: tuple[Message, ...]
    prefill: str
    text: str
    sampling: Sampling
    seed: int
    choices: tuple[tuple[str, float], ...] = ()


def sample(
    folder: SubmissionFolder, plan: Plan, prefills: bool, count: int, nonce: str
) -> list[Recorded]:
    """Returns recorded replies of about `count` complete episodes, one of each.

    Args:
        folder: of a submission that has been replayed.
        prefills: whether the backend of the run could begin the assistant's messages.
        nonce: decides which.

    Raises:
        InputError: for a ranked reply without log-probabilities: nothing of it can be scored.
    """
    return list(_chosen(folder, Order(plan), prefills, drawn(plan, count, nonce)))


def drawn(plan: Plan, count: int, nonce: str) -> dict[int, int]:
    """Returns the places of the episodes drawn, each with a number that chooses its turn.

    Every task has an equal share, and at least one; what is left over goes to tasks by the nonce.
    """
    lucky = sorted(range(len(plan.tasks)), key=lambda i: sha256_hex([nonce, plan.tasks[i].hash]))
    each, left = divmod(count, len(plan.tasks))
    found: dict[int, int] = {}
    first = 0
    for i, (task, repeats) in enumerate(zip(plan.tasks, plan.repeats, strict=True)):
        places = range(first, first + len(plan.boards(task)) * repeats)
        share = max(1, each + (i in lucky[:left]))
        draws = ((int(sha256_hex([nonce, place])[:16], 16), place) for place in places)
        found |= {place: draw for draw, place in heapq.nsmallest(share, draws)}
        first = places.stop
    return found


def _chosen(
    folder: SubmissionFolder, order: Order, prefills: bool, wanted: Mapping[int, int]
) -> Iterator[Recorded]:
    for _, logged in folder.episodes():
        planned = order.place(logged) if logged.status == "complete" and logged.turns else None
        if planned is None or planned[0] not in wanted:
            continue
        place, spec = planned
        last = wanted[place] % len(logged.turns)
        found = _recorded(spec, prefills, logged.turns[: last + 1], wanted[place])
        if found is not None:
            yield found


def _recorded(
    spec: EpisodeSpec, prefills: bool, turns: Sequence[Turn], seed: int
) -> Recorded | None:
    """Returns the last of some turns as it was asked; None where nothing was written."""
    config = spec.task.config
    prefill = spec.task.format.prefill if prefills else ""
    rollout = Rollout(spec, prefill)
    messages, choices = rollout.ask(), rollout.choices()
    for turn in turns[:-1]:
        rollout.answer(Answer.of(turn))
        messages, choices = rollout.ask(), rollout.choices()
    last = turns[-1]
    if not last.reply.removeprefix(prefill):
        return None
    begun = prefill if choices or last.reply.startswith(prefill) else ""
    sampling = config.sampling
    return Recorded(
        messages=messages,
        prefill=begun,
        text=last.reply.removeprefix(begun),
        sampling=Sampling(sampling.temperature, sampling.top_p, config.limits.new_tokens),
        seed=seed >> 1,
        choices=_ranked(spec, begun, choices, last.choice_logprobs) if choices else (),
    )


def _ranked(
    spec: EpisodeSpec, prefill: str, choices: Sequence[str], logprobs: Sequence[float] | None
) -> tuple[tuple[str, float], ...]:
    if logprobs is None:
        where = f"{spec.task.name} {spec.instance.id}"
        raise InputError(f"{where}: ranked, and without log-probabilities: nothing can be scored")
    endings = (choice.removeprefix(prefill) for choice in choices)
    return tuple(zip(endings, logprobs, strict=True))
