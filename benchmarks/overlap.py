"""How many of the paper's boards does a training meet that draws its own as they were drawn?

    python -m benchmarks.overlap [--tasks sokoban,frozenlake,sudoku] [--boards 160,3200,32000]

Training boards are made by the published generators from the seeds from 10000 on, as many as are
asked for; none is left out. Counted are boards that are different under the symmetries of their
world, and of the paper's 128 those that are among them: the very same, and the same but for
symmetry (turned, mirrored; in Sudoku also with digits renamed or rows swapped). `spa-bench train`
leaves all of the latter out (`leave_out`).
"""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

from benchmarks.tables import markdown
from spa_bench.registry import Registry
from spa_bench.task import Task, TaskInstances
from spa_trainers.boards import TRAINING_SEEDS


def main() -> None:
    """Counts and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tasks", default="sokoban,frozenlake,sudoku")
    parser.add_argument("--boards", default="160,3200,32000", help="of a training")
    chosen = parser.parse_args()
    numbers = sorted(map(int, chosen.boards.split(",")))
    lines = [
        line
        for task in Registry().resolve(chosen.tasks.split(","))
        for line in counted(task, numbers)
    ]
    heads = ["task", "training boards", "different", "most frequent"]
    print(markdown([*heads, "of the evaluation's", "the very same", "but for symmetry"], lines))


def counted(task: Task, numbers: Sequence[int]) -> Iterator[list[object]]:
    """Yields a line of the table for each number of training boards."""
    evaluated, _ = task.boards
    instances = TaskInstances(split="all", seeds=TRAINING_SEEDS, count=max(numbers))
    config = task.config.model_copy(update={"instances": instances})
    boards, _ = dataclasses.replace(task, config=config).boards
    for number in numbers:
        states = {board.state for board in boards[:number]}
        keys = Counter(board.board_key for board in boards[:number])
        yield [
            task.name,
            f"{number:,}",
            f"{len(keys):,}",
            f"{keys.most_common(1)[0][1] / number:.1%}",
            len(evaluated),
            sum(board.state in states for board in evaluated),
            sum(board.board_key in keys for board in evaluated),
        ]


if __name__ == "__main__":
    main()
