"""Paths as users write them, and as they are told to write them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from spa_bench.paths import typed


@pytest.mark.parametrize("name", ["runs/a", "my run", "it's", "-o", "a$b", "a\nb", "*"])
def test_a_path_can_be_typed_as_it_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir(parents=True)
    command = f"cd {typed(Path(name))} && pwd"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == f"{tmp_path / name}\n"


def test_a_plain_path_is_told_as_it_is() -> None:
    assert typed(Path("runs/demo")) == "runs/demo"
