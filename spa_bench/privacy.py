"""Nobody is told what is run here: dependencies that report home are asked not to, and what
settings hold keys is known by their names."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import Any, Final

QUIET: Final[Mapping[str, str]] = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",  # transformers, datasets; and TRL, when a trainer is made
    "VLLM_NO_USAGE_STATS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",  # below vLLM
    "GRADIO_ANALYTICS_ENABLED": "False",  # below dashboards of trackers
}
"""What each of them calls it."""


_SECRET_SETTING = re.compile(
    r"^token$|(^|[_-])((api|access|private|secret)[_-]?key|key|secret|password|passwd|credentials?"
    r"|(access|auth|api|bearer|hf)[_-]?token|authorization)$",
    re.IGNORECASE,
)


def names_secret(setting: str) -> bool:
    """Returns whether a setting of this name holds a key; `reasoning_tokens` does not."""
    return _SECRET_SETTING.search(setting) is not None


def no_telemetry() -> None:
    """Asks them for this process and those it starts; what a user has set stays as it is."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    imported: Any = sys.modules.get("huggingface_hub.constants")
    if imported is not None and os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1":
        imported.HF_HUB_DISABLE_TELEMETRY = True  # read once, when it was imported
