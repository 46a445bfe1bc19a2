"""FrozenLake: its kernel, its texts and its bounds."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.environments import bounds
from spa_bench.environments.environment import OBSERVATIONS
from spa_bench.environments.frozenlake import MOVES, FrozenLake, FrozenLakeState
from spa_bench.environments.limits import Limits

PAPER_SEEDS = range(123, 251)
PAPER_LIMITS = Limits(turns=5, actions_per_turn=5, actions=10)

environments = st.builds(
    FrozenLake,
    size=st.integers(2, 6),
    ice=st.sampled_from(["firm", "slippery", "sliding"]),
    p_frozen=st.sampled_from([0.5, 0.8, 1.0]),
    symbols=st.sampled_from(["P_OGX√", "@.o*%+"]),
)


@st.composite
def positions(draw: st.DrawFn) -> tuple[FrozenLake, FrozenLakeState]:
    """Any environment, and any cell of one of its boards."""
    environment = draw(environments)
    start = environment.initial_state(draw(st.integers(0, 10_000)))
    cells = [cell for cell, kind in enumerate(start.lake) if kind != "\n"]
    return environment, start._replace(player=draw(st.sampled_from(cells)))


def lake(*rows: str) -> FrozenLakeState:
    return FrozenLake(size=len(rows)).from_grid("\n".join(rows), "P_OGX√")


def after(environment: FrozenLake, state: FrozenLakeState, *moves: str) -> FrozenLakeState:
    for move in moves:
        (outcome,) = environment.outcomes(state, move)  # pyright: ignore[reportArgumentType]
        state = outcome.state
    return state


@given(positions(), st.sampled_from(MOVES))
def test_probabilities_sum_to_one(position: tuple[FrozenLake, FrozenLakeState], move) -> None:
    environment, state = position
    outcomes = environment.outcomes(state, move)
    assert sum(outcome.probability for outcome in outcomes) == Fraction(1)


@given(positions(), st.sampled_from(MOVES))
def test_outcomes_are_a_pure_function(position: tuple[FrozenLake, FrozenLakeState], move) -> None:
    environment, state = position
    twin = replace(environment)
    assert environment.outcomes(state, move) == twin.outcomes(state, move)


@given(positions(), st.sampled_from(MOVES))
def test_an_outcome_is_terminal_exactly_in_a_hole_or_on_the_goal(
    position: tuple[FrozenLake, FrozenLakeState], move
) -> None:
    environment, state = position
    for outcome in environment.outcomes(state, move):
        won, lost = environment.is_success(outcome.state), environment.loss(outcome.state)
        assert outcome.terminal == (won or lost == "hole")


@given(positions())
def test_every_way_of_showing_a_state_is_read_back(
    position: tuple[FrozenLake, FrozenLakeState],
) -> None:
    environment, state = position
    facts = environment.facts(state)
    assert environment.parse_render(environment.render(state)) == facts
    assert environment.parse_describe(environment.describe(state)) == facts
    for observation in OBSERVATIONS:
        assert environment.read(environment.observe(state, observation), observation) == facts


@given(positions())
def test_a_drawn_state_is_the_state(position: tuple[FrozenLake, FrozenLakeState]) -> None:
    environment, state = position
    assert environment.from_grid(environment.render(state)) == state


@given(environments, st.sampled_from(MOVES))
def test_a_formatted_action_is_read_back(environment: FrozenLake, move) -> None:
    assert environment.parse_action(f" {environment.format_action(move).upper()}\n") == move


def test_actions_are_called_what_gymnasium_calls_them() -> None:
    names = [FrozenLake().format_action(move) for move in MOVES]
    assert names == ["Left", "Down", "Right", "Up"]


@given(environments, st.text())
def test_no_text_makes_the_readers_raise(environment: FrozenLake, text: str) -> None:
    environment.parse_action(text)
    environment.parse_render(text)
    environment.parse_describe(text)


@given(positions(), st.booleans(), st.booleans(), st.booleans())
def test_board_keys_see_through_rotation_and_reflection(
    position: tuple[FrozenLake, FrozenLakeState], flip: bool, mirror: bool, transpose: bool
) -> None:
    environment, state = position
    rows = environment.render(state).split("\n")
    if transpose:
        rows = ["".join(column) for column in zip(*rows, strict=True)]
    rows = rows[:: -1 if flip else 1]
    rows = [row[:: -1 if mirror else 1] for row in rows]
    image = environment.from_grid("\n".join(rows))
    assert environment.board_key(image) == environment.board_key(state)


def test_board_keys_tell_different_boards_apart() -> None:
    environment = FrozenLake(size=3)
    boards = [lake("P__", "___", "__G"), lake("P__", "_O_", "__G"), lake("P__", "___", "_G_")]
    assert len({environment.board_key(board) for board in boards}) == 3


def test_slippery_ice_lists_the_direction_between_its_two_perpendiculars() -> None:
    state = lake("___", "_P_", "__G")
    outcomes = FrozenLake(size=3, ice="slippery").outcomes(state, "Down")
    left, down, right = (divmod(outcome.state.player, 4) for outcome in outcomes)
    assert (left, down, right) == ((1, 0), (2, 1), (1, 2))
    assert {outcome.probability for outcome in outcomes} == {Fraction(1, 3)}


def test_outcomes_that_coincide_stay_apart() -> None:
    state = lake("P__", "___", "__G")
    outcomes = FrozenLake(size=3, ice="slippery").outcomes(state, "Left")
    assert [outcome.state.player for outcome in outcomes] == [0, 0, 4]


@pytest.mark.parametrize(
    ("rows", "moves", "end"),
    [
        (("P___", "____", "____", "___G"), ["Right"], (0, 3)),
        (("P_O_", "____", "____", "___G"), ["Right"], (0, 2)),
        (("P_G_", "____", "____", "____"), ["Right"], (0, 2)),
        (("P___", "____", "____", "___G"), ["Right", "Down"], (3, 3)),
        (("P___", "____", "____", "___G"), ["Up"], (0, 0)),
    ],
)
def test_sliding_ice_stops_at_edge_hole_and_goal(rows, moves, end) -> None:
    assert divmod(after(FrozenLake(ice="sliding"), lake(*rows), *moves).player, 5) == end


def test_the_goal_pays_one_and_wins() -> None:
    environment = FrozenLake(size=2)
    (outcome,) = environment.outcomes(lake("P_", "_G")._replace(player=1), "Down")
    assert (outcome.reward, outcome.terminal) == (1.0, True)
    assert environment.is_success(outcome.state)
    assert environment.render(outcome.state) == "__\n_√"


def test_a_hole_pays_nothing_and_loses() -> None:
    environment = FrozenLake(size=2)
    (outcome,) = environment.outcomes(lake("PO", "_G"), "Right")
    assert (outcome.reward, outcome.terminal) == (0.0, True)
    assert environment.loss(outcome.state) == "hole"
    assert environment.render(outcome.state) == "_X\n_G"


def test_a_lake_without_holes_says_so() -> None:
    environment = FrozenLake(size=2)
    state = lake("P_", "_G")
    assert environment.describe(state) == "Player at (0, 0)\nNo hole\nGoal at (1, 1)"


@pytest.mark.parametrize("text", ["", "P_\n_G\n__", "P_\n_", "P_\n_#", "Player at (0, 0)"])
def test_what_is_no_grid_of_this_board_is_not_read(text: str) -> None:
    assert FrozenLake(size=2).parse_render(text) is None


@pytest.mark.parametrize("text", ["", "Player at (0, 0)", "Player (0, 0), goal (1, 1)"])
def test_coordinates_must_name_every_kind(text: str) -> None:
    assert FrozenLake().parse_describe(text) is None


@pytest.mark.parametrize(
    "text", ["P_\nGP", "__\n_G", "P_\n__", "P_\nG#", "P_G\n___\n___", "P_\nG_\n__"]
)
def test_what_is_no_lake_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"board|square"):
        FrozenLake(size=2).from_grid(text)


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 1},
        {"size": 51},
        {"p_frozen": 0.0},
        {"p_frozen": 0.04},
        {"p_frozen": 1.01},
        {"symbols": "P_OG"},
        {"symbols": "PPOGX√"},
        {"symbols": "P OGX√"},
        {"action_names": ("a", "A", "b", "c")},
        {"action_names": ("a||b", "c", "d", "e")},
    ],
)
def test_bad_settings_are_refused(settings) -> None:
    with pytest.raises(ValueError, match=r"size|p_frozen|symbols|action.names?"):
        FrozenLake(**settings)


@pytest.mark.parametrize("settings", [{"size": 50, "p_frozen": 0.05}, {"size": 2, "p_frozen": 1.0}])
def test_the_last_settings_that_are_good_are_not(settings) -> None:
    world = FrozenLake(**settings)
    assert {name: getattr(world, name) for name in settings} == settings


@pytest.mark.parametrize(
    ("settings", "variant"),
    [
        ({}, "4x4/ragen"),
        ({"size": 6, "ice": "slippery", "p_frozen": 0.7}, "6x6-slippery-p0.7/ragen"),
        ({"ice": "sliding", "controls": "rotated", "generator": "spa"}, "4x4-sliding-rotated/spa"),
    ],
)
def test_a_variant_names_all_that_is_not_usual(settings, variant: str) -> None:
    assert FrozenLake(**settings).variant == variant


def test_a_prompt_may_name_the_size_the_symbols_and_the_actions() -> None:
    assert FrozenLake(size=5, action_names=("W", "S", "E", "N")).prompt_fields() == {
        "legend": "P player, _ ice, O hole, G goal, X player in a hole, √ player on the goal",
        "action_names": "W, S, E, N",
        "size": "5",
    }


@pytest.mark.parametrize("ice", ["firm", "slippery", "sliding"])
@pytest.mark.parametrize("cell", [1, 8], ids=["hole", "goal"])
def test_nothing_more_happens_and_nothing_is_paid_once_it_is_over(ice, cell: int) -> None:
    state = lake("PO_", "___", "G__")._replace(player=cell)
    for move in MOVES:
        assert FrozenLake(size=3, ice=ice).outcomes(state, move) == ((1, state, 0.0, True),)


def test_coordinates_before_any_kind_belong_to_none() -> None:
    text = "(9, 9) Player at (0, 0), holes at (0, 1) and (1, 0), goal at (1, 1)"
    assert FrozenLake(size=2).parse_describe(text) == FrozenLake(size=2).facts(lake("PO", "OG"))


def test_ice_changes_the_identity_and_symbols_do_not() -> None:
    plain = FrozenLake()
    renamed = FrozenLake(symbols="@.o*%+", action_names=("W", "S", "E", "N"))
    assert renamed.environment_id == plain.environment_id
    assert FrozenLake(ice="slippery").environment_id != plain.environment_id
    assert FrozenLake(ice="slippery").instance_id(123) == "frozenlake/4x4-slippery/ragen/123"


def bounds_of(environment: FrozenLake) -> tuple[float, float, float]:
    """Floor, ceiling and closed loop over the paper's boards, in percent."""
    solvers = [
        bounds.Solver(environment, environment.initial_state(seed), PAPER_LIMITS)
        for seed in PAPER_SEEDS
    ]
    values = [(s.floor(), s.ceiling(), s.closed_loop()) for s in solvers]
    floor, ceiling, closed = (sum(column) / len(column) for column in zip(*values, strict=True))
    return 100 * floor, 100 * ceiling, 100 * closed


def test_bounds_of_the_papers_boards_on_firm_ice() -> None:
    assert bounds_of(FrozenLake()) == pytest.approx((20.2, 100, 100), abs=0.05)


def test_bounds_of_the_papers_boards_on_slippery_ice() -> None:
    assert bounds_of(FrozenLake(ice="slippery")) == pytest.approx((20.2, 46.0, 46.6), abs=0.05)
