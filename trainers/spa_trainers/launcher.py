"""What `torchrun` or `accelerate launch` says of a training, without loading torch."""

from __future__ import annotations

import os


def launched() -> int:
    """Returns how many processes a launcher started; 1 where none did."""
    return int(os.environ.get("WORLD_SIZE", "1"))
