"""What every world must hold to, and what `validate` says of one that does not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from worlds import SLIPPERY, TableWorld, sure, table_task

from spa_bench.environments.contract import breach, checked_outcomes, unsteady_board
from spa_bench.environments.environment import CERTAIN, Facts, Outcome
from spa_bench.errors import PluginError
from spa_bench.registry import Registry
from spa_bench.task_file import builtin_tasks_folder
from spa_bench.validate import validate_all

Change = Callable[[Outcome[int]], Outcome[int]]


@dataclass(frozen=True)
class Changed(TableWorld):
    """The slippery world, with one thing done to every outcome that leads to state 2."""

    change: Change = lambda outcome: outcome

    def outcomes(self, state: int, action: str) -> tuple[Outcome[int], ...]:
        found = super().outcomes(state, action)
        return tuple(self.change(one) if one.state == 2 else one for one in found)


class Mute(TableWorld):
    def parse_render(self, text: str) -> Facts | None:
        return None


class Mistaken(TableWorld):
    def parse_describe(self, text: str) -> Facts | None:
        return self.facts(7)


class Unread(TableWorld):
    def parse_action(self, text: str) -> str | None:
        return "a" if text in self.actions(0) else None


class Stuck(TableWorld):
    def actions(self, state: int) -> Sequence[str]:
        return super().actions(state) if state != 2 else ()


class Idle(TableWorld):
    def effective_actions(self, state: int) -> Sequence[int]:
        return (0,)


class Fickle(TableWorld):
    """A world that forgets the seed and the state, and goes by how often it was asked."""

    def initial_state(self, seed: int) -> int:
        return next(asked)

    def outcomes(self, state: int, action: str) -> tuple[Outcome[int], ...]:
        found = super().outcomes(state, action)
        return found if next(asked) % 2 else found[::-1]


asked = itertools.count()


@dataclass(frozen=True)
class Kept(TableWorld):
    """A world that is drawn anew with every instance, and stays the same from then on."""

    @cached_property
    def drawn(self) -> int:
        return next(asked)

    def initial_state(self, seed: int) -> int:
        return self.drawn


def like_slippery(kind: type[TableWorld], **more: Any) -> TableWorld:
    return kind(SLIPPERY.table, SLIPPERY.goals, SLIPPERY.holes, **more)


def changed(change: Change) -> TableWorld:
    return like_slippery(Changed, change=change)


@pytest.mark.parametrize(
    ("world", "told"),
    [
        (changed(lambda o: o._replace(probability=Fraction(1, 3))), "probabilities add up to"),
        (changed(lambda o: o._replace(probability=Fraction(0))), "not a fraction above 0"),
        (changed(lambda o: o._replace(probability=float(o.probability))), "not a fraction"),
        (changed(lambda o: o._replace(reward=math.nan)), "the reward is nan"),
        (
            changed(lambda o: o._replace(terminal=True)),
            "the episode ends, and the board is neither solved nor lost",
        ),
        (like_slippery(Mute), "parse_render does not read what render writes"),
        (like_slippery(Mistaken), "parse_describe reads other facts than those of the state"),
        (like_slippery(Unread), "parse_action does not read 'b'"),
        (like_slippery(Stuck), "there is no action, and it is not over, in the state '<2'"),
        (
            like_slippery(Fickle),
            "what the action 'a' leads to differs from call to call",
        ),
        (like_slippery(Idle), "the action 'b' does something, and effective_actions leaves it out"),
    ],
)
def test_a_broken_rule_is_told_with_the_state(world: TableWorld, told: str) -> None:
    said = breach(world, 0)
    assert said is not None
    assert told in said
    assert "in the state '<" in said


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (None, ", not NoneType"),
        (Outcome(CERTAIN, 1, 0.0, False), ", not Outcome"),
        ([Outcome(CERTAIN, 1, 0.0, False)], ", not list"),
        (((CERTAIN, 1, 0.0, False),), "; in it is a tuple"),
    ],
)
def test_outcomes_that_are_no_tuple_of_outcomes_are_told(returned: Any, told: str) -> None:
    @dataclass(frozen=True)
    class Odd(TableWorld):
        def outcomes(self, state: int, action: str) -> tuple[Outcome[int], ...]:
            return returned

    said = f"outcomes(state, action) must return a tuple of Outcome{told}"
    world = like_slippery(Odd)
    assert breach(world, 0) == f"after the action 'a' {said}, in the state '<0'"
    with pytest.raises(PluginError) as refused:
        checked_outcomes(world, 0, "a")
    assert str(refused.value) == f"environment 'table': {said}"


class Lamps(NamedTuple):
    on: list[int]


@dataclass(frozen=True)
class Board:
    on: list[int]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (Lamps([1]), "field `on` is a list"),
        (Board([1]), "field `on` is a list"),
        ({1: 2}, "it is a dict"),
    ],
)
def test_a_state_that_cannot_be_hashed_is_told_with_its_field(state: Any, told: str) -> None:
    @dataclass(frozen=True)
    class Begun(TableWorld):
        def initial_state(self, seed: int) -> int:
            return state

    assert breach(SLIPPERY, state) == f"a state must be hashable; {told}"
    assert f"hashable; {told}" in str(breach(changed(lambda o: o._replace(state=state)), 0))
    with pytest.raises(PluginError, match=f"environment 'table': a state must be hash.*{told}"):
        _ = table_task(like_slippery(Begun)).boards


@pytest.mark.parametrize("kind", [Fickle, Kept])
def test_a_board_that_differs_from_call_to_call_is_told(kind: type[TableWorld]) -> None:
    assert "initial_state(4) differs from call to call" in str(
        unsteady_board(like_slippery(kind), 4)
    )
    assert unsteady_board(SLIPPERY, 4) is None


@pytest.mark.parametrize("ends", ["goals", "holes"])
def test_an_end_after_which_the_episode_goes_on_is_told(ends: str) -> None:
    goes_on = changed(lambda o: o._replace(terminal=False))
    world = replace(goes_on, **{ends: frozenset({2})})
    assert "the board is solved or lost, and the episode goes on" in str(breach(world, 0))


def test_only_states_near_the_start_are_looked_at() -> None:
    far = changed(lambda o: o._replace(reward=math.inf))
    assert breach(far, 0, most=1) is not None  # state 2 is one action away
    chain = replace(far, table=(sure(1), sure(4), sure(2), sure(3), sure(2)), holes=frozenset())
    assert breach(chain, 0, most=2) is None
    assert breach(chain, 0) is not None


def test_good_worlds_break_nothing() -> None:
    assert breach(SLIPPERY, 0) is None
    registry = Registry()
    for name in ("spa", "ood", "world_model"):
        for task in registry.resolve([name]):
            (board,) = task.first_boards(1)[0]
            assert breach(task.environment, board.state) is None, task.name
            assert not task.environment.is_over(board.state)


def test_validate_says_it_with_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spa_bench.environments.sokoban import Sokoban

    base = builtin_tasks_folder() / "sokoban" / "_sokoban.yaml"
    mine = f"task: mine\ninclude: {base}\ninstances: {{split: all, seeds: 123-125}}\n"
    (tmp_path / "mine.yaml").write_text(mine + "environment: {boxes: 1}\n")
    assert validate_all([str(tmp_path)]).problems == []
    monkeypatch.setattr(Sokoban, "parse_describe", lambda *_: None)
    (problem,) = validate_all([str(tmp_path)]).problems
    assert "mine.yaml:4: environment: parse_describe does not read what describe" in problem
    monkeypatch.undo()
    made = Sokoban.initial_state
    monkeypatch.setattr(Sokoban, "initial_state", lambda self, _: made(self, 123 + next(asked) % 2))
    assert "mine.yaml:4: environment: initial_state(123) differs from call to call" in "\n".join(
        validate_all([str(tmp_path)]).problems
    )
    monkeypatch.undo()
    monkeypatch.setattr(Sokoban, "is_success", lambda *_: True)
    problems = validate_all([str(tmp_path)]).problems
    assert "mine.yaml:3: the board of seed 123 is over before the first action" in problems[1]
