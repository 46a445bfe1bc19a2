"""What a claim is: a figure that the documents state, its aim, and how it is measured."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import benchmarks.claims

Topic = Literal["core", "worlds", "training", "probes", "leaderboard", "scale", "trust"]
TOPICS: tuple[Topic, ...] = get_args(Topic)


@dataclass(frozen=True)
class Measured:
    """What a measurement found.

    Attributes:
        value: the figure, with its unit, as a table shows it.
        met: whether it reaches the aim.
        detail: what else one should know to read the figure, such as what it was compared with.
    """

    value: str
    met: bool
    detail: str = ""


class NotRunError(Exception):
    """The measurement needs something that is not here; says what, and how to get it."""


@dataclass(frozen=True)
class Claim:
    """One figure that the documents state.

    Attributes:
        name: by which `python -m benchmarks.claims NAME` finds it.
        topic: what it is about; orders the table.
        says: what is claimed, in words.
        aim: what the figure has to reach, in words.
        measure: measures it; runs in a process of its own. Raises NotRunError if it cannot.
    """

    name: str
    topic: Topic
    says: str
    aim: str
    measure: Callable[[], Measured]


def discover() -> dict[str, Claim]:
    """Returns all claims by name, by topic and then in the order of modules and lists."""
    package = benchmarks.claims
    claims: list[Claim] = []
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            found = importlib.import_module(f"{package.__name__}.{module.name}")
            claims += getattr(found, "CLAIMS", [])
    claims.sort(key=lambda claim: TOPICS.index(claim.topic))
    by_name = {claim.name: claim for claim in claims}
    if len(by_name) < len(claims):
        raise ValueError("two claims have one name")
    return by_name
