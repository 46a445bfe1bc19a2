"""The record of an episode: what one line of `episodes.jsonl` says.

The record is the truth: results, tables and pages are computed from it and from nothing else.
Times aside, it is a pure function of the run's salt, its tasks and what the model answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

from pydantic import FailFast, Field, FiniteFloat, TypeAdapter

from spa_bench.environments.environment import Facts
from spa_bench.task import MOST_REPEATS

EPISODE_SCHEMA: Final = "spa-bench/episode/1"

Status: TypeAlias = Literal["complete", "infrastructure"]

Failure: TypeAlias = str
"""Why a complete episode did not succeed; one of `FAILURES`, or the environment's own loss."""

FAILURES: Mapping[str, str] = {
    "format": "no reply could be read as the format asks",
    "invalid": "replies were well-formed but named no valid action",
    "truncated": "nothing was executed, and most replies ran into the token limit",
    "ineffective": "actions were executed and none of them changed anything",
    "hole": "the player fell into a hole",
    "wrong": "the answer to a probe is not right",
    "lost": "a world from elsewhere ended the episode without success",
    "dead_end": "the last state is one from which success cannot be reached",
    "budget": "turns or actions ran out on the way",
}

ParseStatus: TypeAlias = Literal["ok", "partial", "invalid", "format"]
"""ok: every action named is valid; partial: some are; invalid: none is; format: no answer."""

Count: TypeAlias = Annotated[int, Field(ge=0, lt=2**53)]
"""A number of things; small enough that sums and shares of it are exact in a float."""

_V = TypeVar("_V")

Listed: TypeAlias = Annotated[list[_V], Field(fail_fast=True)]
Named: TypeAlias = Annotated[dict[str, _V], Field(fail_fast=True)]
"""Of files that anybody may have written: else an error of a kilobyte is kept for every element."""

_Ids: TypeAlias = Annotated[tuple[int, ...], FailFast()]

LoggedFacts: TypeAlias = Named[Listed[Listed[int | str]]]
"""Facts as JSON: object kind -> sorted [row, column] or [row, column, value]."""


@dataclass(frozen=True, slots=True)
class TurnUsage:
    """Tokens of one turn; None where the backend does not say."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    cached_tokens: Count | None = None
    reasoning_tokens: Count | None = None


@dataclass(frozen=True, slots=True)
class TurnTokens:
    """Token ids of one turn, with `--log-tokens`: what was sent, what was sampled, how likely.

    A log-probability that is no finite number stands as null: JSON has no infinities.
    """

    prompt_ids: _Ids
    completion_ids: _Ids
    logprobs: Annotated[tuple[float | None, ...] | None, FailFast()] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One question and what came of it.

    Attributes:
        state: the grid before the turn.
        prompt_sha256: of the canonical JSON of [messages, prefill] as they were sent.
        reply: the whole assistant message, prefill included where the backend continued it.
        reasoning: what the backend returned apart from the message.
        actions: the valid ones of the first `actions_per_turn`, as the environment writes them.
        executed: how many of them were executed.
        outcomes: for each executed action, which of the kernel's outcomes happened.
        reward: the environment's reward over the turn.
        facts_observed, facts_predicted: what the reply says about the state before and after;
            None where it says nothing readable.
        seconds: wall time of the model call.
        choice_logprobs: where the model ranked given replies and wrote none: the log-probability
            of each, in the order of the kernel's actions.
    """

    state: str
    prompt_sha256: str
    reply: str
    reasoning: str | None = None
    stop_reason: str
    parse: ParseStatus
    actions: Annotated[tuple[str, ...], FailFast()]
    executed: Count
    outcomes: _Ids
    reward: Annotated[float, Field(allow_inf_nan=False)]
    facts_observed: LoggedFacts | None = None
    facts_predicted: LoggedFacts | None = None
    usage: TurnUsage = field(default_factory=TurnUsage)
    seconds: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    tokens: TurnTokens | None = None
    choice_logprobs: Annotated[tuple[FiniteFloat, ...] | None, FailFast()] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One board played once.

    Attributes:
        task: the task's name, with `*` where an option changed it; task_hash says what it means.
        instance: such as `sokoban/6x6-1/ragen/123`.
        repeat: from 0.
        status: `infrastructure` episodes broke through no fault of the model; they are owed again
            and never scored.
        failure: None for successes and infrastructure.
        error: what broke, for infrastructure.
        started: when it began, in seconds since 1970, UTC. seconds: how long it took. Times are no
            part of what an episode is: two that differ in nothing else are equal.
    """

    schema: Literal["spa-bench/episode/1"]
    task: str
    task_hash: str
    instance: str
    board_key: str
    repeat: Annotated[int, Field(ge=0, lt=MOST_REPEATS)]
    status: Status
    success: bool
    failure: Failure | None = None
    turns: Annotated[tuple[Turn, ...], FailFast()]
    error: str | None = None
    started: Annotated[float, Field(ge=0, le=1e12)] | None = field(default=None, compare=False)
    seconds: Annotated[float, Field(ge=0, le=1e9)] | None = field(default=None, compare=False)


@cache
def episode_adapter() -> TypeAdapter[Episode]:
    """Returns the (de)serialiser of episodes; also the source of the published schema."""
    return TypeAdapter(Episode)


def to_line(episode: Episode) -> bytes:
    """Returns the episode as one line of JSON, line feed included."""
    return episode_adapter().dump_json(episode, exclude_none=True) + b"\n"


def facts_to_log(facts: Facts | None) -> LoggedFacts | None:
    """Returns facts in the form the log keeps them, in a fixed order."""
    if facts is None:
        return None
    return {
        kind: [[r, c, value] if value else [r, c] for (r, c), value in sorted(facts[kind])]
        for kind in sorted(facts)
    }


def facts_from_log(logged: LoggedFacts | None) -> Facts | None:
    """Returns facts as the log keeps them in the form everything else works with.

    What a log says that nobody can have written, such as a position without a column, is left out.
    """
    if logged is None:
        return None
    return {
        kind: frozenset(
            ((row, col), str(value[0]) if value else "")
            for row, col, *value in (place for place in places if len(place) >= 2)
            if isinstance(row, int) and isinstance(col, int)
        )
        for kind, places in logged.items()
    }
