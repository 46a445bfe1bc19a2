"""Bounds of boards with too many states to search: estimated, and believed only as far as tried."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from worlds import SLIPPERY, TableWorld, sokoban_task, sure, table_task

from spa_bench.environments.bounds import NoExactBoundError, Solver
from spa_bench.environments.environment import CERTAIN, Outcome
from spa_bench.environments.frozenlake import FrozenLake
from spa_bench.environments.sudoku import Sudoku
from spa_bench.errors import PluginError
from spa_bench.metrics.success import pass_at_k
from spa_bench.results import bounds
from spa_bench.results.bounds import RANDOM_EPISODES, BoardBounds, board_bounds, floor_of
from spa_bench.task import Task

LINE = TableWorld((sure(1, 0), sure(2, 0), sure(2, 2)), goals=frozenset({2}))
"""`a` twice leads to the goal, `b` back to the start."""

searched: list[Any] = []


@pytest.fixture(autouse=True)
def too_many(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No board can be searched; `searched` holds those that were tried."""

    def refuse(_: Any, start: Any, __: Any) -> Any:
        searched.append(start)
        raise NoExactBoundError

    searched.clear()
    bounds._bounds.cache_clear()
    monkeypatch.setattr(bounds, "Solver", refuse)
    yield
    bounds._bounds.cache_clear()


def first(task: Task) -> BoardBounds:
    board = task.boards[0][0]
    return board_bounds(task, [board])[board.id]


@dataclass(frozen=True)
class Planned(TableWorld):
    """A world that says how it is solved."""

    says: tuple[str, ...] = ()

    def plan(self, state: int) -> Sequence[str]:
        return self.says


def planned(world: TableWorld, *says: str, actions: int = 10) -> BoardBounds:
    own = Planned(world.table, world.goals, world.holes, says=says)
    return first(table_task(own, limits={"turns": 5, "actions_per_turn": 5, "actions": actions}))


@pytest.mark.parametrize("ice", ["firm", "slippery"])
def test_estimated_floors_are_the_exact_ones_but_for_chance(ice: Any) -> None:
    world = FrozenLake(ice=ice)
    task = replace(sokoban_task(instances={"seeds": "0-39"}), environment=world)
    boards = task.boards[0]
    estimated = [found.floor for found in board_bounds(task, boards).values()]
    exact = [Solver(world, board.state, task.limits).floor() for board in boards]
    variance = sum(p * (1 - p) / RANDOM_EPISODES for p in exact)
    assert abs(sum(estimated) - sum(exact)) < 3 * math.sqrt(variance)
    assert sum(estimated) > 0


def test_an_estimate_is_the_same_every_time_and_says_that_it_is_one() -> None:
    once = first(table_task())
    bounds._bounds.cache_clear()
    assert repr(first(table_task())) == repr(once)  # its ceiling is no number, so equal to nothing
    assert not once.exact
    assert once.random_successes == round(once.floor * RANDOM_EPISODES)


def test_without_a_plan_the_ceiling_is_unknown() -> None:
    found = first(table_task())
    assert math.isnan(found.ceiling)
    assert math.isnan(found.closed_loop)
    assert found.shortest_plan is None


def test_a_plan_that_works_makes_the_ceiling() -> None:
    found = planned(LINE, "a", "a")
    assert (found.ceiling, found.closed_loop) == (1.0, 1.0)


@pytest.mark.parametrize("says", [("a",), ("b", "a")], ids=["ends early", "goes astray"])
def test_a_plan_that_does_not_work_is_not_believed(says: tuple[str, ...]) -> None:
    assert math.isnan(planned(LINE, *says).ceiling)


def test_a_plan_that_needs_luck_is_not_believed() -> None:
    assert math.isnan(planned(SLIPPERY, "a", "a", "a").ceiling)


def test_a_plan_counts_up_to_the_last_action_of_the_limits() -> None:
    assert planned(LINE, "b", "a", "a", actions=3).ceiling == 1
    assert math.isnan(planned(LINE, "b", "a", "a", actions=2).ceiling)


def test_after_one_board_that_is_too_large_no_other_is_tried() -> None:
    task = sokoban_task(instances={"seeds": "123-130"})
    boards = task.boards[0]
    found = board_bounds(task, boards)
    assert searched == [boards[0].state]
    assert not any(found[board.id].exact for board in boards)


def test_a_large_sudoku_has_a_floor_of_nothing_and_a_ceiling_of_all() -> None:
    limits = {"turns": 10, "actions_per_turn": 5, "actions": 50}
    task = sokoban_task(instances={"seeds": "1-1"}, limits=limits)
    found = first(replace(task, environment=Sudoku(size=9, clues=36)))
    assert (found.floor, found.ceiling) == (0.0, 1.0)


def test_a_floor_that_is_estimated_has_an_interval() -> None:
    counts = [0, 3, 12]
    found = [BoardBounds(c / RANDOM_EPISODES, 1.0, 1.0, None, c) for c in counts]
    floor = floor_of("pass@8", found)
    assert floor.value == pytest.approx(sum(pass_at_k(RANDOM_EPISODES, c, 8) for c in counts) / 3)
    assert floor.low < floor.value < floor.high


def test_exact_boards_beside_estimated_ones_count_with_their_own_floor() -> None:
    found = [BoardBounds(0.5, 1.0, 1.0, 3), BoardBounds(0.0, 1.0, 1.0, None, 0)]
    assert floor_of("pass@2", found).value == pytest.approx((1 - 0.5**2) / 2)
    assert floor_of("pass^2", found).value == pytest.approx(0.5**2 / 2)


def test_of_boards_whose_floor_is_unknown_there_is_none() -> None:
    unknown = BoardBounds(math.nan, math.nan, math.nan, None)
    assert math.isnan(floor_of("pass@1", [unknown, BoardBounds(0.5, 1.0, 1.0, 3)]).value)
    assert math.isnan(floor_of("pass@1", []).value)


def test_chances_that_are_wrong_have_no_estimate() -> None:
    @dataclass(frozen=True)
    class Halved(TableWorld):
        def outcomes(self, state: int, action: str) -> tuple[Outcome[int], ...]:
            (outcome,) = super().outcomes(state, action)
            return (outcome._replace(probability=CERTAIN / 2),)

    with pytest.raises(PluginError, match="probabilities add up to 1/2, not to 1"):
        first(table_task(Halved(LINE.table, LINE.goals)))
