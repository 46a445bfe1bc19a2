"""Canonical JSON and its hash: the one way in which this project turns a value into an identity."""

from __future__ import annotations

import hashlib
import json
from typing import Any

# one for all calls: `json.dumps` with options would build an encoder each time
_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def canonical_json(value: Any) -> str:
    """Returns `value` as JSON with sorted keys, no spaces and no escapes beyond JSON's own.

    Raises:
        ValueError: for NaN and infinities, which JSON does not have.
    """
    return _ENCODER.encode(value)


def sha256_hex(value: Any) -> str:
    """Returns the SHA-256 of the canonical JSON of `value`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
