"""What docs/study.md says of the paper's boards among those of a training."""

import dataclasses

from benchmarks.overlap import counted
from spa_bench.registry import Registry
from spa_bench.task import TaskInstances


def test_boards_that_are_trained_on_are_found():
    (task,) = Registry().resolve(["sokoban"])
    instances = TaskInstances(split="all", seeds="10010-10029")
    task = dataclasses.replace(task, config=task.config.model_copy(update={"instances": instances}))
    few, some, all_of_them = (line[-3:] for line in counted(task, [10, 20, 40]))
    assert few[0] == some[0] == 20
    assert few[1] < some[1] < all_of_them[1] == all_of_them[2] == 20
    assert 10 <= some[1] <= some[2]
