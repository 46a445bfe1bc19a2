"""Foresight: what a model knows of the next state, its reply begun for it."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from scripted import Scripted

from spa_bench.cli import main
from spa_bench.errors import InputError, ModelError
from spa_bench.foresight import foresight
from spa_bench.formats.format import Content
from spa_bench.models.model import Message, ScoredToken
from spa_bench.probes.transition import TransitionProbe
from spa_bench.registry import Registry
from spa_bench.runner.conversation import Conversation
from spa_bench.task import Task

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
WORLDS = ("sokoban_wm", "frozenlake_wm", "frozenlake_slippery_wm", "sudoku_wm")


class Scoring(Scripted):
    """Finds each text as likely as a function of the reply's beginning and the text says."""

    def __init__(self, likely: Callable[[str, str], float]) -> None:
        super().__init__([AssertionError("asked to write")], concurrency=4)
        self.asked: list[tuple[tuple[Message, ...], str, str]] = []
        self._likely = likely

    async def score_text(
        self, messages: Sequence[Message], prefill: str, text: str
    ) -> tuple[ScoredToken, ...]:
        self.asked.append((tuple(messages), prefill, text))
        half = self._likely(prefill, text) / 2
        return ScoredToken(text[:3], half), ScoredToken(text[3:], half)


def knows(task: Task, sign: int) -> Callable[[str, str], float]:
    """Returns what finds texts the likelier (or the unlikelier) the more probable their state."""
    environment, style = task.environment, task.config.observation
    by_look = {environment.observe(state, style): state for state in _reachable(task)}

    def likely(begun: str, text: str) -> float:
        state = by_look[begun.partition("<observation>\n")[2].partition("\n</observation>")[0]]
        action = environment.parse_action(begun.partition("1. ")[2].partition("\n")[0])
        outcomes = environment.outcomes(state, action)
        looks = [environment.observe(outcome.state, style) for outcome in outcomes]
        return sign * 50.0 * sum(look == text.strip() for look in looks)

    return likely


def _reachable(task: Task) -> Iterator[Any]:
    found, new = set[Any](), [task.boards[0][0].state]
    while new:
        state = new.pop()
        if state not in found:
            found.add(state)
            yield state
            for action in task.environment.actions(state):
                new += [outcome.state for outcome in task.environment.outcomes(state, action)]


@pytest.mark.parametrize("name", WORLDS[1:3])
def test_who_knows_the_kernel_is_always_right_and_who_shuns_it_never(name: str) -> None:
    task = Registry().load(name)
    right = asyncio.run(foresight(Scoring(knows(task, 1)), task, 1))
    assert right.all.accuracy.value == 1
    assert right.all.mass == pytest.approx(1, abs=1e-3)
    wrong = asyncio.run(foresight(Scoring(knows(task, -1)), task, 1))
    assert wrong.all.accuracy.value == 0
    assert wrong.all.mass < 1e-3


@pytest.mark.parametrize("task", WORLDS)
def test_who_finds_all_states_equally_likely_is_at_chance(task: str) -> None:
    found = asyncio.run(foresight(Scoring(lambda begun, text: -3.0), Registry().load(task), 6))
    for one in (found.all, *found.strata.values()):
        assert one.accuracy.value == pytest.approx(one.chance)
        assert one.mass == pytest.approx(one.chance)
    assert found.boards == 6
    assert found.all.items == sum(one.items for one in found.strata.values())


def test_a_copy_of_what_is_shown_is_right_where_the_action_is_blocked_and_nowhere_else() -> None:
    def copies(begun: str, text: str) -> float:
        return 0.0 if f"<observation>{text}</observation>" in begun else -9.0

    found = asyncio.run(foresight(Scoring(copies), Registry().load("sokoban_wm"), 20))
    right = {stratum: one.accuracy.value for stratum, one in found.strata.items()}
    assert right == {"blocked": 1, "changing": 0, "ending": 0}


def test_the_reply_begins_as_the_format_has_it_and_ends_with_the_prediction() -> None:
    task = Registry().load("frozenlake_wm")
    model = Scoring(lambda begun, text: 0.0)
    asyncio.run(foresight(model, task, 1))
    for messages, begun, text in model.asked:
        shown = begun.partition("<observation>\n")[2].partition("\n</observation>")[0]
        asked = Conversation(task)
        asked.show(shown, task.limits.actions)
        assert messages == asked.messages()
        action = begun.partition("1. ")[2].partition("\n")[0]
        content = Content(action, f"1. {action}", shown, text.strip("\n"))
        assert task.format.compose(content).startswith(begun + text)


def test_a_limit_takes_the_first_boards() -> None:
    task = Registry().load("frozenlake_wm")
    model = Scoring(lambda begun, text: 0.0)
    assert asyncio.run(foresight(model, task, 2)).boards == 2


@pytest.mark.parametrize("likely", [-math.inf, math.nan])
def test_a_score_that_is_no_finite_number_is_said(likely: float) -> None:
    with pytest.raises(ModelError, match="no finite number"):
        asyncio.run(
            foresight(Scoring(lambda begun, text: likely), Registry().load("frozenlake_wm"), 1)
        )


def test_a_format_without_predictions_is_refused() -> None:
    model = Scoring(lambda begun, text: 0.0)
    with pytest.raises(InputError, match=r"format of sokoban, 'think', has no predictions"):
        asyncio.run(foresight(model, Registry().load("sokoban"), 1))


def test_boards_that_give_nothing_to_ask_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TransitionProbe, "items", lambda self, view, board: ())
    with pytest.raises(InputError, match="boards of frozenlake_wm have nothing to be asked about"):
        asyncio.run(foresight(Scoring(lambda begun, text: 0.0), Registry().load("frozenlake_wm")))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--model", "baseline/random"], "foresight needs the log-probabilities"),
        (["--model", "baseline/random", "--tasks", "sokoban"], "foresight: the format of sokoban"),
        (["--model", "baseline/random", "--output", "no/where.json"], "--output no/where.json"),
    ],
)
def test_the_command_refuses_in_one_line_before_anything_is_measured(
    options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["foresight", *options])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {complaint}")
    assert said.count("\n") == 1


def test_the_command_tells_a_model_that_learnt_the_world_from_one_that_did_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found: dict[str, Any] = {}
    for name in ("base", "world-model"):
        model, output = CHECKPOINTS / f"nano-{name}-frozenlake", tmp_path / f"{name}.json"
        command = ["foresight", "--model", str(model), "--tasks", "frozenlake_wm", "--limit", "4"]
        with pytest.raises(SystemExit) as end:
            main([*command, "--output", str(output)])
        assert end.value.code == 0
        said = capsys.readouterr().out
        assert all(word in said for word in ("chance", "accuracy", "changing", "blocked", "ending"))
        (found[name],) = json.loads(output.read_text())["tasks"]
        assert found[name]["all"]["items"] == 12
    assert found["world-model"]["all"]["mass"] > 2 * found["base"]["all"]["mass"]
