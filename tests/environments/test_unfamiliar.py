"""Unfamiliar controls, symbols, names and regions: what they change and what they leave alone."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spa_bench.environments.controls import direction_of
from spa_bench.environments.environment import OBSERVATIONS, AnyEnvironment
from spa_bench.environments.frozenlake import FrozenLake
from spa_bench.environments.sokoban import MOVES, Sokoban
from spa_bench.environments.sudoku import Placement, Sudoku
from spa_bench.environments.symmetry import rotations_and_reflections

seeds = st.integers(0, 10_000)
controls = st.sampled_from(["mirrored", "rotated"])

PAPERS_SYMBOLS = "W.GCBA@"
WORLDS: list[AnyEnvironment] = [
    Sokoban(symbols=PAPERS_SYMBOLS),
    Sokoban(boxes=3, generator="spa", symbols="_#XOP√S"),  # the usual ones, each for another
    Sokoban(generator="spa", boxes_move="pulled", action_names=("Blick", "Dorp", "Fenn", "Wug")),
    Sokoban(generator="spa", controls="rotated", action_names=("North", "South", "West", "East")),
    FrozenLake(symbols="A.W*B@"),
    FrozenLake(size=5, generator="spa", ice="sliding", symbols="_POXG√"),
    FrozenLake(controls="mirrored", action_names=("Up", "Right", "Left", "Down")),
    Sudoku(symbols="ABCD"),
    Sudoku(generator="spa", regions="shifted", clues=6, symbols="4321", blank="_"),
    Sudoku(generator="spa", regions="shifted", size=9, clues=40, symbols="ABCDEFGHI"),
]


@st.composite
def positions(draw: st.DrawFn) -> tuple[AnyEnvironment, Any]:
    """Any of these worlds, and a position that play can lead to."""
    world = draw(st.sampled_from(WORLDS))
    state = world.initial_state(draw(st.integers(0, 200)))
    actions = st.sampled_from(world.actions(state))
    for action in draw(st.lists(actions, max_size=15)):
        outcome = world.outcomes(state, action)[0]
        state = outcome.state
        if outcome.terminal:
            break
    return world, state


@given(positions())
def test_every_way_of_showing_a_state_is_read_back(position: tuple[AnyEnvironment, Any]) -> None:
    world, state = position
    facts = world.facts(state)
    assert world.parse_render(world.render(state)) == facts
    for observation in OBSERVATIONS:
        told = world.read(world.observe(state, observation), observation)
        assert told == {kind: facts[kind] for kind in told or {}}
        assert told


@given(positions())
def test_every_action_is_read_back(position: tuple[AnyEnvironment, Any]) -> None:
    world, state = position
    for action in world.actions(state):
        assert world.parse_action(world.format_action(action)) == action


@given(positions(), st.text(max_size=40))
def test_no_text_makes_the_readers_raise(position: tuple[AnyEnvironment, Any], text: str) -> None:
    world, _ = position
    world.parse_action(text)
    world.parse_render(text)
    world.parse_describe(text)


@given(positions())
def test_all_actions_but_the_effective_ones_change_nothing(
    position: tuple[AnyEnvironment, Any],
) -> None:
    world, state = position
    actions = world.actions(state)
    effective = world.effective_actions(state)
    assert len(set(effective)) == len(effective)
    if world.is_success(state) or world.loss(state):
        return
    for number in set(range(len(actions))) - set(effective):
        (outcome,) = world.outcomes(state, actions[number])
        assert (outcome.state, outcome.reward, outcome.terminal) == (state, 0.0, False)


# -- controls --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "moved"),
    [
        ("plain", {"Up": "Up", "Down": "Down", "Left": "Left", "Right": "Right"}),
        ("mirrored", {"Up": "Up", "Down": "Down", "Left": "Right", "Right": "Left"}),
        ("rotated", {"Up": "Right", "Right": "Down", "Down": "Left", "Left": "Up"}),
    ],
)
def test_controls_are_these(how: Any, moved: dict[Any, str]) -> None:
    assert {action: direction_of(action, how) for action in moved} == moved


@given(seeds, controls, st.sampled_from(MOVES))
def test_a_sokoban_does_under_other_controls_what_the_moved_action_does(
    seed: int, how: Any, action: Any
) -> None:
    plain, other = Sokoban(generator="spa"), Sokoban(generator="spa", controls=how)
    state = plain.initial_state(seed)
    assert other.initial_state(seed) == state
    assert other.outcomes(state, action) == plain.outcomes(state, direction_of(action, how))


@given(seeds, controls, st.sampled_from(["firm", "slippery", "sliding"]), st.sampled_from(MOVES))
def test_a_lake_does_under_other_controls_what_the_moved_action_does(
    seed: int, how: Any, ice: Any, action: Any
) -> None:
    plain = FrozenLake(ice=ice, generator="spa")
    other = FrozenLake(ice=ice, generator="spa", controls=how)
    state = plain.initial_state(seed)
    assert other.initial_state(seed) == state
    ours = sorted(other.outcomes(state, action))
    assert ours == sorted(plain.outcomes(state, direction_of(action, how)))


# -- identity --------------------------------------------------------------------------------------


def test_rules_have_names_and_identities_of_their_own() -> None:
    worlds: list[AnyEnvironment] = [
        *(Sokoban(controls=how) for how in ("plain", "mirrored", "rotated")),
        Sokoban(boxes_move="pulled"),
        Sokoban(generator="spa"),
        Sokoban(generator="spa", min_solution=3),
        Sokoban(generator="spa", max_solution=3),
        Sokoban(generator="spa", boxes_move="pulled", controls="rotated"),
        *(FrozenLake(controls=how) for how in ("plain", "mirrored", "rotated")),
        FrozenLake(generator="spa"),
        FrozenLake(generator="spa", ice="sliding"),
        FrozenLake(generator="spa", ice="sliding", min_solution=3, max_solution=5),
        Sudoku(),
        Sudoku(generator="spa"),
        Sudoku(generator="spa", regions="shifted"),
    ]
    assert len({world.instance_id(1) for world in worlds}) == len(worlds)
    assert len({world.environment_id for world in worlds}) == len(worlds)


def test_a_name_says_rules_then_generator() -> None:
    world = Sokoban(generator="spa", boxes_move="pulled", controls="rotated", min_solution=2)
    assert world.instance_id(7) == "sokoban/6x6-1-rotated-pulled/spa-min2/7"
    ice = FrozenLake(size=6, ice="sliding", generator="spa", max_solution=9)
    assert ice.instance_id(7) == "frozenlake/6x6-sliding/spa-max9/7"
    shifted = Sudoku(generator="spa", regions="shifted")
    assert shifted.instance_id(7) == "sudoku/4x4-10-shifted/spa/7"


@pytest.mark.parametrize("world", [Sokoban(symbols=PAPERS_SYMBOLS), FrozenLake(symbols="A.W*B@")])
def test_symbols_and_names_leave_boards_and_luck_alone(world: AnyEnvironment) -> None:
    assert world.environment_id == type(world)().environment_id
    assert world.initial_state(123) == type(world)().initial_state(123)


# -- board keys ------------------------------------------------------------------------------------


@given(seeds, st.integers(0, 7), st.sampled_from(["mirrored", "rotated"]), st.booleans())
def test_keys_see_through_rotation_and_reflection_under_all_rules_of_sokoban(
    seed: int, image: int, how: Any, pulled: bool
) -> None:
    world = Sokoban(generator="spa", controls=how, boxes_move="pulled" if pulled else "pushed")
    state = world.initial_state(seed)
    drawn = list(rotations_and_reflections(world.render(state).split("\n")))[image]
    assert world.board_key(world.from_grid("\n".join(drawn))) == world.board_key(state)


SHIFTED = Sudoku(generator="spa", regions="shifted")


def rearranged(cells: str, swap: str) -> str:
    """Swaps what the shifted regions allow: columns 2 and 3, 4 and 1, those two pairs, rows."""
    rows = [cells[i : i + 4] for i in range(0, 16, 4)]
    if swap == "rows":
        rows[0], rows[1] = rows[1], rows[0]
    elif swap == "bands":
        rows = rows[2:] + rows[:2]
    else:
        order = {"middle": (0, 2, 1, 3), "outer": (3, 1, 2, 0), "pairs": (2, 3, 0, 1)}[swap]
        rows = ["".join(row[i] for i in order) for row in rows]
    return "".join(rows)


swaps = st.lists(st.sampled_from(["rows", "bands", "middle", "outer", "pairs"]), max_size=5)


@given(seeds, swaps, st.permutations("1234"))
def test_keys_see_through_the_symmetries_of_shifted_regions(
    seed: int, swapped: list[str], names: list[str]
) -> None:
    start = SHIFTED.initial_state(seed).cells
    image = start
    for swap in swapped:
        image = rearranged(image, swap)
    image = image.translate(str.maketrans("1234", "".join(names)))
    keys = {SHIFTED.board_key(SHIFTED.from_cells(cells)) for cells in (start, image)}
    assert len(keys) == 1


def test_a_picture_has_different_keys_under_different_regions() -> None:
    picture = "1.3.3.1.2.4.4.2."
    keys = [world.board_key(world.from_cells(picture)) for world in (Sudoku(), SHIFTED)]
    assert keys[0] != keys[1]
    assert keys[1].startswith("shifted-sudoku-symmetries:")


@settings(max_examples=20)
@given(seeds)
def test_a_shifted_sudoku_is_a_usual_one_with_its_columns_moved(seed: int) -> None:
    start = SHIFTED.initial_state(seed)
    rows = [start.cells[i : i + 4] for i in range(0, 16, 4)]
    usual = Sudoku().from_cells("".join(row[1:] + row[0] for row in rows))
    solution = Sudoku().plan(usual)
    assert solution is not None
    state = start
    for row, col, value in solution:
        state = SHIFTED.outcomes(state, Placement(row, col % 4 + 1, value))[0].state
    assert SHIFTED.is_success(state)
