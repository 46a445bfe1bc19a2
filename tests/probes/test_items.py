"""Items: true by the kernel, balanced, the same everywhere, answerable from what is shown."""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction
from typing import Any

import pytest
from worlds import SLIPPERY, TableWorld, sure

from spa_bench.environments.environment import AnyEnvironment
from spa_bench.environments.forecast import forecast
from spa_bench.environments.frozenlake import FrozenLake
from spa_bench.environments.sokoban import Sokoban
from spa_bench.environments.sudoku import Sudoku
from spa_bench.probes.board import Board
from spa_bench.probes.inverse import Inverse
from spa_bench.probes.legality import Legality
from spa_bench.probes.probe import Item, Probe, View
from spa_bench.probes.reachability import Reachability
from spa_bench.probes.reward import Reward
from spa_bench.probes.state_estimation import StateEstimation
from spa_bench.probes.transition import SEPARATOR, RollOut, TransitionProbe

WORLDS: list[AnyEnvironment] = [Sokoban(), FrozenLake(), FrozenLake(ice="slippery"), Sudoku()]
PROBES: list[Probe] = [
    TransitionProbe(),
    RollOut(),
    Inverse(),
    Legality(),
    Reward(),
    Reachability(),
    StateEstimation(),
]
SEEDS = range(123, 129)


def items(probe: Probe, world: AnyEnvironment, seed: int, style: str = "grid") -> list[Item]:
    return list(probe.items(View(world, style), Board(world, world.initial_state(seed), seed)))


@pytest.mark.parametrize("world", WORLDS, ids=lambda w: w.variant)
@pytest.mark.parametrize("probe", PROBES, ids=lambda p: p.name)
def test_every_right_answer_is_accepted_and_every_wrong_one_is_not(
    probe: Probe, world: AnyEnvironment
) -> None:
    view = View(world, "grid+coordinates")
    for seed in SEEDS:
        for item in probe.items(view, Board(world, world.initial_state(seed), seed)):
            assert sum(p for _, p in item.right) == 1 or len({p for _, p in item.right}) == 1
            for text, probability in item.right:
                assert probe.read(view, text) == text
                assert probe.score(view, item, text).probability == probability
            for text in item.wrong:
                assert probe.read(view, text) == text
                assert not probe.score(view, item, text).accepted
            assert item.wrong or len(item.right) > 1
            assert len(set(item.candidates)) == len(item.candidates)


@pytest.mark.parametrize("world", WORLDS, ids=lambda w: w.variant)
@pytest.mark.parametrize("probe", PROBES, ids=lambda p: p.name)
def test_strata_tell_the_items_of_a_board_apart(probe: Probe, world: AnyEnvironment) -> None:
    for seed in SEEDS:
        strata = [item.stratum for item in items(probe, world, seed)]
        assert len(set(strata)) == len(strata)


@pytest.mark.parametrize("probe", PROBES, ids=lambda p: p.name)
def test_items_are_the_same_in_every_style(probe: Probe) -> None:
    world = Sokoban()
    if probe.name != "state_estimation":
        pairs = (items(probe, world, 130, style) for style in ("grid", "grid+coordinates"))
        for one, other in zip(*pairs, strict=True):
            fields, others = dict(one.fields), dict(other.fields)
            assert one.stratum == other.stratum
            assert others["state"].startswith(fields["state"])
            assert fields.get("action") == others.get("action")


@pytest.mark.parametrize("probe", [Legality(), Reward(), Reachability(), Inverse()])
@pytest.mark.parametrize("world", [Sokoban(), FrozenLake(), Sudoku()])
def test_a_constant_answer_is_no_better_than_chance(probe: Probe, world: AnyEnvironment) -> None:
    answers: Counter[str] = Counter()
    chance, count = Fraction(0), 0
    for seed in range(123, 143):
        for item in items(probe, world, seed):
            answers.update(text for text, _ in item.right)
            chance += Fraction(len(item.right), len(item.candidates))
            count += 1
    if count:
        assert max(answers.values()) <= chance + Fraction(1, 1000)


def test_transitions_cover_what_changes_what_is_blocked_and_what_ends() -> None:
    for world in (Sokoban(), Sudoku()):
        found = [i.stratum for seed in SEEDS for i in items(TransitionProbe(), world, seed)]
        assert set(found) == {"changing", "blocked", "ending"}


def test_only_a_blocked_transition_is_answered_by_copying() -> None:
    view = View(Sokoban(), "grid")
    for seed in SEEDS:
        for item in items(TransitionProbe(), view.environment, seed):
            accepted = TransitionProbe().score(view, item, item.copy or "").accepted
            assert accepted == (item.stratum == "blocked")


def test_a_rollout_is_what_the_kernel_does() -> None:
    world = Sokoban()
    for seed in SEEDS:
        for item in items(RollOut(horizon=5), world, seed):
            fields = dict(item.fields)
            actions = [world.parse_action(a) for a in fields["actions"].split(SEPARATOR)]
            (after,) = forecast(world, world.from_grid(fields["state"]), actions)
            assert item.right == ((world.render(after), Fraction(1)),)
            assert len(actions) == int(item.stratum)


def test_where_chance_decides_every_possible_state_is_right() -> None:
    board = Board(SLIPPERY, 0, 0)
    found = {i.stratum: i for i in TransitionProbe().items(View(SLIPPERY, "grid"), board)}
    for item in found.values():
        assert sum(p for _, p in item.right) == 1
        assert [p for _, p in item.right] == sorted((p for _, p in item.right), reverse=True)


def test_a_question_about_sudoku_can_be_answered_from_what_is_shown() -> None:
    world = Sudoku()
    for seed in SEEDS:
        board = Board(world, world.initial_state(seed), seed)
        assert all(state.givens == state.cells for state in board.states)


def test_reachability_is_told_by_search() -> None:
    world = Sokoban()
    told: defaultdict[str, int] = defaultdict(int)
    for seed in range(123, 143):
        for item in items(Reachability(), world, seed):
            state = world.from_grid(dict(item.fields)["state"])
            reached = Board(world, state, 0).outlook(state, 100_000).success
            assert reached == (item.right[0][0] == "yes")
            told[item.right[0][0]] += 1
    assert told["yes"] == told["no"] > 5


def test_of_dead_ends_the_one_least_stuck_is_asked_about() -> None:
    world = TableWorld(
        table=(sure(1, 5, 0), sure(2, 2, 1), sure(1, 3, 2), sure(3, 3, 3)), goals=frozenset({5})
    )
    board = Board(world, 0, 0)
    outlooks = [board.outlook(state, 100) for state in range(4)]
    assert [outlook.success for outlook in outlooks] == [True, False, False, False]
    assert [outlook.states for outlook in outlooks[1:]] == [3, 3, 1]
    assert board.outlook(1, 1).success is None  # too long to tell
    pairs = [
        tuple(dict(item.fields)["state"] for item in items(Reachability(), world, seed))
        for seed in range(0, 40, 2)
    ]
    assert set(pairs) <= {(), ("<0", "<1"), ("<0", "<2")}  # the walk may never come back to 0
    assert any(pairs)


def test_the_state_within_reach_is_the_most_similar_to_the_dead_end() -> None:
    world = Sudoku()
    for seed in SEEDS:
        shown = [dict(item.fields)["state"].split() for item in items(Reachability(), world, seed)]
        for yes, no in zip(shown[::2], shown[1::2], strict=True):
            assert sum(a != b for a, b in zip(yes, no, strict=True)) <= 3


def test_a_world_where_nothing_is_blocked_has_no_question_of_legality() -> None:
    restless = TableWorld(table=(sure(1, 2), sure(2, 0), sure(0, 1)), goals=frozenset())
    assert items(Legality(), restless, 0) == []


def test_rewards_are_the_kernels() -> None:
    answers = {i.right[0][0] for seed in SEEDS for i in items(Reward(), Sokoban(), seed)}
    assert answers == {"-0.1, no", "10.9, yes"}


@pytest.mark.parametrize("world", [Sokoban(), FrozenLake(), Sudoku()])
def test_legality_asks_different_answers_about_one_state(world: AnyEnvironment) -> None:
    for seed in SEEDS:
        asked = items(Legality(), world, seed)
        assert len({dict(item.fields)["state"] for item in asked}) == 1
        assert {item.right[0][0] for item in asked} == {"yes", "no"}


@pytest.mark.parametrize("world", [Sokoban(), FrozenLake()])
def test_rewards_are_asked_of_one_state_or_of_actions_that_change_the_same(
    world: Any,
) -> None:
    seen = Counter[str]()
    for seed in range(123, 143):
        asked = items(Reward(), world, seed)
        answers = [item.right[0][0] for item in asked]
        assert len(set(answers)) == len(answers) >= 2
        states, changes = set[str](), set[frozenset[str]]()
        for item in asked:
            fields = dict(item.fields)
            states.add(fields["state"])
            state, action = world.from_grid(fields["state"]), world.parse_action(fields["action"])
            assert action is not None
            (outcome,) = world.outcomes(state, action)
            before, after = world.facts(state), world.facts(outcome.state)
            changes.add(frozenset(kind for kind in before if before[kind] != after[kind]))
        (in_common,) = {item.stratum.rpartition("-same-")[2] for item in asked}
        assert len(states if in_common == "state" else changes) == 1
        seen[in_common] += 1
    assert set(seen) == {"state", "change"}


def test_actions_in_contrast_are_as_alike_as_can_be() -> None:
    for seed in SEEDS:
        one, other = (dict(item.fields)["action"] for item in items(Legality(), Sudoku(), seed))
        assert one.split(",")[:2] == other.split(",")[:2]
        assert one != other
