"""How a training went, as its log tells it: what was measured on boards held out, step by step.

A training cannot be replayed from its log, so nobody verifies it: it is drawn as what it is, the
submitter's own account.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias, cast

from pydantic import Field, FiniteFloat, StringConstraints, TypeAdapter, ValidationError

from spa_bench.errors import InputError

Step: TypeAlias = Mapping[str, float]
"""`step`, counted from 0, and by name what was measured at it: `TASK/pass@K`, a share of held-out
boards; `reward`, the mean of an episode; `loss` and `entropy`, in nats a token; `format`, a share
of replies."""

MOST_STEPS = 20_000
MOST_NAMES = 64

_KEPT = r"step|loss|reward|entropy|format|[a-z0-9_]{1,80}/pass@[1-9][0-9]{0,2}"
_SHARE = re.compile(r"format|.*/pass@.*")

_LINE = TypeAdapter(
    dict[
        Annotated[str, StringConstraints(pattern=rf"^(?:{_KEPT})$")],
        Annotated[FiniteFloat, Field(gt=-1e9, lt=1e9)],
    ]
)


def from_log(path: Path) -> list[Step]:
    """Reads the log that a training leaves, `rl/log.jsonl` or `sft/log.jsonl`.

    What `Step` names is kept, and no more. A step may be told of several times, as by a training
    that was resumed or a closing summary: what is said last counts.

    Raises:
        InputError: for a file that cannot be read, or holds no step.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    kept = re.compile(_KEPT)
    found: dict[float, dict[str, float]] = {}
    for line in lines:
        told = {key: value for key, value in _numbers(line).items() if kept.fullmatch(key)}
        if "step" in told:
            found.setdefault(told["step"], {}).update(told)
    if not found:
        raise InputError(
            f"{path}: no step of a training in it; `spa-bench train` writes rl/log.jsonl"
        )
    return read((json.dumps(found[step]).encode() for step in sorted(found)), str(path))


def read(lines: Iterable[bytes], where: str) -> list[Step]:
    """Reads the lines of `training.jsonl`, written by nobody knows whom.

    Raises:
        InputError: for the first line that is no step.
    """
    steps: list[Step] = []
    names: set[str] = set()
    for number, line in enumerate(lines, 1):
        here = f"{where}:{number}"
        if number > MOST_STEPS:
            raise InputError(f"{here}: more than {MOST_STEPS:,} steps")
        try:
            step = _LINE.validate_json(line)
        except ValidationError:
            raise InputError(f"{here}: not a step of a training, such as {_EXAMPLE}") from None
        if not step.get("step", 0.5).is_integer() or step["step"] <= (
            steps[-1]["step"] if steps else -1.0
        ):
            raise InputError(f"{here}: steps count upwards from 0")
        for key, value in step.items():
            if _SHARE.fullmatch(key) and not 0 <= value <= 1:
                raise InputError(f"{here}: {key} is {value:.6g}, which no share can be")
        names |= step.keys()
        if len(names) > MOST_NAMES:
            raise InputError(f"{here}: more than {MOST_NAMES} names of what was measured")
        steps.append(step)
    return steps


_EXAMPLE = '{"step": 10, "sokoban/pass@1": 0.25}'


def to_lines(steps: Sequence[Step]) -> bytes:
    """Returns the contents of `training.jsonl`."""
    told = [{**step, "step": int(step["step"])} for step in steps]
    return "".join(f"{json.dumps(step)}\n" for step in told).encode()


def _numbers(line: bytes) -> dict[str, float]:
    """Returns the finite numbers of a line; none of one that was cut off or is something else."""
    try:
        told: Any = json.loads(line)
    except ValueError:
        return {}
    if not isinstance(told, dict):
        return {}
    return {
        key: value
        for key, value in cast(dict[str, Any], told).items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
