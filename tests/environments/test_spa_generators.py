"""What every board of `generator: spa` promises: a solution, of a length that was asked for."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spa_bench.environments import sokoban_spa
from spa_bench.environments.bounds import least_actions
from spa_bench.environments.environment import NoBoardError
from spa_bench.environments.frozenlake import FrozenLake
from spa_bench.environments.sokoban import MOVES, Sokoban, SokobanState
from spa_bench.environments.sokoban_spa import Place, Room
from spa_bench.environments.sudoku import BLANK, Sudoku

seeds = st.integers(0, 2**32 - 1)
rules = st.sampled_from(["pushed", "pulled"])


# -- Sokoban: moves taken back ---------------------------------------------------------------------


@st.composite
def rooms(draw: st.DrawFn, cells: int = 9) -> Room:
    """Any room of up to nine cells of floor inside 5x5, also one that falls apart."""
    inside = [row * 5 + col for row in range(1, 4) for col in range(1, 4)]
    floor = draw(st.lists(st.sampled_from(inside), min_size=3, max_size=cells, unique=True))
    targets = draw(st.lists(st.sampled_from(floor), min_size=1, max_size=2, unique=True))
    return Room(5, bits(floor), bits(targets), draw(rules))


def bits(cells: Any) -> int:
    return sum(1 << cell for cell in cells)


def cells_of(room: Room) -> list[int]:
    return [cell for cell in range(25) if room.floor >> cell & 1]


def places(room: Room) -> Iterator[Place]:
    for boxes in combinations(cells_of(room), room.targets.bit_count()):
        for player in set(cells_of(room)) - set(boxes):
            yield Place(player, bits(boxes))


def world_of(room: Room) -> Sokoban:
    boxes = room.targets.bit_count()
    return Sokoban(rows=5, cols=5, boxes=boxes, generator="spa", boxes_move=room.boxes_move)


def state_of(room: Room, place: Place) -> SokobanState:
    kinds = ["#" if not room.floor >> cell & 1 else "_" for cell in range(25)]
    kinds = ["O" if room.targets >> cell & 1 else kind for cell, kind in enumerate(kinds)]
    text = "\n".join("".join(kinds[row : row + 5]) for row in range(0, 25, 5))
    at = [cell + cell // 5 for cell in range(25)]  # in a state, a newline ends each row
    boxes = tuple(at[cell] for cell in range(25) if place.boxes >> cell & 1)
    return SokobanState(text, at[place.player], boxes)


@settings(max_examples=50)
@given(rooms(7))
def test_what_comes_before_a_place_is_what_the_kernel_turns_into_it(room: Room) -> None:
    world = world_of(room)
    taken_back = {
        (earlier, place, moved) for place in places(room) for earlier, moved in room.before(place)
    }
    by_state = {state_of(room, place): place for place in places(room)}
    played = {
        (by_state[here], by_state[there], here.boxes != there.boxes)
        for here in by_state
        for move in MOVES
        for _, there, _, _ in world.outcomes(here, move)
        if here != there
    }
    assert taken_back == played


@settings(max_examples=50)
@given(rooms())
def test_lengths_are_those_of_the_shortest_solutions(room: Room) -> None:
    world = world_of(room)
    layers = room.distances(None)
    lengths = {place: length for length, layer in enumerate(layers) for place in layer}
    for place in places(room):
        expected = least_actions(world, state_of(room, place))
        assert lengths.get(place) == expected
        if expected is not None:
            assert room.least_actions(place) <= expected


@given(rooms(), st.integers(0, 12))
def test_a_shorter_search_finds_the_same(room: Room, furthest: int) -> None:
    assert room.distances(furthest) == room.distances(None)[: furthest + 1]


# -- Sokoban: boards ---------------------------------------------------------------------------


@settings(max_examples=60)
@given(seeds, rules, st.integers(1, 2), st.integers(3, 8), st.integers(1, 6))
def test_a_sokoban_is_solved_in_a_length_that_was_asked_for(
    seed: int, rule: Any, boxes: int, least: int, more: int
) -> None:
    world = Sokoban(
        boxes=boxes,
        generator="spa",
        boxes_move=rule,
        min_solution=least,
        max_solution=least + more,
    )
    start = world.initial_state(seed)
    assert least <= (least_actions(world, start) or 0) <= least + more
    assert start.room.count("O") == len(start.boxes) == boxes
    assert not any(start.room[box] == "O" for box in start.boxes)


@settings(max_examples=30)
@given(seeds, rules, st.integers(1, 3), st.integers(1, 3))
def test_where_rooms_are_not_searched_the_length_is_no_less(
    seed: int, rule: Any, boxes: int, least: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sokoban_spa, "_SEARCHED", 0)
        world = Sokoban(boxes=boxes, generator="spa", boxes_move=rule, min_solution=least)
        start = world.initial_state(seed)
    assert (least_actions(world, start) or 0) >= least
    assert not any(start.room[box] == "O" for box in start.boxes)


@settings(max_examples=20)
@given(seeds, rules)
def test_where_rooms_are_not_searched_the_length_is_no_more_either(seed: int, rule: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sokoban_spa, "_SEARCHED", 0)
        world = Sokoban(boxes=2, generator="spa", boxes_move=rule, min_solution=4, max_solution=25)
        start = world.initial_state(seed)
    assert 4 <= (least_actions(world, start) or 0) <= 25


@pytest.mark.parametrize("rule", ["pushed", "pulled"])
def test_four_boxes_on_a_large_board_are_drawn(rule: Any) -> None:
    world = Sokoban(rows=10, cols=10, boxes=4, generator="spa", boxes_move=rule, min_solution=8)
    boards = {world.render(world.initial_state(seed)) for seed in range(20)}
    assert len(boards) == 20


@pytest.mark.parametrize(
    "settings",
    [
        {"min_solution": 200},
        {"boxes": 8},
        {"rows": 4, "cols": 4, "boxes": 2},
        {"boxes": 3, "rows": 8, "cols": 8, "min_solution": 500},
    ],
)
def test_a_sokoban_that_cannot_be_is_given_up(settings: dict[str, Any]) -> None:
    with pytest.raises(NoBoardError, match="seed 7"):
        Sokoban(generator="spa", **settings).initial_state(7)


# -- FrozenLake ------------------------------------------------------------------------------------


@given(seeds, st.sampled_from(["firm", "slippery", "sliding"]), st.integers(1, 3))
def test_a_lake_is_solved_in_a_length_that_was_asked_for(seed: int, ice: Any, least: int) -> None:
    world = FrozenLake(size=5, ice=ice, generator="spa", min_solution=least, max_solution=least + 1)
    start = world.initial_state(seed)
    assert least_actions(world, start) in (least, least + 1)
    assert world.render(start).count("P") == 1


@pytest.mark.parametrize("settings", [{"min_solution": 30}, {"size": 2, "min_solution": 3}])
def test_a_lake_that_cannot_be_is_given_up(settings: dict[str, Any]) -> None:
    with pytest.raises(NoBoardError, match="seed 7"):
        FrozenLake(generator="spa", **settings).initial_state(7)


# -- Sudoku ----------------------------------------------------------------------------------------


def solutions(world: Sudoku, cells: str) -> int:
    """Counts the solutions by trying everything that the kernel allows, cell by cell."""
    blank = cells.find(BLANK)
    if blank < 0:
        return 1
    count = 0
    for action in world.actions(world.from_cells(cells)):
        if (action.row - 1) * world.size + action.col - 1 == blank:
            state = world.from_cells(cells)
            (outcome,) = world.outcomes(state, action)
            count += 0 if outcome.state == state else solutions(world, outcome.state.cells)
    return count


@settings(max_examples=40)
@given(seeds, st.sampled_from(["boxes", "shifted"]), st.integers(5, 15))
def test_a_sudoku_has_one_solution_and_just_so_many_clues(
    seed: int, regions: Any, clues: int
) -> None:
    world = Sudoku(clues=clues, generator="spa", regions=regions)
    start = world.initial_state(seed)
    assert 16 - start.cells.count(BLANK) == clues
    assert solutions(world, start.cells) == 1


@settings(max_examples=20)
@given(seeds, st.sampled_from(["boxes", "shifted"]), st.integers(7, 15))
def test_a_sudoku_takes_as_many_actions_as_it_has_blanks(
    seed: int, regions: Any, clues: int
) -> None:
    world = Sudoku(clues=clues, generator="spa", regions=regions)
    assert least_actions(world, world.initial_state(seed)) == 16 - clues


@pytest.mark.parametrize("regions", ["boxes", "shifted"])
def test_a_large_sudoku_has_one_solution(regions: Any) -> None:
    world = Sudoku(size=9, clues=34, generator="spa", regions=regions)
    start = world.initial_state(3)
    assert 81 - start.cells.count(BLANK) == 34
    plan = world.plan(start)
    assert plan is not None
    assert len(plan) == 47


def test_a_sudoku_that_cannot_be_is_given_up() -> None:
    with pytest.raises(NoBoardError, match="seed 7"):
        Sudoku(clues=3, generator="spa").initial_state(7)  # none has fewer than four


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "settings", "told"),
    [
        (Sokoban, {"min_solution": 3}, "min_solution is a setting of generator: spa"),
        (FrozenLake, {"max_solution": 3}, "max_solution is a setting of generator: spa"),
        (Sokoban, {"generator": "spa", "min_solution": 0}, "min_solution must be at least 1"),
        (
            FrozenLake,
            {"generator": "spa", "min_solution": 4, "max_solution": 3},
            "min_solution must not exceed max_solution",
        ),
        (Sokoban, {"generator": "spa", "search_depth": 3}, "a setting of generator: ragen"),
        (Sudoku, {"regions": "shifted"}, "take generator: spa"),
    ],
)
def test_settings_that_do_nothing_are_refused(made, settings, told) -> None:
    with pytest.raises(ValueError, match=told):
        made(**settings)
