"""A small machine's settings for the tests that run vLLM for real (`make test-vllm`)."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "checkpoints" / "nano-base-sokoban"

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; of the build for CPUs
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """Tests that a shell runs in the background ignore Ctrl-C, and so would what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def folder() -> Path:
    """A small Llama that knows the formats."""
    return FOLDER


@pytest.fixture(scope="session")
def engine_args() -> dict[str, str]:
    """Nothing is compiled, and keys and values are reused in small blocks."""
    return {"enforce_eager": "true", "engine_args": '{"block_size": 32}'}
