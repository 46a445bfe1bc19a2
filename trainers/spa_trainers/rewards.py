"""What a turn is rewarded with in training: the world's reward, the format, and, in the VAGEN-style
method, how right the model's beliefs are."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from spa_bench.formats.format import Span
from spa_bench.metrics.belief import agreement
from spa_bench.runner.record import Episode, Turn
from spa_bench.runner.replay import replay
from spa_bench.task import Task
from spa_trainers.settings import Settings


class RewardSettings(Settings):
    """Rewards of a turn. The defaults are the paper's.

    Attributes:
        format_penalty: for a turn without an answer, or with an action that does not exist.
        cut_off_penalty: for a turn that did not end by itself but at the limit of tokens, though it
            may have its answer: a policy can learn to answer and never to stop.
        success: for the turn that solves the board, beside what the world pays for that.
        beliefs: the VAGEN-style method's weight (Wang et al. 2025): a turn in the format with
            both its states gains it once, and once more for each state times how right that is.
            VAGEN asks a language model how right; here it is the object F1 against the kernel's
            state, in every world. 0, the default, rewards no beliefs.
    """

    format_penalty: float = Field(-0.1, le=0)
    cut_off_penalty: float = Field(0.0, le=0)
    success: float = Field(0.0, ge=0)
    beliefs: float = Field(0.0, ge=0)


def turn_rewards(
    task: Task, start: Any, episode: Episode, settings: RewardSettings
) -> tuple[float, ...]:
    """Returns the training reward of each turn of an episode that began in the state `start`."""
    rewards = [
        turn.reward
        + (settings.format_penalty if turn.parse != "ok" else 0.0)
        + (settings.cut_off_penalty if turn.stop_reason == "length" else 0.0)
        for turn in episode.turns
    ]
    if episode.success:
        rewards[-1] += settings.success
    if settings.beliefs:
        for number, here in enumerate(replay(task, start, episode)):
            rewards[number] += settings.beliefs * _beliefs(task, here.turn, here.before, here.after)
    return tuple(rewards)


def _beliefs(task: Task, turn: Turn, before: Any, after: Any) -> float:
    """Returns 0 for a turn not in the format, else 1 and how right its two states are, up to 3."""
    parsed = task.format.parse(turn.reply, task.config.parse)
    if turn.parse != "ok" or parsed.observation is None or parsed.prediction is None:
        return 0.0
    pairs = ((parsed.observation, before), (parsed.prediction, after))
    return 1.0 + sum(_rightness(task, turn.reply, span, state) for span, state in pairs)


def _rightness(task: Task, reply: str, span: Span, state: Any) -> float:
    environment, observation = task.environment, task.config.observation
    said = environment.read(reply[span.start : span.end], observation)
    return agreement(said, environment.facts_shown(state, observation)).object_f1
