"""How fast the Sokoban kernel steps, with rendering, on one core; gym-sokoban beside it.

A random walk over `sokoban`'s boards does what the episode loop does for an action: all outcomes of
it, the draw among them (none where there is but one, as always in Sokoban), and the next state
rendered. gym-sokoban walks on the same boards with its smallest rendering. Moves are drawn before
the clock starts.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.claims.claim import Claim, Measured, NotRunError
from spa_bench.environments.environment import AnyEnvironment
from spa_bench.environments.sokoban import Sokoban
from spa_bench.registry import Registry
from spa_bench.runner import chance

TRANSITIONS = 200_000
PEER_TRANSITIONS = 20_000
REPETITIONS = 5
LONGEST_WALK = 100
AIM = 218_000
"""Ten times gym-sokoban's 21,800 a second, as once measured on two cores."""


def transitions_per_second() -> Measured:
    """Our rate against the fixed aim."""
    rate = steps_per_second(*_world())
    return Measured(f"{round(rate, -3):,.0f} a second", rate >= AIM, f"median of {REPETITIONS}")


def beside_gym_sokoban() -> Measured:
    """Our rate against gym-sokoban's in the same run."""
    environment, starts = _world()
    boards = [environment.render(state).split("\n") for state in starts]
    rate = steps_per_second(environment, starts)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "boards.json"
        file.write_text(json.dumps(boards), encoding="utf-8")
        how = map(str, (PEER_TRANSITIONS, REPETITIONS, LONGEST_WALK))
        try:
            said = peers.run("gym-sokoban", "gym_sokoban_walk.py", file, *how, folder=Path(folder))
        except peers.PeerMissingError as error:
            raise NotRunError(str(error)) from None
    theirs = statistics.median(json.loads(said))
    return Measured(
        f"{rate / theirs:.0f} times as fast",
        rate >= 10 * theirs,
        f"ours {round(rate, -3):,.0f}, gym-sokoban {round(theirs, -2):,.0f} a second",
    )


def _world() -> tuple[Sokoban, list[Any]]:
    (task,) = Registry().resolve(["sokoban"])
    environment: Sokoban = task.environment  # type: ignore[assignment]
    return environment, [board.state for board in task.boards[0]]


def steps_per_second(environment: AnyEnvironment, starts: list[Any]) -> float:
    """Returns transitions a second: the median of several walks, after one that does not count."""
    _walk(environment, starts, TRANSITIONS // 20)
    return statistics.median(_walk(environment, starts, TRANSITIONS) for _ in range(REPETITIONS))


def _walk(environment: AnyEnvironment, starts: list[Any], transitions: int) -> float:
    """Returns transitions a second."""
    rng = random.Random(0)
    moves = rng.choices(environment.actions(starts[0]), k=transitions)
    boards = iter(rng.choices(range(len(starts)), k=transitions))
    state, walked = starts[next(boards)], 0
    started = time.perf_counter()
    for i, move in enumerate(moves):
        outcomes = environment.outcomes(state, move)
        index = 0
        if len(outcomes) > 1:
            u = chance.dynamics("0", environment.environment_id, "walk", 0, i)
            index = chance.draw(outcomes, u)
        outcome = outcomes[index]
        state = outcome.state
        environment.render(state)
        walked += 1
        if outcome.terminal or walked == LONGEST_WALK:
            state, walked = starts[next(boards)], 0
    return transitions / (time.perf_counter() - started)


CLAIMS = [
    Claim(
        "sokoban-speed",
        "core",
        "Sokoban steps with rendering, on one core",
        f"{AIM:,} a second",
        transitions_per_second,
    ),
    Claim(
        "sokoban-beside-gym",
        "core",
        "Sokoban steps with rendering faster than gym-sokoban",
        "10 times as fast",
        beside_gym_sokoban,
    ),
]
