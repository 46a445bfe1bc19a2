"""`spa-bench show TASK`: exactly what a model will see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spa_bench.cli.options import IncludePath

if TYPE_CHECKING:
    from spa_bench.task import Instance, Task


def show(
    task: Annotated[str, typer.Argument(help="A task's name, or the path of a task file.")],
    instance: Annotated[
        int | None, typer.Option(help="Seed of the board; default: the task's first board.")
    ] = None,
    include_path: IncludePath = None,
) -> None:
    """Show exactly what a model sees, and the board's bounds."""
    from spa_bench.results.bounds import board_bounds

    chosen, board = pick_board(task, instance, include_path or ())
    state = chosen.environment.observe(board.state, chosen.config.observation)
    bounds = board_bounds(chosen, [board])[board.id]
    plan = "none" if bounds.shortest_plan is None else str(bounds.shortest_plan)
    floor, ceiling, closed_loop = map(_percent, (bounds.floor, bounds.ceiling, bounds.closed_loop))
    looking = "" if closed_loop == ceiling else f"  closed loop {closed_loop}"
    typer.echo(f"task       {chosen.name}  {chosen.hash}")
    typer.echo(f"instance   {board.id}  {board.board_key}")
    typer.echo(f"bounds     floor {floor}  ceiling {ceiling}{looking}  shortest plan {plan}")
    typer.echo(f"\n--- system ---\n{chosen.config.prompt.system}")
    typer.echo(f"\n--- user ---\n{chosen.opening_message(state, 1, chosen.limits.actions)}")
    typer.echo(f"\n--- assistant, already started ---\n{chosen.format.prefill}")


def _percent(probability: float) -> str:
    return "unknown" if probability != probability else f"{100 * probability:.1f}%"


def pick_board(name: str, seed: int | None, include_path: Sequence[Path]) -> tuple[Task, Instance]:
    """Returns the task of that name and one of its boards: that of `seed`, or the first.

    Raises:
        InputError: if there is no such task or board.
    """
    from spa_bench.errors import InputError
    from spa_bench.registry import Registry

    found = Registry.with_paths(include_path).resolve([name])
    if len(found) != 1:
        raise InputError(f"{name!r} is {len(found)} tasks: {', '.join(t.name for t in found)}")
    task = found[0]
    task.check_boards(None)
    boards = {board.seed: board for board in reversed(task.boards[0])}  # a seed may have several
    if seed is not None and seed not in boards:
        wanted, few = task.config.instances, ", ".join(map(str, list(boards)[-1:-4:-1]))
        split = "" if wanted.split in ("paper", "all") else f" of the split {wanted.split}"
        raise InputError(
            f"task {task.name!r} has no board of seed {seed}; it has {len(boards)}{split}, of seeds"
            f" in {wanted.seeds}: {few}{', ..' if len(boards) > 3 else ''}"
        )
    return task, task.boards[0][0] if seed is None else boards[seed]
