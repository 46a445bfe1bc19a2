"""`spa-bench perplexity`: how unlikely a model finds the text of states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spa_bench.cli.scoring import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spa_bench.cli.scoring import Measure
    from spa_bench.probes.perplexity import Perplexity
    from spa_bench.task import Task


def _table(measured: Sequence[Perplexity]) -> str:
    from spa_bench.probes.perplexity import STYLES
    from spa_bench.results.tabulated import tabulated

    headers = ["task", "boards", "symbols"]
    headers += [f"{style}, {unit}" for style in STYLES for unit in ("per token", "per character")]
    rows = [
        [p.task, p.boards, p.symbols or "-"]
        + [f"{x:.2f}" for s in STYLES for x in (p.styles[s].per_token, p.styles[s].per_character)]
        for p in measured
    ]
    return tabulated(headers, rows)


def _measure() -> Measure[Perplexity]:
    from spa_bench.probes.perplexity import perplexity

    return perplexity


def _check(task: Task) -> None:
    from spa_bench.probes.perplexity import check_states

    check_states(task)


_ABOUT = """\
Measure a model's perplexity on states, with and without coordinates.

Per token and per character, over the starting states of the tasks' boards. `symbols` is the
perplexity, per cell of the grid, of uniform guessing.
"""

perplexity = command("perplexity", "sokoban,frozenlake,sudoku", _ABOUT, _measure, _table, _check)
