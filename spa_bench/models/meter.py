"""What a run may spend on a model, kept to under concurrency.

Before a call is sent, the most that it can use is set aside; when it is answered, what it did use
is spent and the rest is free again. A call that does not fit waits for others to be answered, and
is refused when there are none. So what is spent never exceeds the limit, as long as a server writes
no more than it was asked for.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from spa_bench.errors import OutOfBudgetError


class Spending(NamedTuple):
    """Tokens read and written."""

    prompt: int = 0
    completion: int = 0

    def plus(self, other: Spending) -> Spending:
        """Returns the sum."""
        return Spending(self.prompt + other.prompt, self.completion + other.completion)

    def minus(self, other: Spending) -> Spending:
        """Returns the difference."""
        return Spending(self.prompt - other.prompt, self.completion - other.completion)


class Meter:
    """The account of one run; for one event loop.

    Args:
        most_tokens: read and written together; None for no such limit.
        most_cost: in US dollars; None for no such limit.
        cost: what so many tokens read and written cost; wanted for `most_cost`.

    Attributes:
        spent: so far.
        refused: whether a call was refused.
    """

    def __init__(
        self,
        *,
        most_tokens: int | None = None,
        most_cost: float | None = None,
        cost: Callable[[int, int], float] = lambda prompt, completion: 0.0,
    ) -> None:
        self.spent = Spending()
        self.refused = False
        self._most_tokens = most_tokens
        self._most_cost = most_cost
        self._cost = cost
        self._set_aside = Spending()
        self._in_flight = 0
        # Episodes under way go before those that would begin: what they spent is not to be lost.
        self._begun: deque[tuple[Spending, asyncio.Future[None]]] = deque()
        self._new: deque[tuple[Spending, asyncio.Future[None]]] = deque()

    def spend(self, used: Spending) -> None:
        """Counts what was spent without being set aside, such as by an earlier start of the run."""
        self.spent = self.spent.plus(used)

    async def reserve(self, bound: Spending, *, begun: bool) -> None:
        """Waits until a call may be sent.

        Args:
            bound: the most that it can use.
            begun: whether it belongs to an episode under way.

        Raises:
            OutOfBudgetError: if it could exceed a limit even if nothing else were spent any more.
        """
        granted = asyncio.get_running_loop().create_future()
        (self._begun if begun else self._new).append((bound, granted))
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self.settle(bound, Spending())  # never sent
            raise

    def settle(self, bound: Spending, used: Spending) -> None:
        """Notes what a call used for which `bound` was set aside."""
        self._in_flight -= 1
        self._set_aside = self._set_aside.minus(bound)
        self.spent = self.spent.plus(used)
        self._grant()

    def __str__(self) -> str:
        tokens = f"{self.spent.prompt:,} prompt and {self.spent.completion:,} completion tokens"
        return tokens if self._most_cost is None else f"{tokens}, ${self._cost(*self.spent):.4f}"

    def _grant(self) -> None:
        while queue := self._begun or self._new:
            bound, granted = queue[0]
            total = self.spent.plus(self._set_aside).plus(bound)
            fits = self._fits(total)
            if not fits and self._in_flight and not granted.done():
                return
            queue.popleft()
            if granted.done():  # whoever waited is gone
                continue
            if fits:
                self._in_flight += 1
                self._set_aside = self._set_aside.plus(bound)
                granted.set_result(None)
            else:
                self.refused = True
                granted.set_exception(
                    OutOfBudgetError(f"the next call could exceed the budget: spent are {self}")
                )

    def _fits(self, total: Spending) -> bool:
        tokens = total.prompt + total.completion
        if self._most_tokens is not None and tokens > self._most_tokens:
            return False
        return self._most_cost is None or self._cost(*total) <= self._most_cost


@runtime_checkable
class Metered(Protocol):
    """A model that asks a meter, if it is given one, before each of its calls."""

    meter: Meter | None
