"""Sokoban: its rules on hand-drawn boards, its texts both ways, its identity."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.environments.bounds import can_succeed
from spa_bench.environments.environment import NoBoardError
from spa_bench.environments.sokoban import MOVES, Move, Sokoban, SokobanState
from spa_bench.environments.sokoban_ragen import generate

PLAIN = "#_O√XPS"
OTHER = "■·⊙●○☺☻"


def drawn(text: str, **settings: Any) -> tuple[Sokoban, SokobanState]:
    """Returns a hand-drawn board and the environment of its size."""
    rows = text.split()
    boxes = sum(text.count(symbol) for symbol in "X√")
    world = Sokoban(rows=len(rows), cols=len(rows[0]), boxes=max(1, boxes), **settings)
    return world, world.from_grid("\n".join(rows), PLAIN)


@st.composite
def positions(draw: st.DrawFn) -> tuple[Sokoban, SokobanState]:
    """Any position at all, solvable or not, solved or not, in plain or in other symbols."""
    rows, cols = draw(st.integers(4, 7)), draw(st.integers(4, 7))
    inside = [(r, c) for r in range(1, rows - 1) for c in range(1, cols - 1)]
    order = draw(st.permutations(inside))
    count = draw(st.integers(1, min(3, (len(order) - 1) // 2)))
    player, boxes = order[0], set(order[1 : count + 1])
    targets = set(draw(st.permutations(inside))[:count])
    busy = boxes | targets | {player}
    walls = {cell for cell in inside if cell not in busy and draw(st.booleans())}

    def symbol(cell: tuple[int, int]) -> str:
        if cell not in inside or cell in walls:
            return "#"
        if cell == player:
            return "S" if cell in targets else "P"
        if cell in boxes:
            return "√" if cell in targets else "X"
        return "O" if cell in targets else "_"

    grid = "\n".join("".join(symbol((r, c)) for c in range(cols)) for r in range(rows))
    symbols = draw(st.sampled_from([PLAIN, OTHER]))
    world = Sokoban(rows=rows, cols=cols, boxes=count, symbols=symbols)
    return world, world.from_grid(grid, PLAIN)


moves = st.sampled_from(MOVES)

# -- rules -----------------------------------------------------------------------------------------

RULES: dict[str, tuple[str, Move, str, float, bool]] = {
    "walks onto floor": (
        "###### #P_X_# #___O# ######",
        "Right",
        "###### #_PX_# #___O# ######",
        -0.1,
        False,
    ),
    "walks onto a target": (
        "###### #P_X_# #O___# ######",
        "Down",
        "###### #__X_# #S___# ######",
        -0.1,
        False,
    ),
    "walks off a target": (
        "###### #S_X_# #____# ######",
        "Down",
        "###### #O_X_# #P___# ######",
        -0.1,
        False,
    ),
    "does not walk into a wall": (
        "###### #P_X_# #___O# ######",
        "Left",
        "###### #P_X_# #___O# ######",
        -0.1,
        False,
    ),
    "pushes a box": (
        "###### #PX__# #O___# ######",
        "Right",
        "###### #_PX_# #O___# ######",
        -0.1,
        False,
    ),
    "pushes a box up": (
        "###### #____# #X___# #P__O# ######",
        "Up",
        "###### #X___# #P___# #___O# ######",
        -0.1,
        False,
    ),
    "does not push a box into a wall": (
        "###### #__PX# #O___# ######",
        "Right",
        "###### #__PX# #O___# ######",
        -0.1,
        False,
    ),
    "does not push two boxes": (
        "####### #PXX__# #OO___# #######",
        "Right",
        "####### #PXX__# #OO___# #######",
        -0.1,
        False,
    ),
    "does not pull a box": (
        "###### #_PX_# #___O# ######",
        "Left",
        "###### #P_X_# #___O# ######",
        -0.1,
        False,
    ),
    "brings a box onto a target": (
        "####### #PXO__# #_X_O_# #######",
        "Right",
        "####### #_P√__# #_X_O_# #######",
        0.9,
        False,
    ),
    "takes a box off a target": (
        "###### #P√__# #____# ######",
        "Right",
        "###### #_SX_# #____# ######",
        -1.1,
        False,
    ),
    "moves a box from target to target": (
        "####### #P√O__# #_X___# #######",
        "Right",
        "####### #_S√__# #_X___# #######",
        -0.1,
        False,
    ),
    "solves the board": (
        "####### #PXO__# #_√___# #######",
        "Right",
        "####### #_P√__# #_√___# #######",
        10.9,
        True,
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule(rule: str) -> None:
    before, move, after, reward, terminal = RULES[rule]
    world, state = drawn(before)
    (outcome,) = world.outcomes(state, move)
    assert world.render(outcome.state).split() == after.split()
    assert (outcome.reward, outcome.terminal) == (pytest.approx(reward), terminal)


@given(positions(), moves)
def test_an_action_has_one_sure_outcome(position: tuple[Sokoban, SokobanState], move: Move) -> None:
    world, state = position
    assert [outcome.probability for outcome in world.outcomes(state, move)] == [Fraction(1)]


@given(positions(), moves)
def test_walls_targets_and_the_number_of_boxes_never_change(
    position: tuple[Sokoban, SokobanState], move: Move
) -> None:
    world, state = position
    (outcome,) = world.outcomes(state, move)
    assert outcome.state.room == state.room
    assert len(set(outcome.state.boxes)) == len(state.boxes)


@given(positions(), moves)
def test_nothing_ever_stands_in_a_wall_or_on_a_box(
    position: tuple[Sokoban, SokobanState], move: Move
) -> None:
    world, state = position
    (outcome,) = world.outcomes(state, move)
    player, boxes = outcome.state.player, outcome.state.boxes
    assert player not in boxes
    assert all(outcome.state.room[cell] in "_O" for cell in (player, *boxes))


@given(positions(), moves)
def test_the_player_and_at_most_one_box_move_by_one_cell_in_the_same_direction(
    position: tuple[Sokoban, SokobanState], move: Move
) -> None:
    world, state = position
    (outcome,) = world.outcomes(state, move)
    step = outcome.state.player - state.player
    left, come = (
        set(state.boxes) - set(outcome.state.boxes),
        set(outcome.state.boxes) - set(state.boxes),
    )
    assert len(left) <= 1
    assert {box + step for box in left} == come
    assert left <= {outcome.state.player}


@given(positions(), moves)
def test_boxes_stay_in_order_so_that_equal_positions_are_equal(
    position: tuple[Sokoban, SokobanState], move: Move
) -> None:
    world, state = position
    (outcome,) = world.outcomes(state, move)
    assert outcome.state == world.from_grid(world.render(outcome.state))


@given(positions(), moves)
def test_the_reward_counts_boxes_on_targets(
    position: tuple[Sokoban, SokobanState], move: Move
) -> None:
    world, state = position
    (outcome,) = world.outcomes(state, move)
    placed = [sum(s.room[box] == "O" for box in s.boxes) for s in (state, outcome.state)]
    bonus = 10 if outcome.terminal else 0
    assert outcome.reward == pytest.approx(-0.1 + placed[1] - placed[0] + bonus)


@given(positions(), moves)
def test_an_episode_ends_exactly_when_the_last_box_comes_to_its_target(
    position: tuple[Sokoban, SokobanState], move: Move
) -> None:
    world, state = position
    (outcome,) = world.outcomes(state, move)
    if not world.is_success(state):
        assert outcome.terminal == world.is_success(outcome.state)


@given(positions())
def test_success_is_every_box_on_a_target(position: tuple[Sokoban, SokobanState]) -> None:
    world, state = position
    facts = world.facts(state)
    assert world.is_success(state) == (facts["box"] == facts["target"])


# -- boards ----------------------------------------------------------------------------------------

BAD_GRIDS = {
    "empty": "",
    "white space": " \n ",
    "ragged": "######\n#PXO_#\n#___#\n######",
    "unknown symbol": "######\n#PXO?#\n#____#\n######",
    "no player": "######\n#_XO_#\n#____#\n######",
    "two players": "######\n#PXOP#\n#____#\n######",
    "player and player on target": "######\n#PXOS#\n#_X__#\n######",
    "no box": "######\n#P___#\n#____#\n######",
    "no box and a target": "######\n#P__O#\n#____#\n######",
    "more boxes than targets": "######\n#PXOX#\n#____#\n######",
    "more targets than boxes": "######\n#PXOO#\n#____#\n######",
    "open at the top": "###_##\n#PXO_#\n#____#\n######",
    "open at the side": "######\n_PXO_#\n#____#\n######",
    "a row too many": "######\n#PXO_#\n#____#\n#____#\n######",
    "a column too many": "#######\n#PXO__#\n#_____#\n#######",
    "an empty row within": "######\n\n#PXO_#\n######",
    "one symbol": "P",
}


@pytest.mark.parametrize("kind", BAD_GRIDS)
def test_a_drawing_that_is_no_board_is_an_error(kind: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Sokoban(rows=4, cols=6).from_grid(BAD_GRIDS[kind])


@given(st.text(alphabet="#_O√XPS \n?", max_size=40))
def test_no_drawing_raises_anything_but_a_value_error(text: str) -> None:
    try:
        state = Sokoban(rows=4, cols=4).from_grid(text)
    except ValueError:
        return
    assert Sokoban(rows=4, cols=4).render(state) == text.strip("\n")


@given(positions())
def test_what_is_drawn_is_what_was_rendered(position: tuple[Sokoban, SokobanState]) -> None:
    world, state = position
    assert world.from_grid(world.render(state)) == state


@pytest.mark.parametrize(("rows", "cols", "boxes"), [(6, 6, 1), (6, 6, 2), (5, 9, 1)])
def test_generated_boards_are_of_the_size_asked_for_unsolved_and_solvable(
    rows: int, cols: int, boxes: int
) -> None:
    world = Sokoban(rows=rows, cols=cols, boxes=boxes)
    for seed in (1, 2, 4, 5, 7):
        state = world.initial_state(seed)
        grid = world.render(state).split("\n")
        assert (len(grid), {len(row) for row in grid}) == (rows, {cols})
        assert len(state.boxes) == boxes
        assert not world.is_success(state)
        assert can_succeed(world, state)


def test_a_seed_always_has_the_same_board() -> None:
    first = Sokoban().initial_state(123)
    generate.cache_clear()
    assert Sokoban().initial_state(123) == first


def test_a_seed_without_a_board_says_so() -> None:
    crowded = Sokoban(rows=4, cols=4, boxes=3)
    with pytest.raises(NoBoardError, match="no board for seed 0"):
        crowded.initial_state(0)


BAD_SETTINGS: dict[str, dict[str, Any]] = {
    "too few rows": {"rows": 3},
    "too many rows": {"rows": 51},
    "too few columns": {"cols": 3},
    "too many columns": {"cols": 51},
    "no boxes": {"boxes": 0},
    "too many boxes": {"boxes": 11},
    "no search": {"search_depth": 0},
    "six symbols": {"symbols": "#_OXPS"},
    "a symbol twice": {"symbols": "#_OXXPS"},
    "white space as a symbol": {"symbols": "# O√XPS"},
    "equal names": {"action_names": ("Up", "up", "Left", "Right")},
    "an empty name": {"action_names": ("", "Down", "Left", "Right")},
    "a padded name": {"action_names": (" Up", "Down", "Left", "Right")},
    "a name with a separator": {"action_names": ("U||p", "Down", "Left", "Right")},
    "a name with a tag": {"action_names": ("</answer>", "Down", "Left", "Right")},
    "a name of two lines": {"action_names": ("Go\nup", "Down", "Left", "Right")},
}


@pytest.mark.parametrize("kind", BAD_SETTINGS)
def test_settings_that_cannot_be_played_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="must"):
        Sokoban(**BAD_SETTINGS[kind])


@pytest.mark.parametrize(
    "settings",
    [
        {"rows": 4, "cols": 50, "boxes": 10},
        {"rows": 50, "cols": 4, "boxes": 1},
        {"search_depth": 1},
        {"generator": "spa", "min_solution": 5, "max_solution": 9},
    ],
)
def test_the_last_settings_that_can_be_played_are_not(settings: dict[str, Any]) -> None:
    world = Sokoban(**settings)
    assert {name: getattr(world, name) for name in settings} == settings


def test_a_setting_of_the_other_generator_is_refused() -> None:
    with pytest.raises(ValueError, match="search_depth is a setting of generator: ragen"):
        Sokoban(generator="spa", search_depth=30)


@pytest.mark.parametrize(
    ("settings", "variant"),
    [
        ({}, "6x6-1/ragen"),
        ({"rows": 7, "cols": 9, "boxes": 2, "search_depth": 40}, "7x9-2/ragen-depth40"),
        ({"generator": "spa", "controls": "mirrored"}, "6x6-1-mirrored/spa"),
        ({"generator": "spa", "boxes_move": "pulled"}, "6x6-1-pulled/spa"),
    ],
)
def test_a_variant_names_all_that_is_not_usual(settings: dict[str, Any], variant: str) -> None:
    assert Sokoban(**settings).variant == variant


# -- identity --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shown", [{"symbols": OTHER}, {"action_names": ("North", "South", "West", "East")}]
)
def test_symbols_and_names_are_presentation_only(shown: dict[str, Any]) -> None:
    assert replace(Sokoban(), **shown).environment_id == Sokoban().environment_id


@pytest.mark.parametrize("other", [{"rows": 7}, {"cols": 7}, {"boxes": 2}, {"search_depth": 9}])
def test_rules_and_generator_are_identity(other: dict[str, Any]) -> None:
    assert replace(Sokoban(), **other).environment_id != Sokoban().environment_id


def test_the_identity_of_the_papers_boards_is_the_published_one() -> None:
    # keys every stream of chance: if this changes, so does every score ever reported
    assert Sokoban().environment_id == "a3cec37be66e53ed"
    assert Sokoban().instance_id(123) == "sokoban/6x6-1/ragen/123"


def images(grid: list[str]) -> list[list[str]]:
    """The eight rotations and reflections of a drawing."""
    flipped = [row[::-1] for row in grid]
    found: list[list[str]] = []
    for start in (grid, flipped):
        found.append(start)
        for _ in range(3):
            found.append(["".join(column) for column in zip(*reversed(found[-1]), strict=True)])
    return found


@given(positions())
def test_a_board_key_is_the_same_for_all_eight_symmetries(
    position: tuple[Sokoban, SokobanState],
) -> None:
    world, state = position
    keys: set[str] = set()
    for image in images(world.render(state).split("\n")):
        turned = replace(world, rows=len(image), cols=len(image[0]))
        keys.add(turned.board_key(turned.from_grid("\n".join(image))))
    assert keys == {world.board_key(state)}


@given(positions(), moves)
def test_a_board_key_tells_boards_apart_that_no_symmetry_makes_equal(
    position: tuple[Sokoban, SokobanState], move: Move
) -> None:
    world, state = position
    (outcome,) = world.outcomes(state, move)
    same = world.render(outcome.state).split("\n") in images(world.render(state).split("\n"))
    assert (world.board_key(outcome.state) == world.board_key(state)) == same


def test_a_board_key_says_which_symmetries_were_divided_out() -> None:
    world = Sokoban()
    assert world.board_key(world.initial_state(123)).startswith("d4:")


# -- texts -----------------------------------------------------------------------------------------


@given(positions())
def test_a_rendering_is_read_back(position: tuple[Sokoban, SokobanState]) -> None:
    world, state = position
    assert world.parse_render(world.render(state)) == world.facts(state)


@given(positions())
def test_a_description_is_read_back(position: tuple[Sokoban, SokobanState]) -> None:
    world, state = position
    assert world.parse_describe(world.describe(state)) == world.facts(state)


@given(positions(), st.sampled_from(["grid", "grid+coordinates", "coordinates"]))
def test_an_observation_is_read_back(
    position: tuple[Sokoban, SokobanState], observation: str
) -> None:
    world, state = position
    assert world.read(world.observe(state, observation), observation) == world.facts(state)


@given(positions())
def test_a_rendering_may_be_spaced_and_indented(position: tuple[Sokoban, SokobanState]) -> None:
    world, state = position
    spaced = "\n".join(f"  {' '.join(row)} " for row in world.render(state).split("\n"))
    assert world.parse_render(f"\n{spaced}\n\n") == world.facts(state)


def test_a_description_is_the_one_of_the_documentation() -> None:
    world, state = drawn("####### #PXO__# #_√___# #######")
    assert world.describe(state) == (
        "Player at (1, 1)\nBox at (1, 2), (2, 2)\nTarget at (1, 3), (2, 2)"
    )


def test_a_description_may_be_in_other_words() -> None:
    world, state = drawn("####### #PXO__# #_√___# #######")
    text = "the targets are (2,2) and ( 1 ,3 ); boxes: (1,2) (2,2). I am the PLAYER, at (1,1)."
    assert world.parse_describe(text) == world.facts(state)


@pytest.mark.parametrize("missing", ["player", "box", "target"])
def test_a_description_that_leaves_something_out_says_nothing(missing: str) -> None:
    text = "\n".join(f"{kind} at (1, 1)" for kind in ("player", "box", "target") if kind != missing)
    assert Sokoban().parse_describe(text) is None


@pytest.mark.parametrize(
    "text",
    ["", "#", "######\n" * 5 + "#####", "######\n" * 7, "######\n" * 5 + "#####?", "######" * 6],
)
def test_a_grid_of_another_size_or_other_symbols_says_nothing(text: str) -> None:
    assert Sokoban().parse_render(text) is None


HOSTILE = st.text() | st.text(alphabet="#_O√XPS\n (),0123456789٣²playerboxtarget", max_size=200)


@given(HOSTILE)
def test_no_text_raises(text: str) -> None:
    world = Sokoban()
    world.parse_render(text)
    world.parse_describe(text)
    world.parse_action(text)


@pytest.mark.parametrize(
    "text",
    ["(" * 1_000_000, "box" * 400_000, "(1,1)" * 200_000, "\n" * 1_000_000, "box at (1, " * 90_000],
    ids=["brackets", "boxes", "places", "lines", "unfinished"],
)
def test_a_megabyte_of_text_is_read_in_one_pass(text: str) -> None:
    assert Sokoban().parse_describe(text) is None
    assert Sokoban().parse_render(text) is None
    assert Sokoban().parse_action(text) is None


@given(moves, st.sampled_from([str.upper, str.lower, str.title]), st.sampled_from(["", " ", "\n"]))
def test_an_action_is_read_in_any_case(move: Move, case: Any, around: str) -> None:
    assert Sokoban().parse_action(f"{around}{case(move)}{around}") == move


@given(moves)
def test_actions_with_other_names_are_read_back(move: Move) -> None:
    world = Sokoban(action_names=("North", "South", "West", "East"))
    assert world.parse_action(world.format_action(move)) == move
    assert world.parse_action(move) is None


@pytest.mark.parametrize("text", ["", "Upp", "Up Down", "Up.", "1", "push up", "U p"])
def test_what_is_not_a_name_is_no_action(text: str) -> None:
    assert Sokoban().parse_action(text) is None


def test_the_legend_names_every_symbol() -> None:
    legend = Sokoban(symbols=OTHER).prompt_fields()["legend"]
    assert all(f"{symbol} " in legend for symbol in OTHER)


def test_a_prompt_may_name_the_size_the_boxes_and_the_actions() -> None:
    fields = Sokoban(rows=7, cols=9, boxes=2, action_names=("N", "S", "W", "E")).prompt_fields()
    assert fields == {
        "legend": "# wall, _ empty floor, O target, √ box on a target, X box, P player, "
        "S player on a target",
        "action_names": "N, S, W, E",
        "rows": "7",
        "cols": "9",
        "boxes": "2",
    }
