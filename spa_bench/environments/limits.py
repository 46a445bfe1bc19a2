"""What an episode may use: the limits under which bounds are exact."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What an episode may use.

    Attributes:
        turns: model calls.
        actions_per_turn: actions executed for one call; further ones are dropped.
        actions: actions executed over the whole episode.
    """

    turns: int
    actions_per_turn: int
    actions: int

    @property
    def budget(self) -> int:
        """The actions that can be executed at most."""
        return min(self.actions, self.turns * self.actions_per_turn)
