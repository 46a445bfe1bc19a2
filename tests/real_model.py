"""SmolLM2-135M-Instruct, the small real model, for the tests that use one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def smollm2() -> tuple[Path, Path]:
    """Returns what `python -m benchmarks.smollm2` prints; the test is skipped where it fails."""
    command = [sys.executable, "-m", "benchmarks.smollm2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"SmolLM2 cannot be fetched: {done.stderr.splitlines()[-1:]}")
    gguf, folder = map(Path, done.stdout.split())
    return gguf, folder
