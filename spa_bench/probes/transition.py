"""Transition and roll-out: the state after one action, and after several."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

from spa_bench.environments.forecast import forecast
from spa_bench.environments.keyed import Keyed
from spa_bench.probes.board import Board, Transition, shuffled
from spa_bench.probes.probe import Item, View
from spa_bench.probes.states import StateProbe, neighbours

SEPARATOR = ", then "
"""What stands between the actions of a roll-out, for it is read and not answered."""


@dataclass(frozen=True)
class TransitionProbe(StateProbe):
    """A state and an action are shown; the next state is to be written.

    Strata: the action changes the state (`changing`), does not (`blocked`), or ends the episode
    (`ending`); where chance decides, may do so.
    """

    name: ClassVar[str] = "transition"
    placeholders: ClassVar[frozenset[str]] = frozenset({"state", "action"})

    def items(self, view: View, board: Board) -> Iterator[Item]:
        chance = board.chance(self.name)
        found: dict[str, Transition] = {}
        for transition in board.transitions(chance):
            found.setdefault(_stratum(transition), transition)
            if len(found) == len(_STRATA):
                break
        for stratum in _STRATA:
            if stratum in found:
                state, action, _ = found[stratum]
                action_text = view.environment.format_action(action)
                shown = view.show(state)
                fields = {"state": shown, "action": action_text}
                yield _after(self, view, board, stratum, state, (action,), fields)


_STRATA = ("changing", "blocked", "ending")


def _stratum(transition: Transition) -> str:
    if transition.may_end:
        return "ending"
    return "changing" if transition.may_change else "blocked"


@dataclass(frozen=True)
class RollOut(StateProbe):
    """A state and k actions are shown; the state after the last is to be written.

    One item for each k from 1 to `horizon`, which is its stratum. The actions may change
    something, and none but the last ends the episode, as far as chance does not decide.
    """

    name: ClassVar[str] = "rollout"
    placeholders: ClassVar[frozenset[str]] = frozenset({"state", "actions"})

    horizon: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.horizon <= 50:
            raise ValueError("horizon must lie between 1 and 50")

    def items(self, view: View, board: Board) -> Iterator[Item]:
        if not board.states:  # solved or lost from the beginning
            return
        chance = board.chance(self.name)
        for k in range(1, self.horizon + 1):
            start = chance.choice(board.states)
            actions = _going_on(view, chance, start, k)
            if len(actions) < k:  # it led where there is nothing to do
                continue
            named = SEPARATOR.join(map(view.environment.format_action, actions))
            fields = {"state": view.show(start), "actions": named}
            yield _after(self, view, board, str(k), start, actions, fields)


def _going_on(view: View, chance: Keyed, state: Any, k: int) -> tuple[Any, ...]:
    """Returns k actions along a likely way on which the episode goes on, where there is one.

    Fewer where there is nothing to do any more.
    """
    environment, chosen = view.environment, list[Any]()
    for _ in range(k):
        actions = environment.actions(state)
        if not actions:
            break
        effective = environment.effective_actions(state)
        order = chain(shuffled(chance, effective), shuffled(chance, range(len(actions))))
        after, action = state, actions[0]
        for number in order:
            outcomes = environment.outcomes(state, actions[number])
            likeliest = max(outcomes, key=lambda outcome: outcome.probability)
            if not likeliest.terminal:
                after, action = likeliest.state, actions[number]
                break
        chosen.append(action)
        state = after
    return tuple(chosen)


def _after(
    probe: StateProbe,
    view: View,
    board: Board,
    stratum: str,
    state: Any,
    actions: tuple[Any, ...],
    fields: dict[str, str],
) -> Item:
    possible = forecast(view.environment, state, actions)
    likeliest = max(possible, key=lambda there: possible[there])
    chance = board.chance(f"{probe.name}/wrong/{stratum}")
    plausible = chain(
        neighbours(view.environment, state, chance),
        neighbours(view.environment, likeliest, chance),
        shuffled(chance, board.states),
    )
    return probe.state_item(view, stratum, fields, possible, plausible, copy=fields["state"])
