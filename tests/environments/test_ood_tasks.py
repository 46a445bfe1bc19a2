"""The tasks with unfamiliar rules, and the groups: what each of them promises."""

import asyncio
import re
from functools import cache
from typing import Any

import pytest

from spa_bench.environments.bounds import (
    Graph,
    Limits,
    NoExactBoundError,
    Solver,
    least_actions,
)
from spa_bench.environments.frozenlake import FrozenLake
from spa_bench.environments.sudoku import Sudoku, SudokuState
from spa_bench.models.baselines import OracleBaseline
from spa_bench.registry import Registry
from spa_bench.runner.episode import EpisodeSpec, play
from spa_bench.task import Task, split_of
from spa_bench.task_file import builtin_tasks_folder, load_group

FOLDER = builtin_tasks_folder()
OOD = sorted(path.stem for path in (FOLDER / "ood").glob("[!_]*.yaml"))
HIDDEN = [name for name in OOD if name.endswith("_hidden")]
REGISTRY = Registry()


@cache  # tasks draw their boards once
def task(name: str) -> Task:
    return REGISTRY.load(name)


# -- tasks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OOD)
def test_the_oracle_reaches_the_ceiling_on_the_first_boards(name: str) -> None:
    these = task(name)
    for board in these.boards[0][:4]:
        solver = Solver(these.environment, board.state, these.limits)
        episode = asyncio.run(play(EpisodeSpec(these, board, 0, "0"), OracleBaseline("o")))
        assert solver.ceiling() == episode.success == 1


@pytest.mark.parametrize("name", sorted({name.removesuffix("_hidden") for name in OOD}))
def test_every_board_can_be_solved_within_the_limits(name: str) -> None:
    these = task(name)
    boards, skipped = these.boards
    assert (len(boards), skipped) == (128, ())
    budget = these.limits.budget
    assert all((least_actions(these.environment, b.state) or 99) <= budget for b in boards)


@pytest.mark.parametrize("name", OOD)
def test_boards_are_the_papers_or_of_the_test_split(name: str) -> None:
    these = task(name)
    boards, _ = these.boards
    if these.config.instances.split == "paper":
        assert [board.seed for board in boards] == list(range(123, 251))
        assert these.config.environment["generator"] == "ragen"
    else:
        assert {split_of(board.board_key) for board in boards} == {"test"}


@pytest.mark.parametrize("name", HIDDEN)
def test_an_untold_rule_is_the_told_one_on_the_same_boards_and_luck(name: str) -> None:
    hidden, told = task(name), task(name.removesuffix("_hidden"))
    assert hidden.environment == told.environment
    assert hidden.config.instances == told.config.instances
    assert hidden.limits == told.limits
    assert hidden.hash != told.hash


TELLTALE = {
    "sokoban_mirrored": r"mirror|moves you",
    "sokoban_rotated": r"turn clockwise|quarter|moves you",
    "sokoban_pull": r"pull|push|behind|follow",
    "sokoban_symbols": r"\bC\b|\bW\b|box on a target",
    "sokoban_words": r"one cell (up|down|left|right)",
    "frozenlake_mirrored": r"mirror|moves you",
    "frozenlake_sliding": r"slid|slip|smooth|firm|stop|one cell",
    "frozenlake_symbols": r"player on|\bW\b|\bA\b",
    "sudoku_regions": r"\bbox|two rows|belong",
}


def test_every_untold_rule_is_watched() -> None:
    assert {name.removesuffix("_hidden") for name in HIDDEN} == set(TELLTALE)


@pytest.mark.parametrize("name", HIDDEN)
def test_an_untold_rule_is_told_nowhere_in_the_instruction(name: str) -> None:
    telltale = re.compile(TELLTALE[name.removesuffix("_hidden")])
    told, hidden = instruction(name.removesuffix("_hidden")), instruction(name)
    assert telltale.search(told)
    assert not telltale.search(hidden)
    assert "for you to find out" in hidden


def instruction(name: str) -> str:
    return task(name).opening_message("", 1, 10).split("\n\n")[0]


@pytest.mark.parametrize("name", OOD)
def test_an_instruction_names_every_action(name: str) -> None:
    these = task(name)
    names = getattr(these.environment, "action_names", ("row,column,value",))
    assert all(action in instruction(name) for action in names)


DIRECTIONS = {
    "sokoban_actions": ["North", "South", "West", "East"],
    "sokoban_words": ["Blick", "Dorp", "Fenn", "Wug"],
}


@pytest.mark.parametrize("name", DIRECTIONS)
def test_names_mean_up_down_left_and_right_in_this_order(name: str) -> None:
    world = task(name).environment
    read = [world.parse_action(said) for said in DIRECTIONS[name]]
    assert read == ["Up", "Down", "Left", "Right"]


@pytest.mark.parametrize("size", [("sokoban_2boxes", 120), ("sokoban_10x10", 128)])
def test_the_papers_larger_sokobans_have_these_boards(size: tuple[str, int]) -> None:
    boards, skipped = task(size[0]).boards
    assert len(boards) == size[1]
    missing = [134, 136, 147, 149, 161, 168, 180, 234] if size[1] == 120 else []
    assert [one.seed for one in skipped] == missing


# -- groups ----------------------------------------------------------------------------------------


def members(group: str) -> list[str]:
    return load_group(FOLDER / "groups" / f"{group}.yaml").tasks


def test_the_group_ood_holds_all_tasks_of_its_folder() -> None:
    assert members("ood") == OOD


def test_the_group_paper_holds_base_formats_with_and_without_coordinates() -> None:
    tasks = [task(name) for name in members("paper")]
    assert {these.config.format for these in tasks} == {"think"}
    assert {these.config.instances.split for these in tasks} == {"paper"}
    with_grid = {name for name in members("paper") if name.endswith("_grid")}
    both = {name.removesuffix("_grid") for name in with_grid}
    assert set(members("paper")) - with_grid - {"sokoban_symbols"} == both


def test_the_group_spa_is_the_core() -> None:
    assert members("spa") == ["sokoban", "frozenlake", "frozenlake_slippery", "sudoku"]


def test_no_tag_has_the_name_of_a_group_or_a_task() -> None:
    tags = {tag for entry in REGISTRY.entries.values() for tag in entry.tags}
    assert not tags & set(REGISTRY.entries)
    assert {"grid", "wm", "answer", "hidden"} <= tags


# -- what a Sudoku says of itself to make search fast ----------------------------------------------


class Plain(Sudoku):
    """A Sudoku that says nothing of itself."""

    def effective_actions(self, state: SudokuState) -> Any:
        return range(len(self.actions(state)))

    def least_states(self, state: SudokuState, actions: int) -> int:
        return 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_search_finds_the_same_without_the_actions_that_do_nothing(seed: int) -> None:
    limits = Limits(3, 3, 9)
    solvers = [
        Solver(kind(clues=9), kind(clues=9).initial_state(seed), limits) for kind in (Sudoku, Plain)
    ]
    ours, plain = (solver.graph for solver in solvers)
    assert ours.states == plain.states
    assert len(ours.source) < len(plain.source) / 5
    assert solvers[0].floor() == pytest.approx(solvers[1].floor(), abs=1e-12)
    assert solvers[0].ceiling() == solvers[1].ceiling() == 1.0
    value = ours.distances()
    value[value == float("inf")] = 99
    assert (ours.action_values(value) == plain.action_values(value)).all()
    earlier = [graph.before_each_action(value[None, :]) for graph in (ours, plain)]
    assert (earlier[0] == earlier[1]).all()


@pytest.mark.parametrize("actions", [0, 1, 2, 3])
def test_the_states_promised_are_there(actions: int) -> None:
    world = Sudoku(clues=8)
    start = world.initial_state(5)
    assert world.least_states(start, actions) <= len(Graph(world, start, actions).states)


def test_no_states_are_promised_where_own_entries_may_be_wrong() -> None:
    world = Sudoku(clues=8)
    start = world.initial_state(5)
    for action in world.actions(start):
        there = world.outcomes(start, action)[0].state
        if there != start:
            assert world.least_states(there, 50) == 1


def test_no_states_are_promised_where_there_is_no_solution() -> None:
    world = Sudoku()
    unsolvable = world.from_cells("123....4........")
    assert world.plan(unsolvable) is None
    assert world.least_states(unsolvable, 50) == 1


def test_a_sudoku_too_large_to_search_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Sudoku(size=9, clues=36)
    start = world.initial_state(1)

    def search(*_: Any) -> Any:
        raise AssertionError("it was searched")

    monkeypatch.setattr(Sudoku, "outcomes", search)
    with pytest.raises(NoExactBoundError):
        Graph(world, start, 50)


# -- the least number of actions -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lake", "length"),
    [("P_G\n___\n___", 2), ("PO_\n_O_\n__G", 4), ("PO_\nOO_\n__G", None), ("___\n___\n__√", 0)],
)
def test_the_least_number_of_actions_is_that_of_the_shortest_way(
    lake: str, length: int | None
) -> None:
    for ice in ("firm", "slippery"):
        world = FrozenLake(size=3, ice=ice)  # pyright: ignore[reportArgumentType]
        assert least_actions(world, world.from_grid(lake)) == length
