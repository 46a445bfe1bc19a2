"""What weight files tell without being loaded: their hash, and how many numbers they hold."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from spa_bench.canonical import sha256_hex
from spa_bench.errors import InputError

_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_LONGEST_HEADER = 100_000_000


def hash_weights(folder: Path) -> str:
    """Returns the SHA-256 over names and contents of a checkpoint's weight files.

    Raises:
        InputError: if it has none.
    """
    files = _files(folder)
    if not files:
        raise InputError(f"{folder}: no weights (*.safetensors)")
    digests: list[list[str]] = []
    for path in files:
        with path.open("rb") as file:
            digests.append([path.name, hashlib.file_digest(file, "sha256").hexdigest()])
    return sha256_hex(digests)


def count_parameters(folder: Path) -> int | None:
    """Returns how many numbers the weights are, as the headers of their files say.

    None where there are no such files, and where numbers are packed, as quantised ones are.
    """
    tensors = [tensor for path in _files(folder) for tensor in _header(path)]
    if not tensors or any(tensor["dtype"] not in _FLOATS for tensor in tensors):
        return None
    return sum(math.prod(tensor["shape"]) for tensor in tensors)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _header(path: Path) -> list[dict[str, Any]]:
    """Returns what a safetensors file says of its tensors: eight bytes of length, then JSON."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(min(length, _LONGEST_HEADER)))
    except (OSError, ValueError):
        raise InputError(f"{path}: not a safetensors file") from None
    return [tensor for name, tensor in header.items() if name != "__metadata__"]
