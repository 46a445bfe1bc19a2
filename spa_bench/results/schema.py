"""What the parts of `results.json` are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer

from spa_bench.metrics.interval import Estimate

Number = Annotated[
    float | None,
    PlainSerializer(
        lambda x: None if x is None or math.isnan(x) else round(x, 10), when_used="json"
    ),
]
"""A number that is null in JSON where there is nothing to say."""


class ResultModel(BaseModel):
    """A part of `results.json`."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


def json_of(parts: Sequence[ResultModel]) -> str:
    """Returns one part as JSON, and several as a list of them."""
    bodies = [part.model_dump_json(by_alias=True, indent=2) for part in parts]
    return bodies[0] if len(bodies) == 1 else f"[{','.join(bodies)}]"


class Interval(ResultModel):
    """A value with its 95% interval."""

    value: Number
    low: Number
    high: Number

    @classmethod
    def of(cls, estimate: Estimate) -> Interval:
        """Returns an estimate in the form the results keep it."""
        return cls(value=estimate.value, low=estimate.low, high=estimate.high)
