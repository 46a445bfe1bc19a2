"""The chance that draws boards: every number is a pure function of what it is for.

Python's own `random` promises its numbers across versions for `random()` alone, not for `choice`
and `shuffle`. A board must be the same board for ever, so ours rest on SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from spa_bench.canonical import canonical_json

T = TypeVar("T")

_VERSION = "spa-bench/1"


class Keyed:
    """The stream of whole numbers that draws one board.

    Number i of the stream is the first 64 bits of the SHA-256 of the canonical JSON of
    `["spa-bench/1", "instance", environment, parameters, seed, i]`.
    """

    def __init__(self, environment: str, parameters: Mapping[str, Any], seed: int) -> None:
        """Begins the stream.

        Args:
            environment: the environment's name.
            parameters: all that the generator goes by, defaults written out: what is left out
                can later get a default without changing any board.
            seed: of the board.
        """
        key = canonical_json([_VERSION, "instance", environment, dict(parameters), seed])
        # hashed once; each number adds its own end, `,i]`, in place of the closing bracket
        self._beginning = hashlib.sha256(key[:-1].encode())
        self._drawn = 0

    def below(self, n: int) -> int:
        """Returns a whole number from 0 to n - 1; uniform to within n / 2**64."""
        if n < 1:
            raise ValueError(f"there is no whole number below {n}")
        number = self._beginning.copy()
        number.update(b",%d]" % self._drawn)
        self._drawn += 1
        return int.from_bytes(number.digest()[:8], "big") * n >> 64

    def chance(self, probability: float) -> bool:
        """Returns True with this probability, to 53 bits."""
        return self.below(1 << 53) < probability * (1 << 53)

    def choice(self, options: Sequence[T]) -> T:
        """Returns one of the options."""
        return options[self.below(len(options))]

    def shuffle(self, items: list[T]) -> None:
        """Puts the items in random order, in place (Fisher and Yates, from the end)."""
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]
