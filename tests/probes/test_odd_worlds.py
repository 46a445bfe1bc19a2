"""Questions about worlds that other people may write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, NamedTuple

import pytest
from worlds import ACTIONS, TableWorld, sure

from spa_bench.environments.environment import CERTAIN, Facts, NoBoardError, Outcome
from spa_bench.probes.board import Board, Transition
from spa_bench.probes.inverse import Inverse
from spa_bench.probes.legality import Legality
from spa_bench.probes.probe import Item, Probe, View
from spa_bench.probes.reward import Reward
from spa_bench.probes.state_estimation import StateEstimation
from spa_bench.probes.transition import RollOut, TransitionProbe
from spa_bench.probes.world import ProbeWorld

RING = TableWorld(table=(sure(1, 2), sure(2, 0), sure(0, 1)))


def items(probe: Probe, world: TableWorld, seed: int = 0) -> list[Item]:
    return list(probe.items(View(world, "grid"), Board(world, world.initial_state(seed), seed)))


@dataclass(frozen=True)
class Paid(TableWorld):
    """Every action brings what the state that it leads to is worth."""

    worth: tuple[float, ...] = ()

    def outcomes(self, state: int, action: str) -> tuple[Outcome[int], ...]:
        found = super().outcomes(state, action)
        return tuple(o._replace(reward=self.worth[o.state]) for o in found)


@pytest.mark.parametrize(
    ("worth", "answers"),
    [
        ((0.0, 1e6, 0.1 + 0.2), {"1000000, no", "0.3, no"}),
        ((0.0, 1234567.25, 1234567.5), {"1234567.25, no", "1234567.5, no"}),
        ((0.0, -0.0, -1e-5), {"0, no", "-0.00001, no"}),
        ((float("nan"), float("inf"), 1e300), set[str]()),
    ],
)
def test_a_reward_is_asked_for_in_digits_that_can_be_read(
    worth: tuple[float, ...], answers: set[str]
) -> None:
    asked = items(Reward(), Paid(table=RING.table, worth=worth))
    told = {answer for item in asked for answer, _ in item.right}
    assert told <= answers | {"0, no"}
    assert bool(told) == bool(answers)
    for answer in told:
        assert Reward().read(View(RING, "grid"), answer) == answer


class Placed(NamedTuple):
    """Where the player is, and what he did last, which nobody sees."""

    at: int
    last: str


@dataclass(frozen=True)
class Remembering(TableWorld):
    """A row of four cells whose states remember the last action."""

    def initial_state(self, seed: int) -> Placed:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Placed(1, "")

    def without_past(self, state: Placed) -> Placed:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Placed(state.at, "")

    def actions(self, state: Placed) -> Sequence[str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return ACTIONS[:2]

    def outcomes(self, state: Placed, action: str) -> tuple[Outcome[Placed], ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        there = max(0, state.at - 1) if action == "a" else min(3, state.at + 1)
        return (Outcome(CERTAIN, Placed(there, action), 0.0, False),)

    def is_success(self, state: Placed) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        return False

    def loss(self, state: Placed) -> str | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        return None

    def facts(self, state: Placed) -> Facts:  # pyright: ignore[reportIncompatibleMethodOverride]
        return {"player": frozenset({((0, state.at), "")})}

    def render(self, state: Placed) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return f"<{state.at}"


def test_what_a_state_remembers_unseen_is_no_change() -> None:
    world = Remembering(table=RING.table)
    board = Board(world, world.initial_state(0), 0)
    found = {item.stratum: item for item in Legality().items(View(world, "grid"), board)}
    assert dict(found["no"].fields)["state"] in ("<0", "<3")
    transitions = list(TransitionProbe().items(View(world, "grid"), board))
    assert {item.stratum for item in transitions} == {"changing", "blocked"}
    for item in Inverse().items(View(world, "grid"), board):
        fields = dict(item.fields)
        assert fields["state"] != fields["after"]
        assert item.right == (({"a": "a", "b": "b"}[item.stratum], Fraction(1)),)


@dataclass(frozen=True)
class Named(TableWorld):
    """Actions whose names differ in nothing that a file name could show."""

    names: ClassVar[tuple[str, ...]] = ("←", "→")

    def actions(self, state: int) -> Sequence[str]:
        return self.names

    def outcomes(self, state: int, action: str) -> tuple[Outcome[int], ...]:
        return super().outcomes(state, ACTIONS[self.names.index(action)])

    def format_action(self, action: str) -> str:
        return action

    def parse_action(self, text: str) -> str | None:
        return text if text in self.names else None


def test_every_question_has_an_id_of_its_own() -> None:
    world = ProbeWorld(Named(table=RING.table), Inverse(), "{state} {after}", "grid")
    names = [name for name, _ in world.instances(0)]
    assert len(names) == len(set(names)) == 2


@pytest.mark.parametrize("probe", [RollOut(), StateEstimation(), TransitionProbe(), Reward()])
def test_a_board_that_is_over_at_its_start_has_no_questions(probe: Probe) -> None:
    solved = TableWorld(table=(sure(0, 0), *RING.table[1:]), goals=frozenset({0}))
    assert items(probe, solved) == []


def test_what_has_one_plausible_answer_is_not_asked() -> None:
    alone = ProbeWorld(TableWorld(table=(sure(0, 0),)), TransitionProbe(), "{state}", "grid")
    with pytest.raises(NoBoardError, match="nothing to ask"):
        list(alone.instances(0))


@dataclass(frozen=True)
class Stuck(TableWorld):
    """There is nothing to do in state 1, which is neither success nor loss."""

    def actions(self, state: int) -> Sequence[str]:
        return () if state == 1 else super().actions(state)


def test_a_rollout_ends_where_there_is_nothing_to_do() -> None:
    asked = [items(RollOut(), Stuck(table=RING.table), seed) for seed in range(0, 20, 2)]
    assert all(len(some) < 8 for some in asked)
    assert any(asked)


@dataclass(frozen=True)
class Found(TableWorld):
    """In state 2 there is a coin beside the player."""

    def facts(self, state: int) -> Facts:
        coin: Facts = {"coin": frozenset({((1, 1), "")})} if state == 2 else {}
        return {**super().facts(state), **coin}

    def outcomes(self, state: int, action: str) -> tuple[Outcome[int], ...]:
        found = super().outcomes(state, action)
        return tuple(o._replace(reward=float(o.state)) for o in found)


def test_a_kind_of_object_that_appears_is_a_change() -> None:
    for seed in range(0, 40, 2):
        for item in items(Reward(), Found(table=RING.table), seed):
            if item.stratum.endswith("same-change"):
                fields = dict(item.fields)
                assert "2" in (fields["state"][1:] + item.right[0][0][:1])


@dataclass(frozen=True)
class Swap:
    """An action with two parts."""

    one: int
    other: int


@pytest.mark.parametrize(
    ("wanted", "options", "best"),
    [
        (Swap(1, 2), [Swap(2, 2), Swap(1, 3), Swap(3, 3)], Swap(1, 3)),
        ((1, 2), [(2, 2), (1, 3)], (1, 3)),
        ("up", ["down", "up"], "up"),
    ],
)
def test_actions_in_contrast_share_their_first_parts(
    wanted: object, options: list[object], best: object
) -> None:
    board = Board(RING, 0, 0)
    transitions = [Transition(0, wanted, ()), *(Transition(1, other, ()) for other in options)]
    board._all_transitions = lambda chance: iter(transitions)  # pyright: ignore
    found = board.contrast(
        board.chance("test"),
        answer=lambda transition: "yes" if transition.state == 0 else "no",
        shared=lambda transition: None,
    )
    assert found["no"].action == best
