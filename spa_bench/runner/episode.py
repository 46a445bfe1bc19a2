"""The one episode loop. Evaluation, self-play and training rollouts all call `play`.

A turn: show the state, ask the model, read its answer, execute its actions one by one. What an
action leads to is drawn from the kernel by a keyed number, so an episode is a pure function of
the salt and the model's replies.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any

from spa_bench.canonical import canonical_json, sha256_hex
from spa_bench.environments.bounds import can_succeed
from spa_bench.environments.environment import AnyEnvironment, Outcome
from spa_bench.errors import ModelError, ModelGoneError
from spa_bench.formats.format import ParsedReply, Span, split_actions
from spa_bench.models.model import Message, Model, Privileged, Reply, Request, Sampling
from spa_bench.runner import chance
from spa_bench.runner.record import (
    EPISODE_SCHEMA,
    Episode,
    ParseStatus,
    Turn,
    TurnTokens,
    TurnUsage,
    facts_to_log,
)
from spa_bench.task import Instance, Task


@dataclass(frozen=True, slots=True)
class EpisodeSpec:
    """One episode to play: a board, which of its repeats, and the run's salt."""

    task: Task
    instance: Instance
    repeat: int
    salt: str
    log_tokens: bool = False


async def play(spec: EpisodeSpec, model: Model) -> Episode:
    """Plays one episode from its first turn to its end.

    Failures of the model's backend become an episode of status `infrastructure`.

    Raises:
        ModelGoneError: if the backend cannot answer anything any more.
    """
    task, environment = spec.task, spec.task.environment
    config, limits = task.config, task.limits
    prefill = task.format.prefill if model.capabilities.prefill else ""
    sampling = Sampling(
        config.sampling.temperature, config.sampling.top_p, config.limits.new_tokens
    )
    conversation = _Conversation(task)
    turns: list[Turn] = []
    state: Any = spec.instance.state
    executed = 0
    changed = False
    over = environment.is_success(state) or environment.loss(state) is not None
    # a window of history sends less than the tokens of all earlier turns
    extends = model.capabilities.append_only and config.history == "full"
    token_prefix: tuple[int, ...] | None = None

    while not over and len(turns) < limits.turns and executed < limits.actions:
        actions_left = limits.actions - executed
        conversation.show(environment.observe(state, config.observation), actions_left)
        messages = conversation.messages()
        request = Request(
            messages=messages,
            prefill=prefill,
            sampling=sampling,
            seed=chance.sampling_seed(
                spec.salt,
                environment.environment_id,
                spec.instance.id,
                spec.repeat,
                len(turns),
                config.task,
                model.name,
            ),
            episode=f"{task.name}/{spec.instance.id}/{spec.repeat}",
            token_prefix=token_prefix,
            privileged=Privileged(
                environment=environment,
                start=spec.instance.state,
                state=state,
                turns_left=limits.turns - len(turns),
                actions_left=actions_left,
                limits=limits,
                compose=task.format.compose,
                observation=config.observation,
            )
            if model.capabilities.privileged
            else None,
        )
        started = time.perf_counter()
        try:
            reply = await model.generate(request)
        except ModelGoneError:
            raise
        except ModelError as error:
            why = _storable(str(error))
            return _episode(spec, tuple(turns), success=False, failure=None, error=why)
        seconds = time.perf_counter() - started

        message = _storable((prefill if reply.prefilled else "") + reply.text)
        parsed = task.format.parse(message, config.parse)
        status, actions = _read_actions(environment, message, parsed, limits.actions_per_turn)
        before, drawn, reward = state, list[int](), 0.0
        for action in actions[:actions_left]:
            index, outcome = _happens(spec, state, action, executed)
            changed = changed or outcome.state != state
            state = outcome.state
            reward += outcome.reward
            drawn.append(index)
            executed += 1
            if outcome.terminal:
                over = True
                break
        asked = conversation.sha256(prefill)
        conversation.hear(message, reward)
        turns.append(
            Turn(
                state=environment.render(before),
                prompt_sha256=asked,
                reply=message,
                reasoning=None if reply.reasoning is None else _storable(reply.reasoning),
                stop_reason=reply.stop_reason,
                parse=status,
                actions=tuple(environment.format_action(action) for action in actions),
                executed=len(drawn),
                outcomes=tuple(drawn),
                reward=reward,
                facts_observed=_read_facts(task, message, parsed.observation),
                facts_predicted=_read_facts(task, message, parsed.prediction),
                usage=_usage(reply),
                seconds=round(seconds, 6),
                tokens=_tokens(reply) if spec.log_tokens else None,
            )
        )
        token_prefix = None
        if extends and reply.prompt_ids is not None and reply.completion_ids is not None:
            token_prefix = reply.prompt_ids + reply.completion_ids

    success = environment.is_success(state)
    failure = None if success else _failure(environment, state, turns, changed)
    return _episode(spec, tuple(turns), success=success, failure=failure)


def _happens(spec: EpisodeSpec, state: Any, action: Any, i: int) -> tuple[int, Outcome[Any]]:
    """Returns which outcome the i-th executed action has, and its number (0 if unnumbered)."""
    environment = spec.task.environment
    outcomes = environment.outcomes(state, action) if environment.enumerable else ()
    if len(outcomes) == 1:
        return 0, outcomes[0]
    u = chance.dynamics(spec.salt, environment.environment_id, spec.instance.id, spec.repeat, i)
    if not environment.enumerable:
        return 0, environment.sample(state, action, u)
    index = chance.draw(outcomes, u)
    return index, outcomes[index]


def prompt_sha256(messages: tuple[Message, ...], prefill: str) -> str:
    """Returns the identity of a prompt: SHA-256 of the canonical JSON of [messages, prefill]."""
    return sha256_hex([[_as_json(message) for message in messages], prefill])


def _as_json(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


class _Conversation:
    """The messages of an episode; with a history window, of its last turns."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._window = task.config.history
        self._shown: list[tuple[str, int]] = []
        self._heard: list[tuple[str, float]] = []
        self._messages: list[Message] = []
        self._hash = hashlib.sha256(b"[[")  # of what `prompt_sha256` hashes, as far as it is known
        self._add(Message("system", task.config.prompt.system))

    def show(self, state: str, actions_left: int) -> None:
        """Adds the user message of the next turn."""
        self._shown.append((state, actions_left))
        self._add(Message("user", self._user_text(len(self._shown) - 1)))

    def hear(self, reply: str, reward: float) -> None:
        """Adds the assistant's message, as it was, and keeps the reward for the next one."""
        self._heard.append((reply, reward))
        self._add(Message("assistant", reply))

    def messages(self) -> tuple[Message, ...]:
        """Returns what to send now."""
        if not isinstance(self._window, int) or len(self._shown) <= self._window:
            return tuple(self._messages)
        first = len(self._shown) - self._window
        kept = self._messages[1 + 2 * first :]
        opening = Message("user", self._user_text(first, opening=True))
        return (self._messages[0], opening, *kept[1:])

    def sha256(self, prefill: str) -> str:
        """Returns `prompt_sha256` of what to send now; of a whole history, reads only its news."""
        messages = self.messages()
        if len(messages) < len(self._messages):
            return prompt_sha256(messages, prefill)
        whole = self._hash.copy()
        whole.update(f"],{canonical_json(prefill)}]".encode())
        return whole.hexdigest()

    def _add(self, message: Message) -> None:
        comma = "," if self._messages else ""
        self._hash.update(f"{comma}{canonical_json(_as_json(message))}".encode())
        self._messages.append(message)

    def _user_text(self, turn: int, opening: bool = False) -> str:
        state, actions_left = self._shown[turn]
        if turn == 0 or opening:
            return self._task.opening_message(state, turn + 1, actions_left)
        reward = self._heard[turn - 1][1]
        return self._task.later_message(state, turn + 1, actions_left, reward)


def _storable(text: str) -> str:
    """Returns the text with what UTF-8 cannot hold (lone surrogates) as question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _read_actions(
    environment: AnyEnvironment, message: str, parsed: ParsedReply, most: int
) -> tuple[ParseStatus, list[Any]]:
    """Returns the valid ones among the first `most` actions named, as the paper's code does."""
    if parsed.answer is None:
        return "format", []
    named = split_actions(message[parsed.answer.start : parsed.answer.end])[:most]
    actions = [action for name in named if (action := environment.parse_action(name)) is not None]
    if not actions:
        return "invalid", []
    return ("ok" if len(actions) == len(named) else "partial"), actions


def _read_facts(task: Task, message: str, span: Span | None) -> Any:
    if span is None:
        return None
    text = message[span.start : span.end]
    return facts_to_log(task.environment.read(text, task.config.observation))


def _failure(environment: AnyEnvironment, state: Any, turns: list[Turn], changed: bool) -> str:
    """Returns the first class, in this order, that explains why the episode failed."""
    loss = environment.loss(state)
    if loss is not None:
        return loss
    if not any(turn.executed for turn in turns):
        if sum(turn.stop_reason == "length" for turn in turns) * 2 > len(turns):
            return "truncated"
        return "format" if all(turn.parse == "format" for turn in turns) else "invalid"
    if not changed:
        return "ineffective"
    return "dead_end" if can_succeed(environment, state) is False else "budget"


def _usage(reply: Reply) -> TurnUsage:
    usage = reply.usage
    return TurnUsage(
        usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.reasoning_tokens
    )


def _tokens(reply: Reply) -> TurnTokens | None:
    if reply.prompt_ids is None or reply.completion_ids is None:
        return None
    return TurnTokens(reply.prompt_ids, reply.completion_ids, reply.logprobs)


def _episode(
    spec: EpisodeSpec,
    turns: tuple[Turn, ...],
    *,
    success: bool,
    failure: str | None,
    error: str | None = None,
) -> Episode:
    return Episode(
        schema=EPISODE_SCHEMA,
        task=spec.task.name,
        task_hash=spec.task.hash,
        instance=spec.instance.id,
        board_key=spec.instance.board_key,
        repeat=spec.repeat,
        status="infrastructure" if error is not None else "complete",
        success=success,
        failure=failure,
        turns=turns,
        error=error,
    )
