"""Floor, ceiling, closed loop and shortest plan against counting everything that can happen."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import ACTIONS, LINE, SLIPPERY, TableWorld, drawn, sokoban_task, sure, table_task

from spa_bench.environments.bounds import NoExactBoundError, Solver, can_succeed
from spa_bench.environments.environment import AnyEnvironment, Outcome
from spa_bench.environments.limits import Limits
from spa_bench.environments.sokoban import Sokoban
from spa_bench.errors import ModelGoneError, PluginError
from spa_bench.models.baselines import OracleBaseline, RandomBaseline
from spa_bench.results.bounds import board_bounds
from spa_bench.runner.episode import EpisodeSpec, play
from spa_bench.task import Instance, Task

Distribution = dict[Any, Fraction]

# -- everything that can happen, counted -----------------------------------------------------------


def ended(world: AnyEnvironment, state: Any) -> bool:
    return world.is_success(state) or world.loss(state) is not None


def after(world: AnyEnvironment, state: Any, actions: tuple[Any, ...]) -> Distribution:
    """Returns where a blind sequence can lead, with exact probabilities."""
    here: Distribution = {state: Fraction(1)}
    for action in actions:
        there: Distribution = {}
        for place, probability in here.items():
            if ended(world, place):
                there[place] = there.get(place, Fraction(0)) + probability
                continue
            for outcome in world.outcomes(place, action):
                moved = probability * outcome.probability
                there[outcome.state] = there.get(outcome.state, Fraction(0)) + moved
        here = there
    return here


def won(world: AnyEnvironment, places: Distribution) -> Fraction:
    return sum((p for state, p in places.items() if world.is_success(state)), Fraction(0))


def sequences(world: AnyEnvironment, state: Any, length: int) -> Iterator[tuple[Any, ...]]:
    return product(world.actions(state), repeat=length)


def floor_by_counting(world: AnyEnvironment, start: Any, limits: Limits) -> Fraction:
    """All sequences of actions are equally likely: the mean of their chances."""
    chances = [won(world, after(world, start, s)) for s in sequences(world, start, limits.budget)]
    return sum(chances, Fraction(0)) / len(chances)


def ceiling_by_counting(
    world: AnyEnvironment, state: Any, turns: int, per_turn: int, actions: int
) -> Fraction:
    """The best of all blind sequences of this turn, each followed by the best of what is left."""
    if ended(world, state) or not turns or not actions:
        return Fraction(int(world.is_success(state)))
    best = Fraction(0)
    for length in range(min(per_turn, actions) + 1):
        for sequence in sequences(world, state, length):
            value = sum(
                p * ceiling_by_counting(world, place, turns - 1, per_turn, actions - length)
                for place, p in after(world, state, sequence).items()
            )
            best = max(best, value)
    return best


def ceiling(world: AnyEnvironment, start: Any, limits: Limits) -> Fraction:
    return ceiling_by_counting(world, start, limits.turns, limits.actions_per_turn, limits.actions)


def every_plan(world: AnyEnvironment, start: Any, limits: Limits) -> Iterator[tuple[Any, ...]]:
    for length in range(limits.budget + 1):
        yield from sequences(world, start, length)


# -- worlds to count in ----------------------------------------------------------------------------


@st.composite
def worlds(draw: st.DrawFn, *, lucky: bool = True) -> TableWorld:
    """Any world of up to four states and two actions, with or without luck."""
    size = draw(st.integers(2, 4))
    states = st.integers(0, size - 1)
    row = st.lists(
        st.tuples(st.integers(1, 3), states), min_size=1, max_size=3 if lucky else 1
    ).map(tuple)
    actions = draw(st.integers(1, 2))
    table = [tuple(draw(row) for _ in range(actions)) for _ in range(size)]
    marks = draw(st.lists(st.sampled_from("  +-"), min_size=size, max_size=size))
    goals = frozenset(i for i, mark in enumerate(marks) if mark == "+")
    holes = frozenset(i for i, mark in enumerate(marks) if mark == "-")
    for state in goals | holes:
        table[state] = sure(*[state] * actions)
    return TableWorld(table=tuple(table), goals=goals, holes=holes)


limits = st.builds(Limits, st.integers(1, 2), st.integers(1, 2), st.integers(1, 4))

TINY = (
    "##### #P__# #_XO# #___# #####",
    "##### #_X_# #P_O# #___# #####",
    "##### #O__# #_X_# #__P# #####",
    "###### #P_X_# #__O_# #____# ######",
    "###### #SX__# #_X__# #__O_# ######",
    "##### #PX_# #__O# #####",
)
TINY_LIMITS = (Limits(1, 5, 5), Limits(5, 1, 5), Limits(2, 3, 5), Limits(3, 2, 10), Limits(2, 2, 3))


def tiny(text: str) -> tuple[Sokoban, Any]:
    rows = text.split()
    boxes = sum(text.count(symbol) for symbol in "X√")
    world = Sokoban(rows=len(rows), cols=len(rows[0]), boxes=boxes)
    return world, world.from_grid("\n".join(rows))


on_tiny_boards = [
    pytest.param(text, these, id=f"{i}-{these.turns}x{these.actions_per_turn}of{these.actions}")
    for i, text in enumerate(TINY)
    for these in TINY_LIMITS
]

# -- floor -----------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(worlds(), limits)
def test_the_floor_is_the_mean_over_all_sequences_of_actions(
    world: TableWorld, these: Limits
) -> None:
    expected = floor_by_counting(world, 0, these)
    assert Solver(world, 0, these).floor() == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize(("text", "these"), on_tiny_boards)
def test_the_floor_of_a_tiny_board_is_the_share_of_sequences_that_solve_it(
    text: str, these: Limits
) -> None:
    world, start = tiny(text)
    expected = floor_by_counting(world, start, these)
    assert Solver(world, start, these).floor() == pytest.approx(float(expected), abs=1e-12)


# -- ceiling ---------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(worlds(), limits)
def test_the_ceiling_is_the_best_of_all_blind_turns(world: TableWorld, these: Limits) -> None:
    expected = ceiling(world, 0, these)
    assert Solver(world, 0, these).ceiling() == pytest.approx(float(expected), abs=1e-12)


def test_the_ceiling_is_the_best_of_all_policies_written_out_one_by_one() -> None:
    """Two turns of up to two actions: a sequence now, and one for each state it can lead to."""
    world, start = SLIPPERY, 1
    choices = [s for length in (1, 2) for s in product(ACTIONS[:2], repeat=length)]
    alive = [0, 1, 2]
    best = Fraction(0)
    for first in choices:
        places = after(world, start, first)
        for later in product(choices, repeat=len(alive)):
            policy = dict(zip(alive, later, strict=True))
            chance = sum(
                p * won(world, after(world, place, policy.get(place, ())))
                for place, p in places.items()
            )
            best = max(best, chance)
    two_actions = TableWorld(
        table=tuple(rows[:2] for rows in world.table), goals=world.goals, holes=world.holes
    )
    solver = Solver(two_actions, start, Limits(turns=2, actions_per_turn=2, actions=4))
    assert solver.ceiling() == pytest.approx(float(best), abs=1e-12)


@settings(max_examples=100)
@given(worlds(), limits)
def test_the_closed_loop_is_the_ceiling_with_one_action_a_turn(
    world: TableWorld, these: Limits
) -> None:
    expected = ceiling_by_counting(world, 0, these.budget, 1, these.budget)
    assert Solver(world, 0, these).closed_loop() == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize(("text", "these"), on_tiny_boards)
def test_the_ceiling_of_a_tiny_board_is_1_where_some_sequence_solves_it(
    text: str, these: Limits
) -> None:
    world, start = tiny(text)
    solved = any(won(world, after(world, start, plan)) for plan in every_plan(world, start, these))
    solver = Solver(world, start, these)
    assert solver.ceiling() == solver.closed_loop() == float(solved)


@settings(max_examples=100)
@given(worlds(lucky=False), limits)
def test_without_luck_ceiling_and_closed_loop_are_one(world: TableWorld, these: Limits) -> None:
    solver = Solver(world, 0, these)
    assert solver.ceiling() == solver.closed_loop()


@settings(max_examples=100)
@given(worlds(), limits)
def test_floor_ceiling_and_closed_loop_come_in_this_order(world: TableWorld, these: Limits) -> None:
    solver = Solver(world, 0, these)
    assert -1e-12 <= solver.floor() <= solver.ceiling() + 1e-12
    assert solver.ceiling() <= solver.closed_loop() + 1e-12 <= 1 + 2e-12


@settings(max_examples=50)
@given(worlds(), limits)
def test_more_of_anything_never_lowers_the_ceiling(world: TableWorld, these: Limits) -> None:
    turns, per_turn, actions = these.turns, these.actions_per_turn, these.actions
    least = Solver(world, 0, these).ceiling()
    for a, b, c in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        more = (turns + a, per_turn + b, actions + c)
        assert Solver(world, 0, Limits(*more)).ceiling() >= least - 1e-12


FORK = TableWorld(
    # `a` leads left or right; what wins on one side loses on the other
    table=(
        (((1, 1), (1, 2)), ((1, 0),)),
        sure(3, 4),
        sure(4, 3),
        sure(3, 3),
        sure(4, 4),
    ),
    goals=frozenset({3}),
    holes=frozenset({4}),
)


def test_looking_helps_where_there_is_luck() -> None:
    blind = Solver(FORK, 0, Limits(turns=1, actions_per_turn=2, actions=2))
    looks = Solver(FORK, 0, Limits(turns=2, actions_per_turn=2, actions=2))
    assert (blind.floor(), blind.ceiling(), blind.closed_loop()) == (0.25, 0.5, 1)
    assert looks.ceiling() == 1


# -- actions that differ from state to state -------------------------------------------------------


@dataclass(frozen=True)
class Choosy(TableWorld):
    """A fork that offers actions of its own once it has been passed."""

    later: tuple[str, ...] = ()

    def actions(self, state: int) -> tuple[str, ...]:
        return self.later if state else ("a", "b")


choosy = pytest.mark.parametrize(
    "world",
    [Choosy(FORK.table, FORK.goals, FORK.holes, later=later) for later in (("b",), ("b", "a"))],
    ids=["fewer", "in another order"],
)


@choosy
def test_blind_sequences_of_actions_that_differ_have_no_exact_value(world: Choosy) -> None:
    these = Limits(turns=2, actions_per_turn=2, actions=2)
    solver = Solver(world, 0, these)
    with pytest.raises(NoExactBoundError, match="depends on the state"):
        solver.ceiling()
    with pytest.raises(NoExactBoundError, match="depends on the state"):
        solver.best_turn(0, these.turns, these.actions)
    task = table_task(world, limits={"turns": 2, "actions_per_turn": 2, "actions": 2})
    (found,) = board_bounds(task, task.boards[0][:1]).values()
    assert math.isnan(found.ceiling)
    assert (found.floor, found.closed_loop) == (solver.floor(), solver.closed_loop())
    assert found.exact
    asked = EpisodeSpec(task, task.boards[0][0], 0, "s")
    with pytest.raises(ModelGoneError, match="cannot play"):
        asyncio.run(play(asked, OracleBaseline("baseline/oracle")))


@choosy
def test_actions_that_differ_are_exact_one_a_turn(world: Choosy) -> None:
    these = Limits(turns=2, actions_per_turn=1, actions=2)
    solver = Solver(world, 0, these)
    expected = ceiling(world, 0, these)
    assert solver.ceiling() == solver.closed_loop() == float(expected)
    assert value_of_the_oracle(world, 0, these) == expected


# -- actions without effect ------------------------------------------------------------------------


class Frank(TableWorld):
    """A world that says which of its actions surely change nothing."""

    def effective_actions(self, state: int) -> list[int]:
        rows = self.table[state]
        return [i for i, row in enumerate(rows) if any(there != state for _, there in row)]


@settings(max_examples=150)
@given(worlds(), limits)
def test_leaving_out_actions_without_effect_changes_no_bound(
    world: TableWorld, these: Limits
) -> None:
    frank = Frank(table=world.table, goals=world.goals, holes=world.holes)
    bounds = [
        (s.floor(), s.ceiling(), s.closed_loop(), s.shortest_plan())
        for s in (Solver(world, 0, these), Solver(frank, 0, these))
    ]
    assert bounds[1] == pytest.approx(bounds[0], abs=1e-12)


@settings(max_examples=100)
@given(worlds(), limits)
def test_the_oracle_of_such_a_world_is_worth_its_ceiling(world: TableWorld, these: Limits) -> None:
    frank = Frank(table=world.table, goals=world.goals, holes=world.holes)
    expected = Solver(frank, 0, these).ceiling()
    assert float(value_of_the_oracle(frank, 0, these)) == pytest.approx(expected, abs=1e-9)


# -- shortest plan ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "these"), on_tiny_boards)
def test_the_shortest_plan_is_the_shortest_sequence_that_solves_the_board(
    text: str, these: Limits
) -> None:
    world, start = tiny(text)
    solving = (
        len(plan)
        for plan in every_plan(world, start, these)
        if won(world, after(world, start, plan))
    )
    assert Solver(world, start, these).shortest_plan() == next(solving, None)


@settings(max_examples=100)
@given(worlds(), limits)
def test_with_luck_the_shortest_plan_is_the_one_that_may_work(
    world: TableWorld, these: Limits
) -> None:
    lucky = (
        len(plan) for plan in every_plan(world, 0, these) if won(world, after(world, 0, plan)) > 0
    )
    assert Solver(world, 0, these).shortest_plan() == next(lucky, None)


# -- ends ------------------------------------------------------------------------------------------


def test_a_board_that_starts_solved_has_every_bound_at_1() -> None:
    solver = Solver(SLIPPERY, 3, Limits(2, 2, 4))
    bounds = (solver.floor(), solver.ceiling(), solver.closed_loop(), solver.shortest_plan())
    assert bounds == (1, 1, 1, 0)


def test_a_board_that_starts_lost_has_every_bound_at_0() -> None:
    solver = Solver(SLIPPERY, 4, Limits(2, 2, 4))
    bounds = (solver.floor(), solver.ceiling(), solver.closed_loop(), solver.shortest_plan())
    assert bounds == (0, 0, 0, None)


def test_too_many_states_are_an_error_not_a_wrong_number() -> None:
    world, start = tiny(TINY[0])
    with pytest.raises(NoExactBoundError, match="more than 5 states are reachable in 5 actions"):
        Solver(world, start, Limits(1, 5, 5), state_limit=5)


def test_too_many_blind_sequences_are_an_error_not_a_wrong_number() -> None:
    with pytest.raises(NoExactBoundError, match="too many blind sequences"):
        Solver(SLIPPERY, 0, Limits(1, 20, 20)).ceiling()


# -- the baselines play these bounds ---------------------------------------------------------------


def value_of_the_oracle(world: AnyEnvironment, start: Any, these: Limits) -> Fraction:
    """The exact chance of the sequences that the solver commits to, turn by turn."""
    solver = Solver(world, start, these)

    def value(state: Any, turns: int, actions: int) -> Fraction:
        if ended(world, state) or not turns or not actions:
            return Fraction(int(world.is_success(state)))
        plan = tuple(solver.best_turn(state, turns, actions))
        assert 1 <= len(plan) <= min(these.actions_per_turn, actions)
        return sum(
            (
                p * value(place, turns - 1, actions - len(plan))
                for place, p in after(world, state, plan).items()
            ),
            Fraction(0),
        )

    return value(start, these.turns, these.actions)


@settings(max_examples=100)
@given(worlds(), limits)
def test_the_oracles_turns_are_worth_the_ceiling(world: TableWorld, these: Limits) -> None:
    expected = Solver(world, 0, these).ceiling()
    assert float(value_of_the_oracle(world, 0, these)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("text", "these"), on_tiny_boards)
def test_the_oracles_turns_are_worth_the_ceiling_on_tiny_boards(text: str, these: Limits) -> None:
    world, start = tiny(text)
    expected = Solver(world, start, these).ceiling()
    assert float(value_of_the_oracle(world, start, these)) == expected


def successes(task: Task, start: Any, model: Any, episodes: int) -> int:
    world = task.environment
    instance = Instance(world.instance_id(0), 0, start, world.board_key(start))

    async def all_of_them() -> int:
        specs = (EpisodeSpec(task, instance, repeat, "0") for repeat in range(episodes))
        return sum([(await play(spec, model)).success for spec in specs])

    return asyncio.run(all_of_them())


def agrees(wins: int, episodes: int, p: float) -> bool:
    """Whether so many wins lie within four standard errors of what `p` says."""
    return abs(wins - episodes * p) <= 4 * math.sqrt(episodes * p * (1 - p))


SLIPPERY_TASK = table_task(limits={"turns": 2, "actions_per_turn": 3, "actions": 5})


def test_the_oracle_reaches_the_ceiling_where_there_is_luck() -> None:
    expected = Solver(SLIPPERY, 0, SLIPPERY_TASK.limits).ceiling()
    assert 0.2 < expected < 0.8
    assert agrees(successes(SLIPPERY_TASK, 0, OracleBaseline("o"), 1500), 1500, expected)


def test_random_play_matches_the_floor_where_there_is_luck() -> None:
    expected = Solver(SLIPPERY, 0, SLIPPERY_TASK.limits).floor()
    assert 0.05 < expected < 0.5
    assert agrees(successes(SLIPPERY_TASK, 0, RandomBaseline("r"), 1500), 1500, expected)


def test_random_play_matches_the_floor_on_a_drawn_board() -> None:
    spec = drawn(LINE)
    expected = Solver(spec.task.environment, spec.instance.state, spec.task.limits).floor()
    wins = successes(spec.task, spec.instance.state, RandomBaseline("r"), 1500)
    assert agrees(wins, 1500, expected)


def test_the_oracle_solves_every_board_that_can_be_solved_by_a_shortest_plan() -> None:
    task = sokoban_task()
    for board in task.boards[0][:24]:
        plan = Solver(task.environment, board.state, task.limits).shortest_plan()
        episode = asyncio.run(play(EpisodeSpec(task, board, 0, "0"), OracleBaseline("o")))
        executed = sum(turn.executed for turn in episode.turns)
        assert (episode.success, executed if episode.success else None) == (
            plan is not None,
            plan,
        )


def test_the_oracle_keeps_playing_where_nothing_helps() -> None:
    spec = drawn("#######\n#P_X__#\n#____O#\n#######", limits={"actions": 2})
    episode = asyncio.run(play(spec, OracleBaseline("o")))
    assert episode.failure not in ("format", "invalid")


# -- worlds that break the rules of chance ---------------------------------------------------------


@dataclass(frozen=True)
class Unchancy(TableWorld):
    """A line of three states whose outcomes have other chances than they should."""

    chance: Any = Fraction(1, 2)

    def outcomes(self, state: int, action: str) -> tuple[Outcome[int], ...]:
        found = super().outcomes(state, action)
        return tuple(outcome._replace(probability=self.chance) for outcome in found)


@pytest.mark.parametrize(
    ("chance", "told"),
    [(Fraction(1, 2), "add up to 1/2, not to 1"), (1.0, "a probability is not a fraction above 0")],
)
def test_chances_that_are_wrong_have_no_bounds(chance: Any, told: str) -> None:
    world = Unchancy((sure(1), sure(2), sure(2)), goals=frozenset({2}), chance=chance)
    with pytest.raises(PluginError, match=told) as refused:
        Solver(world, 0, Limits(1, 2, 2))
    assert str(refused.value).startswith("environment 'table': after the action 'a' ")
    assert str(refused.value).endswith(", in the state '<0'")


# -- whether success is still possible -------------------------------------------------------------

STUCK = TableWorld(table=(sure(0, 1), sure(1, 0), sure(2, 2)), goals=frozenset({2}))


def test_success_that_needs_luck_is_possible() -> None:
    assert can_succeed(SLIPPERY, 0) is True


def test_success_behind_nothing_is_impossible() -> None:
    assert can_succeed(STUCK, 0) is False


def test_success_behind_a_loss_is_impossible() -> None:
    fatal = TableWorld(
        table=(sure(1), sure(2), sure(2)), goals=frozenset({2}), holes=frozenset({1})
    )
    assert can_succeed(fatal, 0) is False


def test_a_solved_state_has_succeeded() -> None:
    assert can_succeed(SLIPPERY, 3) is True


def test_a_box_in_a_corner_makes_success_impossible() -> None:
    world, start = tiny("###### #PXO_# #____# ######")
    assert can_succeed(world, start) is True
    (pushed,) = world.outcomes(start, "Right")
    (cornered,) = world.outcomes(pushed.state, "Right")
    assert can_succeed(world, cornered.state) is False


def test_a_search_that_is_cut_short_says_nothing() -> None:
    world, start = tiny(TINY[2])
    assert can_succeed(world, start, most_transitions=8) is None


def test_a_search_that_has_seen_everything_is_not_cut_short() -> None:
    assert can_succeed(STUCK, 0, most_transitions=4) is False


@settings(max_examples=100)
@given(worlds())
def test_success_is_possible_exactly_where_some_sequence_may_work(world: TableWorld) -> None:
    plans = every_plan(world, 0, Limits(1, 4, 4))  # four states: four actions reach everything
    assert can_succeed(world, 0) == any(won(world, after(world, 0, plan)) for plan in plans)


def test_limits_of_many_turns_are_no_deep_recursion() -> None:
    turns = 3 * sys.getrecursionlimit()
    with_luck = Solver(SLIPPERY, 0, Limits(turns=turns, actions_per_turn=1, actions=turns))
    assert with_luck.ceiling() == pytest.approx(with_luck.closed_loop(), abs=1e-12)
