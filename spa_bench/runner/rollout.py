"""An episode under way: all that follows from a board, the salt and what the model replies.

`play` asks a model for the replies, a verifier takes them from a log; what is shown, read, executed
and recorded is decided here for both, so a log can be checked by making it again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from spa_bench.environments.bounds import can_succeed
from spa_bench.environments.environment import AnyEnvironment, Outcome
from spa_bench.errors import PluginError
from spa_bench.formats.format import Content, ParsedReply, Span, split_actions
from spa_bench.models.model import Message
from spa_bench.runner import chance
from spa_bench.runner.conversation import Conversation
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
    """One episode to play: a board, which of its repeats, and the run's salt.

    Attributes:
        new_tokens: of a reply, in place of the task's limit; the prompt stays the task's.
    """

    task: Task
    instance: Instance
    repeat: int
    salt: str
    log_tokens: bool = False
    new_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model answered in one turn, as the log keeps it; fields as in `Turn`."""

    message: str
    stop_reason: str
    reasoning: str | None = None
    usage: TurnUsage
    seconds: float = 0.0
    tokens: TurnTokens | None = None
    choice_logprobs: tuple[float, ...] | None = None

    @classmethod
    def of(cls, turn: Turn) -> Answer:
        """Returns what was answered in a turn of a log."""
        return cls(
            message=turn.reply,
            stop_reason=turn.stop_reason,
            reasoning=turn.reasoning,
            usage=turn.usage,
            seconds=turn.seconds,
            tokens=turn.tokens,
            choice_logprobs=turn.choice_logprobs,
        )


class Rollout:
    """One episode, turn by turn: `ask`, then `answer`, until it is `over`; then `end`.

    Args:
        prefill: how the assistant's messages begin; part of every prompt's identity.

    Attributes:
        state: of the kernel, now.
        over: whether there is no further turn: solved, lost, or nothing left to spend.
        actions_left: of the whole episode.
        turns: those that are done.
    """

    def __init__(self, spec: EpisodeSpec, prefill: str) -> None:
        environment = spec.task.environment
        self.spec = spec
        self.prefill = prefill
        self.state: Any = spec.instance.state
        self.actions_left = spec.task.limits.actions
        self.turns: list[Turn] = []
        self._conversation = Conversation(spec.task)
        self._changed = False
        self._ended = environment.is_over(self.state)

    @property
    def turns_left(self) -> int:
        """How many turns there may be yet."""
        return self.spec.task.limits.turns - len(self.turns)

    @property
    def over(self) -> bool:
        """Whether there is no further turn."""
        return self._ended or self.turns_left <= 0 or self.actions_left <= 0

    def ask(self) -> tuple[Message, ...]:
        """Shows the state, and returns the messages of the next turn."""
        task = self.spec.task
        shown = task.environment.observe(self.state, task.config.observation)
        self._conversation.show(shown, self.actions_left)
        return self._conversation.messages()

    def choices(self) -> tuple[str, ...]:
        """Returns the replies among which a model is to choose now; none where it is to write."""
        task = self.spec.task
        texts = task.environment.choices(self.state)
        return tuple(task.format.compose(Content(answer=text)) for text in texts)

    def answer(self, answered: Answer) -> Turn:
        """Reads what was answered, executes its actions one by one, and returns the turn."""
        task, environment = self.spec.task, self.spec.task.environment
        message, limits = answered.message, task.limits
        parsed = task.format.parse(message, task.config.parse)
        status, actions = _read_actions(environment, message, parsed, limits.actions_per_turn)
        before, drawn, reward = self.state, list[int](), 0.0
        for action in actions[: self.actions_left]:
            index, outcome = self._happens(action, limits.actions - self.actions_left)
            self._changed = self._changed or outcome.state != self.state
            self.state = outcome.state
            self.actions_left -= 1
            reward += outcome.reward
            if not math.isfinite(reward):
                raise PluginError(f"the environment gave {reward} as a reward")
            drawn.append(index)
            if outcome.terminal:
                self._ended = True
                break
        asked = self._conversation.sha256(self.prefill)
        self._conversation.hear(message, reward)
        turn = Turn(
            state=environment.render(before),
            prompt_sha256=asked,
            reply=message,
            reasoning=answered.reasoning,
            stop_reason=answered.stop_reason,
            parse=status,
            actions=tuple(environment.format_action(action) for action in actions),
            executed=len(drawn),
            outcomes=tuple(drawn),
            reward=reward,
            facts_observed=_read_facts(task, message, parsed.observation),
            facts_predicted=_read_facts(task, message, parsed.prediction),
            usage=answered.usage,
            seconds=answered.seconds,
            tokens=answered.tokens,
            choice_logprobs=answered.choice_logprobs,
        )
        self.turns.append(turn)
        return turn

    def end(self, error: str | None = None) -> Episode:
        """Returns the record of the episode; with an `error`, of one that broke."""
        spec, environment = self.spec, self.spec.task.environment
        broke = error is not None
        success = not broke and environment.is_success(self.state)
        return Episode(
            schema=EPISODE_SCHEMA,
            task=spec.task.name,
            task_hash=spec.task.hash,
            instance=spec.instance.id,
            board_key=spec.instance.board_key,
            repeat=spec.repeat,
            status="infrastructure" if broke else "complete",
            success=success,
            failure=None if success or broke else self._failure(),
            turns=tuple(self.turns),
            error=error,
        )

    def _happens(self, action: Any, i: int) -> tuple[int, Outcome[Any]]:
        """Returns which outcome the i-th executed action has, and its number (0 if unnumbered)."""
        spec, environment = self.spec, self.spec.task.environment
        outcomes = environment.outcomes(self.state, action) if environment.enumerable else ()
        if len(outcomes) == 1:
            return 0, outcomes[0]
        u = chance.dynamics(spec.salt, environment.environment_id, spec.instance.id, spec.repeat, i)
        if not environment.enumerable:
            return 0, environment.sample(self.state, action, u)
        index = chance.draw(outcomes, u)
        return index, outcomes[index]

    def _failure(self) -> str:
        """Returns the first class, in this order, that explains why the episode failed."""
        environment, turns = self.spec.task.environment, self.turns
        loss = environment.loss(self.state)
        if loss is not None:
            return loss
        if not any(turn.executed for turn in turns):
            if sum(turn.stop_reason == "length" for turn in turns) * 2 > len(turns):
                return "truncated"
            return "format" if all(turn.parse == "format" for turn in turns) else "invalid"
        if not self._changed:
            return "ineffective"
        return "dead_end" if can_succeed(environment, self.state) is False else "budget"


def _read_actions(
    environment: AnyEnvironment, message: str, parsed: ParsedReply, most: int
) -> tuple[ParseStatus, list[Any]]:
    """Returns the valid ones among the first `most` actions named, as the paper's code does."""
    if parsed.answer is None:
        return "format", []
    text = message[parsed.answer.start : parsed.answer.end]
    named = [text.strip()] if environment.whole_answer else split_actions(text)[:most]
    actions = [action for name in named if (action := environment.parse_action(name)) is not None]
    if not actions:
        return "invalid", []
    return ("ok" if len(actions) == len(named) else "partial"), actions


def _read_facts(task: Task, message: str, span: Span | None) -> Any:
    if span is None:
        return None
    text = message[span.start : span.end]
    return facts_to_log(task.environment.read(text, task.config.observation))
