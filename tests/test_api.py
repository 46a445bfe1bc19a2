"""`spa_bench.evaluate(..)` is a function whatever was imported before it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

IMPORTS = (
    "import spa_bench",
    "import spa_bench.evaluation",
    "import spa_bench; from spa_bench.evaluation import Silent",
    "from spa_bench.evaluation import Silent; import spa_bench",
    "import spa_bench; spa_bench.evaluate; import spa_bench.evaluation as module; module.Silent",
    "import spa_bench; spa_bench.evaluate_async",
    "import spa_bench, spa_bench.cli.progress",
)

CALL = """
found = spa_bench.evaluate("baseline/random", "sokoban", limit=1, repeats=1, output="run")
print(found.tasks[0].episodes)
"""


@pytest.mark.parametrize("imports", IMPORTS)
def test_evaluate_can_be_called(tmp_path: Path, imports: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", imports + CALL], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    import spa_bench

    with pytest.raises(AttributeError, match="has no attribute 'evalute'"):
        _ = spa_bench.evalute
