"""`spa-bench show TASK`: exactly what a model will see."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def show(
    task: Annotated[str, typer.Argument(help="A task's name, or a path to a task file.")],
    instance: Annotated[
        int | None, typer.Option(help="The seed of a board; default: the task's first.")
    ] = None,
    include_path: Annotated[
        list[Path] | None, typer.Option(help="A folder with more tasks; may be given again.")
    ] = None,
) -> None:
    """Show exactly what a model will see, and the bounds of the board."""
    from spa_bench.errors import InputError
    from spa_bench.registry import Registry
    from spa_bench.results.bounds import board_bounds

    found = Registry.with_paths(include_path or ()).resolve([task])
    if len(found) > 1:
        raise InputError(f"{task!r} is {len(found)} tasks; show takes one")
    chosen = found[0]
    boards = {board.seed: board for board in chosen.boards[0]}
    if not boards:
        raise InputError(f"task {chosen.name!r} has no boards")
    board = boards.get(next(iter(boards)) if instance is None else instance)
    if board is None:
        raise InputError(
            f"task {chosen.name!r} has no board {instance}; its seeds are"
            f" {chosen.config.instances.seeds}"
        )
    state = chosen.environment.observe(board.state, chosen.config.observation)
    bounds = board_bounds(chosen, [board])[board.id]
    plan = "none" if bounds.shortest_plan is None else str(bounds.shortest_plan)
    typer.echo(f"task       {chosen.name}  {chosen.hash}")
    typer.echo(f"instance   {board.id}  {board.board_key}")
    typer.echo(
        f"bounds     floor {100 * bounds.floor:.1f}%  ceiling {100 * bounds.ceiling:.1f}%"
        f"  shortest plan {plan}"
    )
    typer.echo(f"\n--- system ---\n{chosen.config.prompt.system}")
    typer.echo(f"\n--- user ---\n{chosen.opening_message(state, 1, chosen.limits.actions)}")
    typer.echo(f"\n--- assistant, already begun ---\n{chosen.format.prefill}")
