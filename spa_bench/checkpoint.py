"""What a trained checkpoint says of itself, for those who evaluate it: card and training boards."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from spa_bench.canonical import sha256_hex
from spa_bench.errors import InputError, first_complaint

SCHEMA: Final = "spa-bench/checkpoint/1"
CARD = "spa_bench.json"
BOARDS = "training_boards.json.gz"
_MOST_BYTES = 200_000_000
_MOST_CARD_BYTES = 10_000_000


class CheckpointCard(BaseModel):
    """The contents of `spa_bench.json`.

    Attributes:
        method: as the recipe calls it, such as `base`, `world_model` or `spa`.
        tasks, format, observation: what it was last trained to play.
        parent: the checkpoint it began as; None if it was made from nothing.
        recipe: the recipe's name. settings: the whole recipe as it was run.
        stages: what each stage did: steps, tokens, seconds.
        versions: of the packages that made it.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_: Literal["spa-bench/checkpoint/1"] = Field(default=SCHEMA, alias="schema")
    name: str
    description: str = ""
    method: str
    tasks: list[str]
    format: str | None = None
    observation: str | None = None
    parent: str | None = None
    parent_fingerprint: str | None = None
    recipe: str
    settings: dict[str, Any] = {}
    stages: list[dict[str, Any]] = []
    versions: dict[str, str] = {}


def read_card(folder: Path) -> CheckpointCard | None:
    """Reads a checkpoint's card; None where the folder has none.

    Raises:
        InputError: if there is one that cannot be read.
    """
    path = folder / CARD
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_CARD_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > _MOST_CARD_BYTES:
        raise InputError(f"{path}: more than {_MOST_CARD_BYTES:,} bytes; no card has so many")
    try:
        return CheckpointCard.model_validate_json(content)
    except ValidationError as error:
        raise InputError(f"{path}: {first_complaint(error)}") from None


def read_boards(folder: Path) -> dict[str, frozenset[str]]:
    """Reads which boards a checkpoint was trained on: world -> short keys; {} without a manifest.

    Raises:
        InputError: if the manifest cannot be read.
    """
    path = folder / BOARDS
    try:
        with gzip.open(path) as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return {}
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a manifest of training boards: {error}") from None
    if len(content) > _MOST_BYTES:
        raise InputError(
            f"{path}: more than {_MOST_BYTES:,} bytes unpacked; no manifest has so many"
        )
    try:
        listed = TypeAdapter(dict[str, list[str]]).validate_json(content)
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise InputError(f"{path}: not a manifest of training boards: {reason}") from None
    return {world: frozenset(keys) for world, keys in listed.items()}


def world_of(instance_id: str) -> str:
    """Returns the part of an instance's id that names rules and generator, not the seed."""
    return instance_id.rpartition("/")[0]


def short_key(board_key: str) -> str:
    """Returns 16 hexadecimal digits that stand for a board key in a manifest."""
    return sha256_hex(board_key)[:16]


def overlap(boards: Iterable[tuple[str, str]], trained: Mapping[str, frozenset[str]]) -> int:
    """Returns how many boards, as (instance id, board key), are in a manifest.

    Boards are compared within a kind of world (the first part of an instance's id): the same
    board made by another generator is the same board.
    """
    by_kind: dict[str, set[str]] = {}
    for world, keys in trained.items():
        by_kind.setdefault(world.partition("/")[0], set()).update(keys)
    return sum(
        short_key(key) in by_kind.get(instance.partition("/")[0], ()) for instance, key in boards
    )
