"""The mutation tool breaks what does something, one thing at a time, and sees who notices."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks import mutation
from benchmarks.mutation import TESTS, mutants

SOURCE = '''
"""What it is for."""
from typing import TypeAlias
Kind: TypeAlias = "int | str"
def least(values: list[int], *, most: int = 9) -> int | None:
    """Returns the least value below `most`."""
    if not values:
        raise ValueError("no values at all")
    best = most
    for value in values:
        if value < best and value >= 0:
            best = value
    return best
'''

BOTH, THEN = "value < best and value >= 0", "\n    best = value"


def edits() -> dict[str, str]:
    return {f"{mutant.line}: {mutant.was}": mutant.now for mutant in mutants(SOURCE)}


def test_every_operator_and_number_is_broken_and_nothing_that_only_tells() -> None:
    assert edits() == {
        "5: 9": "10",
        "7: not values": "not not values",
        f"11: if {BOTH}:{THEN}": f"if not ({BOTH}):{THEN}",
        f"11: {BOTH}": "value < best or value >= 0",
        "11: value < best": "value <= best",
        "11: value >= 0": "value > 0",
        "11: 0": "1",
        "13: return best": "return None",
    }


@pytest.mark.parametrize("name", ["spa_bench.metrics.calibration", "spa_bench.formats.think"])
def test_every_mutant_is_another_module_that_compiles(name: str) -> None:
    source = mutation.path_of(name).read_text(encoding="utf-8")
    whole = ast.dump(ast.parse(source))
    found = list(mutants(source))
    assert len({ast.dump(mutant.tree) for mutant in found} - {whole}) == len(found)
    for mutant in found:
        compile(mutant.tree, name, "exec")


@pytest.mark.parametrize("name", TESTS)
def test_the_tests_that_have_to_notice_are_there(name: str) -> None:
    assert all(Path(test).is_file() for test in TESTS[name])
