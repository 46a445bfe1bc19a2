"""Keyed chance: every random number is a pure function of what it is for.

Three streams never touch: `instance` (which board), `dynamics` (which outcome), `sampling` (the
model's tokens). Order, concurrency and resumption therefore cannot change any of them.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from functools import lru_cache
from typing import Any

from spa_bench.canonical import canonical_json
from spa_bench.environments.environment import Outcome

_VERSION = "spa-bench/1"

MOST_SALT = 120
"""Characters of the seed that the user gives."""


def _bits(count: int, key: list[Any]) -> int:
    digest = hashlib.sha256(canonical_json(key).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - count)


def dynamics(salt: str, environment_id: str, instance_id: str, repeat: int, i: int) -> float:
    """Returns the uniform number in [0, 1) that decides the i-th executed action of an episode.

    The first 53 bits of the SHA-256 of canonical JSON, divided by 2**53: exact in a float.
    """
    hashed = _dynamics_of(salt, environment_id, instance_id, repeat).copy()
    hashed.update(b"%d]" % i)
    return (int.from_bytes(hashed.digest()[:8], "big") >> 11) / 2**53


@lru_cache(maxsize=4096)
def _dynamics_of(salt: str, environment_id: str, instance_id: str, repeat: int) -> Any:
    """Returns the hash of an episode's key up to the last number, which alone differs a step."""
    key = canonical_json([_VERSION, "dynamics", salt, environment_id, instance_id, repeat])
    return hashlib.sha256(f"{key[:-1]},".encode())


def sampling_seed(
    salt: str, environment_id: str, instance_id: str, repeat: int, turn: int, task: str, model: str
) -> int:
    """Returns the seed, below 2**63, of the tokens of one turn."""
    key = [_VERSION, "sampling", salt, environment_id, instance_id, repeat, turn, task, model]
    return _bits(63, key)


def draw(outcomes: tuple[Outcome[Any], ...], u: float) -> int:
    """Returns the index of the outcome that `u` falls on, by exact cumulative probabilities."""
    # whole numbers throughout: the same as adding up Fractions, at a sixth of the time
    point, scale = u.as_integer_ratio()
    total, whole = 0, 1
    for index, outcome in enumerate(outcomes):
        share, of = outcome.probability.as_integer_ratio()
        total, whole = total * of + share * whole, whole * of
        if point * whole < total * scale:
            return index
    raise ValueError(f"probabilities of outcomes sum to {Fraction(total, whole)}, not 1")
