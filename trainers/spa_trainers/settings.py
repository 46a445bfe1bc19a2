"""What every section of a recipe has in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A section of a recipe: no keys but its own, no infinities, and never changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @property
    def how(self) -> frozenset[str]:
        """Which settings say how something is computed and not what: a training goes on with
        others."""
        return frozenset()

    def what(self) -> dict[str, Any]:
        """Returns what the other settings say."""
        return self.model_dump(exclude=set(self.how))
