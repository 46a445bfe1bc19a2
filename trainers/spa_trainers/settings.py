"""What every section of a recipe has in common."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A section of a recipe: no keys but its own, no infinities, and never changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
