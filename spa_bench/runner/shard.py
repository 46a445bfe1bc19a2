"""One part of a run whose boards are dealt out to several machines."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from spa_bench.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shard:
    """The `index`-th of `count` parts, counted from 1; written `2/8`."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Reads `i/n`.

        Raises:
            InputError: for anything else, and for parts there are not.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        shard = cls(int(match[1]), int(match[2])) if match else None
        if shard is None or not 1 <= shard.index <= shard.count:
            raise InputError(f"shard {text!r} is not i/n with 1 <= i <= n, such as 2/8")
        return shard

    def deal(self, items: Sequence[T], before: int) -> Sequence[T]:
        """Returns this part of items that are dealt out in turn.

        Args:
            before: how many were dealt out before these, so that the parts of many short lists
                are as even as those of one long list.
        """
        return items[(self.index - 1 - before) % self.count :: self.count]

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
