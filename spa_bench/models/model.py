"""The protocol between the episode loop and anything that answers.

One call, `generate(Request) -> Reply`. What a backend can do beyond text is declared in its
`Capabilities` and checked before the first turn; nothing is discovered by failing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from spa_bench.environments.environment import AnyEnvironment
from spa_bench.environments.limits import Limits
from spa_bench.errors import plugin_code
from spa_bench.formats.format import Content

Role: TypeAlias = Literal["system", "user", "assistant"]

StopReason: TypeAlias = Literal["stop", "length", "content_filter"]
"""Why a model stopped: by itself or at a stop string, at its token limit, or by a filter."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample.

    Attributes:
        temperature: 0 is greedy.
        top_p: nucleus, 1 is off.
        new_tokens: the most tokens of visible reply.
        stop: the reply ends before any of these strings.
    """

    temperature: float
    top_p: float
    new_tokens: int
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Privileged:
    """What baselines get to see and models never do: the true state and the limits left."""

    environment: AnyEnvironment
    start: Any
    state: Any
    turns_left: int
    actions_left: int
    limits: Limits
    compose: Callable[[Content], str]
    observation: str


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a model.

    Attributes:
        messages: the conversation; the last message is the user's.
        prefill: how the assistant's message begins. A backend with the `prefill` capability
            continues it; any other is asked without it.
        seed: keyed by board, repeat, turn, task and model; nonnegative, below 2**63.
        episode: equal for all turns of one episode, so that a backend may keep its cache.
        token_prefix: the token ids of all earlier turns as they were sent and sampled; only for
            backends with `tokens`.
        choices: where a model ranks and does not write: whole replies, prefill included, of which
            the likeliest is its answer; see `models.ranking`.
        privileged: None for every model but a baseline.
    """

    messages: tuple[Message, ...]
    prefill: str
    sampling: Sampling
    seed: int
    episode: str = ""
    token_prefix: tuple[int, ...] | None = None
    choices: tuple[str, ...] = ()
    privileged: Privileged | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, as the backend counts them; None where it does not say.

    Attributes:
        prompt_tokens: read. cached_tokens: of these, served from a cache.
        completion_tokens: written, reasoning included. reasoning_tokens: of these, reasoning.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered.

    Attributes:
        text: the visible reply, without the prefill where the backend continued it.
        prefilled: whether `text` continues the request's prefill.
        reasoning: reasoning that the backend returns apart from the reply.
        prompt_ids, completion_ids, logprobs: token ids, and the log-probability of each
            completion token under the model (natural logarithm, temperature 1, before top_p);
            only from backends with `tokens` and `logprobs`.
        choice_logprobs: of each of the request's `choices`, where there were some to rank.
    """

    text: str
    stop_reason: StopReason
    usage: Usage = field(default_factory=Usage)
    prefilled: bool = False
    reasoning: str | None = None
    prompt_ids: tuple[int, ...] | None = None
    completion_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None
    choice_logprobs: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do beyond returning text.

    Attributes:
        prefill: continues an assistant message that has begun.
        seed: honours `Request.seed`.
        logprobs, tokens: returns log-probabilities, token ids.
        append_only: a later turn's tokens extend the earlier ones, so trained tokens are the
            sampled tokens.
        privileged: is a baseline and sees the true state.
        deterministic: the same request always has the same reply.
    """

    prefill: bool = False
    seed: bool = False
    logprobs: bool = False
    tokens: bool = False
    append_only: bool = False
    privileged: bool = False
    deterministic: bool = False


class Model(Protocol):
    """A backend with a model loaded or reachable.

    Attributes:
        name: as the user wrote it, such as `openai/gpt-5`; part of the identity of a run.
        capabilities: what it can do.
        concurrency: how many requests it would like in flight.
    """

    name: str
    capabilities: Capabilities
    concurrency: int

    def identity(self) -> Mapping[str, Any]:
        """Returns the settings that change what the model answers, for run.json and resume."""
        ...

    async def start(self) -> None:
        """Makes the first contact.

        Raises:
            InputError: at once, with what to do, if the model cannot be used at all: no server,
                a wrong key, a model that does not exist.
        """
        ...

    async def generate(self, request: Request) -> Reply:
        """Answers one request.

        Raises:
            ModelError: if this one cannot be answered.
            ModelGoneError: if no request can be answered any more.
        """
        ...

    async def close(self) -> None:
        """Gives back connections, threads and memory."""
        ...


def model_code(model: Model, doing: str = "") -> AbstractContextManager[None]:
    """Returns what turns any exception of a model's own code into a PluginError of one line.

    Args:
        model: whose code runs within.
        doing: what it does there, such as `perplexity`, for the message.
    """
    return plugin_code(f"{doing} of model {model.name!r}" if doing else f"model {model.name!r}")


class ScoredToken(NamedTuple):
    """A token of a given text, and its log-probability (natural logarithm, temperature 1)."""

    text: str
    logprob: float


@runtime_checkable
class Trained(Protocol):
    """A model that says which boards it was trained on; `isinstance` tells which does.

    Attributes:
        trained_boards: world -> short keys, as `spa_bench.checkpoint` has them; empty if it was
            trained on none or does not say.
    """

    trained_boards: Mapping[str, frozenset[str]]


@runtime_checkable
class Scorer(Protocol):
    """A model that can also say how likely a given reply is; `isinstance` tells which can."""

    async def score_text(
        self, messages: Sequence[Message], prefill: str, text: str
    ) -> tuple[ScoredToken, ...]:
        """Returns the tokens of `text` as the continuation of a reply that begins with `prefill`.

        Prompt and text are tokenized together, as a model reads them. A token that begins in the
        prompt and ends in the text counts with the text, so the pieces spell the text or a little
        more before it.

        Args:
            messages: the conversation; the last message is the user's.
            prefill: how the reply begins; not scored.
            text: what is scored; nothing comes back for an empty one.

        Raises:
            InputError: if the backend turns out to be unable to score.
            ModelError: if this text cannot be scored, such as one beyond the context window.
            ModelGoneError: if nothing can be scored any more.
        """
        ...


@dataclass(frozen=True)
class ModelOptions:
    """What the command line says about a model; a backend refuses what it cannot honour.

    Attributes:
        model: the name after the provider, such as a path or a hub name; '' where there is none.
        label: the name as the user wrote it.
        args: `--model-args`, already split; values are strings.
        base_urls: servers to ask.
    """

    model: str
    label: str
    args: Mapping[str, str] = field(default_factory=dict[str, str])
    base_urls: tuple[str, ...] = ()
    concurrency: int | None = None
    batch_size: int | None = None
    device: str | None = None
    dtype: str | None = None
    adapter: str | None = None
