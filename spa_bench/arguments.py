"""What `evaluate` is given from Python, checked: a mistake is one line, as on the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from spa_bench.errors import InputError, complaint, nearest


def _path(value: Any) -> Path:
    if not isinstance(value, str | os.PathLike) or value == "":
        raise ValueError("must be a path, and not empty")
    return Path(cast(str, value))


def _alone(value: Any) -> Any:
    """Takes one text or path for a list of one, and not of its characters."""
    return (value,) if isinstance(value, str | os.PathLike) else value


_FLAGS = {
    "seed": "salt",
    "model_args": "args",
    "base_url": "base_urls",
    "include_path": "include_paths",
}
"""Options whose names on the command line are other ones."""

_AnyPath = Annotated[Path, BeforeValidator(_path)]
_Dollars = Annotated[float, Field(ge=0, lt=1e9)]


class _Arguments(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Checks what was given.

        Raises:
            InputError: for the first that cannot be, or that there is not.
        """
        try:
            return cls.model_validate(dict(given))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            known = {*RunArguments.model_fields, *ModelArguments.model_fields}
            meant = _FLAGS.get(name)
            hint = f" (did you mean {meant}?)" if meant else nearest(name, known)
            raise InputError(f"evaluate has no option {name!r}{hint}")
        raise InputError(f"{name}={first['input']!r}: {complaint(first)}")


class RunArguments(_Arguments):
    """How to evaluate; the fields are those of `evaluate_async`."""

    output: _AnyPath | None
    repeats: int | None
    limit: int | None
    shard: str | None
    salt: str
    resume: bool
    concurrency: int | None
    log_tokens: bool
    include_paths: Annotated[tuple[_AnyPath, ...], BeforeValidator(_alone), Field(strict=False)]
    gen_kwargs: Mapping[str, Any] | None
    price: Annotated[tuple[_Dollars, _Dollars], Field(strict=False)] | None
    max_cost: float | None
    max_tokens_total: int | None


class ModelArguments(_Arguments):
    """How to load a model given by its name; the fields are those of `ModelOptions`."""

    args: Mapping[str, str] = {}
    base_urls: Annotated[tuple[str, ...], BeforeValidator(_alone), Field(strict=False)] = ()
    batch_size: int | None = None
    device: str | None = None
    dtype: str | None = None
    adapter: str | None = None
