"""Keys and values of conversations that may go on, so that a next turn reads only what is new.

Torch is imported at module level: import this file only where a model is about to run.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook

from spa_bench.models.hf_cache import Row


class Parked:
    """Rows by their tokens, bounded in bytes; those that came first go first.

    Args:
        limit: the most bytes; 0 keeps nothing.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._rows: OrderedDict[tuple[int, ...], Row] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: tuple[int, ...]) -> bool:
        return key in self._rows

    def put(self, key: tuple[int, ...], row: Row) -> None:
        """Keeps a row."""
        self.pop(key)
        self._rows[key] = row
        self.size += _size(row)
        while self.size > self.limit:
            self.size -= _size(self._rows.popitem(last=False)[1])

    def pop(self, key: tuple[int, ...]) -> Row | None:
        """Returns the row, if it is still there, and keeps it no longer."""
        row = self._rows.pop(key, None)
        self.size -= _size(row or [])
        return row

    def clear(self) -> None:
        """Forgets everything."""
        self._rows.clear()
        self.size = 0


class Weights:
    """Notices that a model was trained."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._known: list[Any] = []

    def state(self) -> tuple[int, ...]:
        """Returns what is another once weights are, unless they were written through `.data`."""
        if not self._known or next(self._model.parameters(), None) is not self._known[0]:
            self._known = list(self._model.parameters())
        versions = sum(weight._version for weight in self._known)
        places = sum(weight.data_ptr() for weight in self._known)
        # A fused optimizer raises no weight's version.
        return _steps[0], versions, places


_steps = [0]
"""How many steps optimizers of this process have taken."""


def _count(*_: object) -> None:
    _steps[0] += 1


register_optimizer_step_post_hook(_count)


def _size(row: Row) -> int:
    return sum(part.nbytes for part in row)
