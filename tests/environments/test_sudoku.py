"""Sudoku: its kernel, its texts, its symmetries and its bounds."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.environments import bounds
from spa_bench.environments.environment import OBSERVATIONS
from spa_bench.environments.limits import Limits
from spa_bench.environments.sudoku import BLANK, Placement, Sudoku, SudokuState

EASY = Sudoku()
PUZZLE = EASY.from_cells("1.3434.22.4.4321")
PAPER_LIMITS = Limits(turns=5, actions_per_turn=5, actions=50)

environments = st.sampled_from(
    [EASY, Sudoku(clues=6), Sudoku(size=9, clues=36), Sudoku(symbols="ABCD", blank="_")]
)


@st.composite
def positions(draw: st.DrawFn) -> tuple[Sudoku, SudokuState]:
    """Any environment, and a position that play can lead to."""
    environment = draw(environments)
    state = environment.initial_state(draw(st.integers(0, 1000)))
    actions = st.sampled_from(environment.actions(state))
    for action in draw(st.lists(actions, max_size=20)):
        state = environment.outcomes(state, action)[0].state
    return environment, state


def place(state: SudokuState, row: int, col: int, value: int):
    (outcome,) = EASY.outcomes(state, Placement(row, col, value))
    return outcome


def solutions(cells: str) -> int:
    """Counts the solutions of a 4x4 board by trying everything."""
    blank = cells.find(BLANK)
    if blank < 0:
        return 1
    row, col = divmod(blank, 4)
    taken = {
        digit
        for i, digit in enumerate(cells)
        if i // 4 == row or i % 4 == col or (i // 8, i % 4 // 2) == (row // 2, col // 2)
    }
    return sum(
        solutions(cells[:blank] + digit + cells[blank + 1 :]) for digit in set("1234") - taken
    )


@given(positions(), st.data())
def test_an_action_has_one_certain_outcome_and_changes_no_given(
    position: tuple[Sudoku, SudokuState], data: st.DataObject
) -> None:
    environment, state = position
    action = data.draw(st.sampled_from(environment.actions(state)))
    outcomes = environment.outcomes(state, action)
    assert outcomes == environment.outcomes(state, action)
    (outcome,) = outcomes
    assert outcome.probability == 1
    assert outcome.state.givens == state.givens
    assert environment.from_cells(*outcome.state) == outcome.state  # and no digit repeats
    assert outcome.terminal == (outcome.reward == 1)


@given(positions())
def test_what_each_way_of_showing_a_state_tells_is_read_back(
    position: tuple[Sudoku, SudokuState],
) -> None:
    environment, state = position
    facts = environment.facts(state)
    assert environment.parse_render(environment.render(state)) == facts
    assert environment.parse_describe(environment.describe(state)) == {"empty": facts["empty"]}
    for observation in OBSERVATIONS:
        told = {"empty": facts["empty"]} if observation == "coordinates" else facts
        assert environment.read(environment.observe(state, observation), observation) == told


@given(environments, st.data())
def test_a_formatted_action_is_read_back(environment: Sudoku, data: st.DataObject) -> None:
    state = environment.initial_state(0)
    action = data.draw(st.sampled_from(environment.actions(state)))
    assert environment.parse_action(f" {environment.format_action(action)}\n") == action


@given(environments, st.one_of(st.text(), st.text("rowcl 0123456789,.()|\n", max_size=40)))
def test_no_text_makes_the_readers_raise(environment: Sudoku, text: str) -> None:
    environment.parse_action(text)
    environment.parse_render(text)
    environment.parse_describe(text)


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3",
        "1, 2, 3",
        "1 2 3",
        "(1, 2, 3)",
        "place 3 at row 1 col 2",
        "Place 3 at row 1, column 2",
        "row 1 col 2 value 3",
        "Row 1, Col 2, 3",
    ],
)
def test_actions_are_read_in_all_the_published_ways(text: str) -> None:
    assert EASY.parse_action(text) == Placement(1, 2, 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1,2",
        "1,2,3,4",
        "0,1,1",
        "5,1,1",
        "1,5,1",
        "1,1,0",
        "1,1,5",
        "-1,1,1",
        "1.5,1,1",
        "１,2,3",
        "row 1 col 2",
        "row 1 col 2 value 5",
        "place 3 at row col 2",
        "place 3 or 4 at row 1 col 2",
        "place 3 at row 1 col",
        "9" * 5000 + ",1,1",
    ],
)
def test_what_is_no_action_is_not_read(text: str) -> None:
    assert EASY.parse_action(text) is None


def test_actions_name_every_cell_and_every_value() -> None:
    actions = EASY.actions(PUZZLE)
    assert len(set(actions)) == len(actions) == 4 * 4 * 4
    assert len(Sudoku(size=9, clues=36).actions(PUZZLE)) == 9 * 9 * 9


def test_a_given_cannot_be_changed() -> None:
    assert place(PUZZLE, 1, 1, 2).state == PUZZLE


@pytest.mark.parametrize(
    "clash", [(1, 2, 3), (3, 2, 3), (2, 3, 4)], ids=["row", "column", "row, column and box"]
)
def test_a_clashing_digit_is_not_placed(clash: tuple[int, int, int]) -> None:
    outcome = place(PUZZLE, *clash)
    assert (outcome.state, outcome.reward, outcome.terminal) == (PUZZLE, 0.0, False)


def test_an_own_entry_can_be_overwritten() -> None:
    start = EASY.from_cells("1...............")
    wrong = place(start, 4, 4, 2).state
    assert place(wrong, 4, 4, 3).state.cells == "1" + BLANK * 14 + "3"


def test_the_last_digit_solves_the_board_and_pays_one() -> None:
    state, rewards = PUZZLE, list[float]()
    for placement in [(1, 2, 2), (2, 3, 1), (3, 2, 1), (3, 4, 3)]:
        outcome = place(state, *placement)
        state = outcome.state
        rewards.append(outcome.reward)
    assert rewards == [0, 0, 0, 1]
    assert outcome.terminal
    assert EASY.is_success(state)
    assert EASY.describe(state) == "No empty positions"


def test_two_wrong_entries_that_block_each_other_are_a_dead_end() -> None:
    start = EASY.initial_state(124)
    assert EASY.render(start) == "| 4 2 . . | 1 3 4 2 | 2 . . 4 | 3 . 2 ."
    one_wrong = place(start, 1, 3, 3).state
    assert bounds.can_succeed(EASY, one_wrong) is True
    assert bounds.can_succeed(EASY, place(one_wrong, 1, 4, 1).state) is False


def test_rows_are_joined_by_a_bar() -> None:
    assert EASY.render(PUZZLE) == "| 1 . 3 4 | 3 4 . 2 | 2 . 4 . | 4 3 2 1"


def test_empty_positions_count_from_one() -> None:
    assert EASY.describe(PUZZLE) == "Empty positions: (1, 2), (2, 3), (3, 2), (3, 4)"


@pytest.mark.parametrize(
    "text",
    [
        "1 . 3 4 | 3 4 . 2 | 2 . 4 . | 4 3 2 1 |",
        "1 . 3 4\n3 4 . 2\n2 . 4 .\n4 3 2 1",
        "The board is:\n| 1.34 | 34.2 | 2.4. | 4321\nand I must fill it.",
    ],
)
def test_a_grid_is_read_with_bars_or_line_breaks(text: str) -> None:
    assert EASY.parse_render(text) == EASY.facts(PUZZLE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "| 1 . 3 4 | 3 4 . 2 | 2 . 4 .",
        "| 1 . 3 4 | 3 4 . 2 | 2 . 4 . | 4 3 2 1 | 1 2 3 4",
        "| 1 . 3 5 | 3 4 . 2 | 2 . 4 . | 4 3 2 1",
        "| 1 . 3 | 3 4 . | 2 . 4 | 4 3 2",
    ],
)
def test_what_is_no_grid_of_this_board_is_not_read(text: str) -> None:
    assert EASY.parse_render(text) is None


def test_where_grid_and_coordinates_disagree_the_grid_is_believed() -> None:
    text = f"{EASY.render(PUZZLE)}\nEmpty positions: (4, 4)"
    assert EASY.read(text, "grid+coordinates") == EASY.facts(PUZZLE)


def test_without_a_grid_the_coordinates_are_read() -> None:
    facts = EASY.read("Empty positions: (1, 2)", "grid+coordinates")
    assert facts == {"empty": frozenset({((1, 2), "")})}
    assert EASY.read("Empty positions: (1, 2)", "grid") is None


def test_other_symbols_are_written_and_read_but_facts_keep_their_digits() -> None:
    letters = Sudoku(symbols="ABCD", blank="_")
    assert letters.render(PUZZLE) == "| A _ C D | C D _ B | B _ D _ | D C B A"
    assert letters.facts(PUZZLE) == EASY.facts(PUZZLE)
    assert letters.format_action(Placement(1, 2, 3)) == "1,2,C"
    assert letters.parse_action("1,2,c") == Placement(1, 2, 3)
    assert letters.parse_action("1,2,3") is None
    assert letters.environment_id == EASY.environment_id


@given(st.integers(0, 100_000), st.permutations("1234"), st.data())
def test_board_keys_see_through_renaming_and_rearranging(
    seed: int, names: list[str], data: st.DataObject
) -> None:
    cells = EASY.initial_state(seed).cells
    own = data.draw(st.sets(st.integers(0, 15)), label="cells that the player has filled, if any")
    givens = "".join(BLANK if i in own else digit for i, digit in enumerate(cells))
    swaps = data.draw(st.lists(st.sampled_from(["rows", "bands", "transpose"]), max_size=6))

    def image(text: str) -> str:
        rows = [text[i : i + 4] for i in range(0, 16, 4)]
        for swap in swaps:
            if swap == "rows":
                rows[0], rows[1] = rows[1], rows[0]
            elif swap == "bands":
                rows = rows[2:] + rows[:2]
            else:
                rows = ["".join(column) for column in zip(*rows, strict=True)]
        return "".join(rows).translate(str.maketrans("1234", "".join(names)))

    moved = SudokuState(image(givens), image(cells))
    assert EASY.board_key(moved) == EASY.board_key(SudokuState(givens, cells))


def test_board_keys_tell_own_entries_from_givens() -> None:
    entered = place(PUZZLE, 1, 2, 2).state
    assert EASY.board_key(entered) != EASY.board_key(SudokuState(entered.cells, entered.cells))


def test_nine_by_nine_keys_are_exact_and_say_so() -> None:
    environment = Sudoku(size=9, clues=36)
    keys = [environment.board_key(environment.initial_state(seed)) for seed in (1, 1, 2)]
    assert keys[0] == keys[1] != keys[2]
    assert all(key.startswith("exact:") for key in keys)


def test_there_are_788_inequivalent_puzzles_with_ten_clues() -> None:
    # Every solved 4x4 board is equivalent to one of these two.
    keys = set[str]()
    for solved in ("1234341221434321", "1234341223414123"):
        for blanks in combinations(range(16), 6):
            cells = "".join(BLANK if i in blanks else digit for i, digit in enumerate(solved))
            if solutions(cells) == 1:
                keys.add(EASY.board_key(SudokuState(cells, cells)))
    assert len(keys) == 788


@given(st.integers(0, 2**32 - 1), st.sampled_from([6, 8, 10]))
def test_generated_puzzles_have_one_solution(seed: int, clues: int) -> None:
    puzzle = Sudoku(clues=clues).initial_state(seed).givens
    assert solutions(puzzle) == 1
    assert 16 - puzzle.count(BLANK) >= clues


@pytest.mark.parametrize(
    ("givens", "cells"),
    [
        ("1234", None),
        ("5" + BLANK * 15, None),
        ("11" + BLANK * 14, None),
        ("1" + BLANK * 15, "2" + BLANK * 15),
        ("1" + BLANK * 15, BLANK * 16),
    ],
)
def test_what_is_no_board_is_refused(givens: str, cells: str | None) -> None:
    with pytest.raises(ValueError, match=r"cells|repeats|given"):
        EASY.from_cells(givens, cells)


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 6},
        {"clues": 0},
        {"clues": 16},
        {"size": 9, "clues": 81},
        {"regions": "shifted"},
        {"symbols": "123"},
        {"symbols": "1123"},
        {"symbols": "aA12"},
        {"symbols": "12 3"},
        {"blank": ""},
        {"blank": "1"},
        {"blank": "|"},
        {"blank": "__"},
    ],
)
def test_bad_settings_are_refused(settings) -> None:
    with pytest.raises(ValueError, match=r"size|clues|symbols|blank|regions"):
        Sudoku(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"clues": 1},
        {"clues": 15},
        {"size": 9, "clues": 80},
        {"generator": "spa", "regions": "shifted"},
    ],
)
def test_the_last_settings_that_are_good_are_not(settings) -> None:
    world = Sudoku(**settings)
    assert {name: getattr(world, name) for name in settings} == settings


@pytest.mark.parametrize(
    ("settings", "variant"),
    [
        ({}, "4x4-10/ragen"),
        ({"size": 9, "clues": 36}, "9x9-36/ragen"),
        ({"generator": "spa", "regions": "shifted"}, "4x4-10-shifted/spa"),
    ],
)
def test_a_variant_names_all_that_is_not_usual(settings, variant: str) -> None:
    assert Sudoku(**settings).variant == variant


def test_a_prompt_may_name_the_size_the_boxes_and_the_symbols() -> None:
    four, nine = Sudoku(symbols="ABCDE", blank="_"), Sudoku(size=9, clues=36)
    assert four.prompt_fields() == {"size": "4", "box": "2", "symbols": "A B C D", "blank": "_"}
    assert nine.prompt_fields() == {
        "size": "9",
        "box": "3",
        "symbols": "1 2 3 4 5 6 7 8 9",
        "blank": ".",
    }


def test_parts_of_the_solution_are_counted_up_to_the_number_of_actions() -> None:
    # four blanks: 1 way to write none, 4 to write one, 6 two, 4 three, 1 all of them
    found = [EASY.least_states(PUZZLE, actions) for actions in range(6)]
    assert found == [1, 5, 11, 15, 16, 16]


def test_a_plan_writes_each_missing_digit_once_and_solves_the_board() -> None:
    plan = EASY.plan(PUZZLE)
    assert plan == [(1, 2, 2), (2, 3, 1), (3, 2, 1), (3, 4, 3)]
    written = place(PUZZLE, 2, 3, 1).state
    assert EASY.plan(written) == [(1, 2, 2), (3, 2, 1), (3, 4, 3)]


def test_of_a_solved_board_nothing_is_left_to_plan() -> None:
    solved = EASY.from_cells("1234341221434321")
    assert EASY.plan(solved) == []
    assert EASY.effective_actions(solved) == []


def test_entries_that_stand_in_each_others_way_leave_no_plan() -> None:
    start = EASY.from_cells("42..13422..43.2.")  # solved by 4 2 1 3 in the first row
    one_wrong = place(start, 1, 3, 3).state
    plan = EASY.plan(one_wrong)
    assert plan is not None
    assert plan[:2] == [(1, 3, 1), (1, 4, 3)]
    assert EASY.plan(place(one_wrong, 1, 4, 1).state) is None


def test_bounds_of_the_papers_boards() -> None:
    solvers = [
        bounds.Solver(EASY, EASY.initial_state(seed), PAPER_LIMITS) for seed in range(123, 251)
    ]
    floors = [solver.floor() for solver in solvers]
    assert sum(floors) / len(floors) == pytest.approx(0.00071, abs=5e-6)
    assert {solver.ceiling() for solver in solvers} == {1.0}
    assert {solver.shortest_plan() for solver in solvers} == {6}
