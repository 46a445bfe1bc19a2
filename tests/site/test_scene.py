"""What is drawn below the facts, and which cells are marked as wrong."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spa_bench.environments.gymnasium_text import GymnasiumText
from spa_bench.environments.sokoban import Sokoban
from spa_bench.environments.sudoku import Sudoku
from spa_bench.site.scene import TEXT, differing, scene_of


def test_walls_of_sokoban_are_ground_and_targets_are_not() -> None:
    world = Sokoban()
    scene = scene_of(world, world.from_grid("######\n#PXO_#\n####_#\n####_#\n####_#\n######"))
    assert scene.ground[1] == "#....#"
    assert (scene.rows, scene.cols, scene.origin) == (6, 6, 0)


def test_sudoku_tells_givens_and_regions() -> None:
    world = Sudoku()
    scene = scene_of(world, world.from_cells("1234341221434321"))
    assert scene.ground == ("1234", "3412", "2143", "4321")
    assert scene.regions == ("aabb", "aabb", "ccdd", "ccdd")
    assert scene.origin == 1


def test_shifted_regions_reach_over_the_edge() -> None:
    world = Sudoku(generator="spa", regions="shifted")
    scene = scene_of(world, world.from_cells("." * 16))
    assert scene.regions == ("baab", "baab", "dccd", "dccd")


def test_a_world_that_is_not_known_is_text() -> None:
    world = GymnasiumText(id="FrozenLake-v1", render_mode="ansi")
    assert scene_of(world, world.initial_state(0)) is TEXT


def test_a_wrong_place_is_marked_where_it_is_and_where_it_should_be() -> None:
    true = {"player": [[1, 1]], "box": [[2, 2]]}
    assert differing({"player": [[1, 2]], "box": [[2, 2]]}, true) == [(1, 1), (1, 2)]


def test_a_wrong_digit_is_marked() -> None:
    assert differing({"cell": [[1, 1, "3"]]}, {"cell": [[1, 1, "4"]]}) == [(1, 1)]


def test_kinds_that_a_belief_does_not_name_are_not_marked() -> None:
    assert differing({"empty": [[1, 1]]}, {"empty": [[1, 1]], "cell": [[1, 2, "4"]]}) == []


_JSON_FACTS = st.dictionaries(
    st.text(max_size=6),
    st.lists(st.lists(st.one_of(st.integers(), st.text(max_size=3)), max_size=4)),
)


@given(_JSON_FACTS, _JSON_FACTS)
def test_nothing_that_a_log_may_hold_raises(said: dict[str, Any], true: dict[str, Any]) -> None:
    assert all(isinstance(row, int) and isinstance(col, int) for row, col in differing(said, true))
    assert differing(said, said) == []
