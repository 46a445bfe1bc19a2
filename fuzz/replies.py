"""Whatever a model replies becomes a turn that the log can hold and its reader reads back."""

from __future__ import annotations

from functools import cache
from typing import Any, get_args

from fuzz.edits import Bytes
from fuzz.played import few_boards
from spa_bench.formats.format import Format, ParsedReply, ParseMode, Span
from spa_bench.plugins import make_format
from spa_bench.runner.record import TurnUsage, episode_adapter, to_line
from spa_bench.runner.rollout import Answer, EpisodeSpec, Rollout
from spa_bench.task import Task

TASKS = (
    "sokoban_wm",
    "frozenlake_slippery_wm",
    "sudoku_wm",
    "sudoku_9x9",
    "frozenlake_answer",
    "frozenlake_symbols",
    "sokoban_words",
    "sudoku_letters",
    "sokoban_to_coordinates",
    "sokoban_to_grid",
    "sokoban_transition",
    "frozenlake_rollout_grid",
    "sudoku_inverse",
    "sokoban_legality",
    "frozenlake_reward",
    "sokoban_reachability",
)

_MODES: tuple[ParseMode, ...] = get_args(ParseMode)


@cache
def tasks() -> list[Task]:
    """Returns the tasks in whose formats and worlds replies are read."""
    return [few_boards().load(name) for name in TASKS]


@cache
def _formats() -> list[Format]:
    return [make_format(name) for name in ("answer", "think", "world_model")]


def one(data: bytes) -> None:
    """Reads the first byte as a choice of task, the second of a turn, the rest as the reply."""
    source = Bytes(data[:2])
    task = tasks()[source.below(len(TASKS))]
    turns = 1 + source.below(2)
    message = data[2:].decode("utf-8", "replace")
    for form in _formats():
        for mode in _MODES:
            _check(form.parse(message, mode), message)
    _play(task, message, turns)


def _check(parsed: ParsedReply, message: str) -> None:
    for span in (parsed.answer, parsed.reasoning, parsed.observation, parsed.prediction):
        if span is not None:
            assert 0 <= span.start <= span.end <= len(message), parsed
    for inner in (parsed.observation, parsed.prediction):
        assert inner is None or _inside(inner, parsed.reasoning), parsed


def _inside(inner: Span, outer: Span | None) -> bool:
    return outer is not None and outer.start <= inner.start and inner.end <= outer.end


def _play(task: Task, message: str, turns: int) -> None:
    rollout = Rollout(EpisodeSpec(task, task.boards[0][0], 0, "0"), task.format.prefill)
    answer = Answer(message=message, stop_reason="stop", usage=TurnUsage())
    while turns and not rollout.over:
        rollout.ask()
        _check_turn(task, rollout.answer(answer))
        turns -= 1
    episode = rollout.end()
    assert episode_adapter().validate_json(to_line(episode)) == episode


def _check_turn(task: Task, turn: Any) -> None:
    assert turn.executed == len(turn.outcomes) <= len(turn.actions)
    assert len(turn.actions) <= task.limits.actions_per_turn
    for action in turn.actions:
        assert task.environment.parse_action(action) is not None, action
