"""The one episode loop. Evaluation, self-play and training rollouts all call `play`.

A turn: show the state, ask the model, read its reply, execute its actions one by one. What an
action leads to is drawn from the kernel by a keyed number, so an episode is a pure function of
the salt and the model's replies; `rollout` computes it.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, cast, get_args

from spa_bench.errors import (
    ModelError,
    ModelGoneError,
    OutOfBudgetError,
    PluginError,
    plugin_code,
)
from spa_bench.models.model import (
    Message,
    Model,
    Privileged,
    Reply,
    Request,
    Sampling,
    StopReason,
    model_code,
)
from spa_bench.models.ranking import likeliest
from spa_bench.runner import chance
from spa_bench.runner.record import Episode, TurnTokens, TurnUsage
from spa_bench.runner.rollout import Answer, EpisodeSpec, Rollout
from spa_bench.runner.watchdog import HangError

__all__ = ["EpisodeSpec", "play"]

_STOP_REASONS = get_args(StopReason)


async def play(spec: EpisodeSpec, model: Model) -> Episode:
    """Plays one episode from its first turn to its end.

    Failures of the model's backend become an episode of status `infrastructure`, and so do those
    of a plug-in: a world, a format or a model that raises, or does not come back.

    Raises:
        ModelGoneError: if the backend cannot answer anything any more.
        OutOfBudgetError: if not even the first call may be sent; the episode has not begun.
        PluginError: if a world cannot even say whether its board is solved already.
    """
    started = max(0.0, time.time())  # a clock may stand before 1970, where no log begins
    clock = time.perf_counter()
    episode = await _played(spec, model)
    seconds = time.perf_counter() - clock
    return replace(episode, started=round(started, 6), seconds=round(seconds, 6))


async def _played(spec: EpisodeSpec, model: Model) -> Episode:
    prefill = spec.task.format.prefill if model.capabilities.prefill else ""
    try:
        with _guarded(spec):
            rollout = Rollout(spec, prefill)
    except HangError as error:
        raise PluginError(f"task {spec.task.name!r} {error}") from None
    try:
        return await _turns(rollout, model)
    except PluginError as error:
        return rollout.end(error=_storable(str(error)))
    except HangError as error:
        return rollout.end(error=_storable(f"task {spec.task.name!r} {error}"))


def _guarded(spec: EpisodeSpec) -> AbstractContextManager[None]:
    """Turns what the task's world or format raises within into a PluginError."""
    return plugin_code(f"task {spec.task.name!r} broke: its world or its format")


async def _turns(rollout: Rollout, model: Model) -> Episode:
    spec, prefill = rollout.spec, rollout.prefill
    # a model that appends to its last prompt can do so only if the history drops no turn
    extends = model.capabilities.append_only and spec.task.config.history == "full"
    token_prefix: tuple[int, ...] | None = None
    while not rollout.over:
        with _guarded(spec):
            request = _request(rollout, rollout.ask(), model, token_prefix)
        started = time.perf_counter()
        try:
            with model_code(model):
                reply = await _reply(model, request)
                seconds = time.perf_counter() - started
                answered = _as_logged(reply, prefill, seconds, spec.log_tokens)
                token_prefix = _token_prefix(reply) if extends else None
        except ModelGoneError:
            raise
        except ModelError as error:
            if isinstance(error, OutOfBudgetError) and not rollout.turns:
                raise
            return rollout.end(error=_storable(str(error)))
        with _guarded(spec):
            rollout.answer(answered)
    with _guarded(spec):
        return rollout.end()


async def _reply(model: Model, request: Request) -> Reply:
    """Asks the model.

    Raises:
        PluginError: if what it returns is not what the protocol says.
    """
    ranks = request.choices and not model.capabilities.privileged
    reply: Any = await (likeliest(model, request) if ranks else model.generate(request))
    what = f"model {model.name!r} returned"
    if not isinstance(reply, Reply):
        raise PluginError(f"{what} {reply!r:.60}, which is no Reply")
    if not isinstance(cast(Any, reply.text), str):
        raise PluginError(f"{what} a Reply whose text is {reply.text!r:.60}")
    if reply.stop_reason not in _STOP_REASONS:
        raise PluginError(
            f"{what} a Reply whose stop_reason is {reply.stop_reason!r:.60}, which is none of"
            f" {', '.join(_STOP_REASONS)}"
        )
    return reply


def _as_logged(reply: Reply, prefill: str, seconds: float, log_tokens: bool) -> Answer:
    return Answer(
        message=_storable((prefill if reply.prefilled else "") + reply.text),
        stop_reason=reply.stop_reason,
        reasoning=None if reply.reasoning is None else _storable(reply.reasoning),
        usage=_usage(reply),
        seconds=round(seconds, 6),
        tokens=_tokens(reply) if log_tokens else None,
        choice_logprobs=reply.choice_logprobs,
    )


def _token_prefix(reply: Reply) -> tuple[int, ...] | None:
    if reply.prompt_ids is None or reply.completion_ids is None:
        return None
    return reply.prompt_ids + reply.completion_ids


def _request(
    rollout: Rollout,
    messages: tuple[Message, ...],
    model: Model,
    token_prefix: tuple[int, ...] | None,
) -> Request:
    spec, task = rollout.spec, rollout.spec.task
    config, environment = task.config, task.environment
    return Request(
        messages=messages,
        prefill=rollout.prefill,
        sampling=Sampling(
            config.sampling.temperature,
            config.sampling.top_p,
            spec.new_tokens or config.limits.new_tokens,
        ),
        seed=chance.sampling_seed(
            spec.salt,
            environment.environment_id,
            spec.instance.id,
            spec.repeat,
            len(rollout.turns),
            config.task,
            model.name,
        ),
        episode=f"{task.name}/{spec.instance.id}/{spec.repeat}",
        token_prefix=token_prefix,
        choices=rollout.choices(),
        privileged=Privileged(
            environment=environment,
            start=spec.instance.state,
            state=rollout.state,
            turns_left=rollout.turns_left,
            actions_left=rollout.actions_left,
            limits=task.limits,
            compose=task.format.compose,
            observation=config.observation,
        )
        if model.capabilities.privileged
        else None,
    )


def _storable(text: str) -> str:
    """Returns the text with what UTF-8 cannot hold (lone surrogates) as question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _usage(reply: Reply) -> TurnUsage:
    usage = reply.usage
    return TurnUsage(
        usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.reasoning_tokens
    )


def _tokens(reply: Reply) -> TurnTokens | None:
    if reply.prompt_ids is None or reply.completion_ids is None:
        return None
    return TurnTokens(reply.prompt_ids, reply.completion_ids, reply.logprobs)
