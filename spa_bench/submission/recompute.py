"""One logged episode, made again from the board, the salt and the logged replies alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_args

from spa_bench.models.model import StopReason
from spa_bench.runner.record import Episode, Turn
from spa_bench.runner.rollout import Answer, EpisodeSpec, Rollout

_REPORTED = frozenset(
    {"reply", "reasoning", "stop_reason", "usage", "seconds", "tokens", "choice_logprobs"}
)
"""What only the model and its backend can know of a turn; all else follows from it."""

_FOLLOWS = tuple(field.name for field in fields(Turn) if field.name not in _REPORTED)

_STOP_REASONS = get_args(StopReason)

_ROUNDING = 2e-6
"""Log-probabilities of choices are rounded to six digits in the log."""

_LEAST = -1e6
"""No model finds a reply less likely."""


def recompute(
    spec: EpisodeSpec, logged: Episode, prefill: str, *, privileged: bool = False
) -> tuple[Episode, list[str]]:
    """Plays an episode again with the replies of the log.

    Args:
        spec: the episode as the plan has it.
        logged: as the log has it; of the same board and repeat.
        prefill: how every assistant message begins, '' where the backend could not begin it.
        privileged: whether the player was shown the state itself, as baselines are; these choose
            without log-probabilities.

    Returns:
        The episode as it must have been, and what differs from it in the log, turn by turn; of an
        episode that went another way, only where it first did.
    """
    rollout = Rollout(spec, prefill)
    for number, turn in enumerate(logged.turns, 1):
        if rollout.over:
            return rollout.end(logged.error), [
                f"turn {number} comes after the end; the episode has {number - 1}"
            ]
        rollout.ask()
        choices = rollout.choices()
        made = rollout.answer(Answer.of(turn))
        whats = [] if made == turn else list(_differences(turn, made))
        whats += _unfit(turn, choices, privileged)
        if whats:
            return rollout.end(logged.error), [f"turn {number}: {what}" for what in whats]
    complete = logged.status == "complete"
    if complete and not rollout.over:
        says = f"ends after turn {len(logged.turns)}, though there were turns and actions left"
        return rollout.end(), [says]
    if not complete and rollout.over:
        return rollout.end(logged.error), ["broke, it says, but it had come to its end"]
    made = rollout.end(logged.error if complete else logged.error or "")
    return made, [] if made == logged else list(_differences(logged, made))


def _differences(logged: Any, made: Any) -> Iterator[str]:
    """Yields the fields in which two episodes or two turns differ."""
    names = _FOLLOWS if isinstance(logged, Turn) else [field.name for field in fields(logged)]
    for name in names:
        said, is_so = getattr(logged, name), getattr(made, name)
        if said != is_so:
            yield f"{name} is {is_so!r:.160}, not {said!r:.160}{_step(name, said, is_so)}"


def _unfit(turn: Turn, choices: tuple[str, ...], privileged: bool) -> Iterator[str]:
    """Yields what a backend cannot have reported: another end, or a choice that it did not make."""
    if turn.stop_reason not in _STOP_REASONS:
        yield f"stop_reason is one of {', '.join(_STOP_REASONS)}, not {turn.stop_reason!r:.60}"
    logprobs = turn.choice_logprobs
    if choices and turn.reply not in choices:
        yield "reply is none of the choices"
    elif logprobs is None:
        if choices and not privileged:
            yield "choice_logprobs are missing, and without them there was no choice"
    elif len(logprobs) != len(choices):
        yield f"choice_logprobs are {len(logprobs)}, and there are {len(choices)} choices"
    elif logprobs[choices.index(turn.reply)] < max(logprobs) - _ROUNDING:
        yield "reply is not the choice with the highest of choice_logprobs"
    elif not _LEAST <= min(logprobs) <= max(logprobs) <= _ROUNDING:
        yield "choice_logprobs are not logarithms of probabilities"


def _step(name: str, said: Any, is_so: Any) -> str:
    """Returns which of a turn's actions it is that differs, where that can be said."""
    if name not in ("actions", "outcomes"):
        return ""
    pairs = zip(said, is_so, strict=False)
    step = next((i for i, (a, b) in enumerate(pairs, 1) if a != b), None)
    return "" if step is None else f" (at action {step})"
