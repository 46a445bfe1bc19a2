"""Measures what models know of the worlds, and writes docs/world-model.md with its figures.

    python -m benchmarks.world_model [MODEL ..] [--parts probes,ranking,belief,foresight,perplexity]
        [--probes world_model] [--worlds sokoban,frozenlake,sudoku] [--items 48]
        [--boards 32] [--repeats 4] [--output runs/world-model] [--write docs/world-model.md]

Every model named is measured, or its run continued, below `--output`; then the page is made of all
runs that are there, so models can be added one by one. Without a model, only the page is made. A
page that shows a model of which there is no run is left as it is.
`baseline/oracle` and `baseline/random` take all items whatever `--items` says: they cost little.
Interrupt it at will: started again it goes on.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.world_model_page import write_page
from spa_bench.cli import main as spa_bench
from spa_bench.errors import InputError, SpaBenchError
from spa_bench.evaluation import evaluate
from spa_bench.models.model import Model
from spa_bench.models.ranking import can_rank
from spa_bench.plugins import make_model, resolve_model
from spa_bench.registry import Registry
from spa_bench.task import Task

PARTS = ("probes", "ranking", "belief", "foresight", "perplexity")
WORLD_MODEL_TASKS = "sokoban_wm,frozenlake_wm,frozenlake_slippery_wm,sudoku_wm"


def main() -> None:
    """Measures, then writes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="as evaluate takes them")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--probes", default="world_model", help="tasks, as evaluate takes them")
    parser.add_argument("--worlds", default="sokoban,frozenlake,sudoku", help="that it is asked of")
    parser.add_argument("--items", type=int, default=48, help="of each probe")
    parser.add_argument("--boards", type=int, default=32, help="of each world-model task")
    parser.add_argument("--repeats", type=int, default=4, help="episodes a board")
    parser.add_argument("--output", type=Path, default=Path("runs/world-model"))
    parser.add_argument("--write", type=Path, default=Path("docs/world-model.md"))
    chosen = parser.parse_args()
    parts = chosen.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"--parts: there is no {sorted(unknown)[0]!r}")
    for name in chosen.models:
        provider, options = resolve_model(name)
        folder = chosen.output / re.sub(r"[^A-Za-z0-9_.-]+", "-", options.label).strip("-")
        ranks = can_rank(make_model(options, provider))
        baseline = provider == "baseline"
        for part in parts:
            if part in ("ranking", "foresight", "perplexity") and (baseline or not ranks):
                continue
            try:
                _measure(part, name, folder, chosen, baseline)
            except SpaBenchError as error:  # one model that fails is no reason to lose the others
                print(f"{name}, {part}: {error}", file=sys.stderr)
    try:
        write_page(chosen.output, chosen.write)
    except InputError as error:
        sys.exit(str(error))


def _measure(part: str, name: str, folder: Path, chosen: Any, baseline: bool) -> None:
    print(f"{name}: {part} ..", flush=True)
    items = None if baseline else chosen.items
    if part in ("perplexity", "foresight"):
        folder.mkdir(parents=True, exist_ok=True)
        output = folder / f"{part}.json"
        if not output.exists():
            asked = chosen.worlds
            if part == "foresight":
                asked = ",".join(task.name for task in _tasks(WORLD_MODEL_TASKS, chosen.worlds))
            begun = output.with_suffix(".begun")  # until all its tasks are measured
            command = [part, "--model", name, "--tasks", asked, "--output", str(begun)]
            try:
                spa_bench([*command, "--limit", str(chosen.boards)])
            except SystemExit as end:
                if end.code:
                    raise SpaBenchError(f"no {part}") from None
            begun.replace(output)
    elif part == "belief":
        boards = None if baseline else chosen.boards
        repeats = None if baseline else chosen.repeats
        tasks = _tasks(WORLD_MODEL_TASKS, chosen.worlds)
        _evaluate(name, tasks, folder / part, boards, repeats)
    else:
        tasks = chosen.probes if part == "probes" else "world_model_ranking"
        _evaluate(name, _tasks(tasks, chosen.worlds), folder / part, items, None)


def _tasks(names: str, worlds: str) -> list[Task]:
    """Returns the tasks of some worlds among those that names stand for."""
    tasks = Registry().resolve(names.split(","))
    return [task for task in tasks if task.name.partition("_")[0] in worlds.split(",")]


def _evaluate(
    model: str | Model, tasks: list[Task], output: Path, limit: int | None, repeats: int | None
) -> None:
    evaluate(model, tasks, output=output, limit=limit, repeats=repeats, resume=True)


if __name__ == "__main__":
    main()
