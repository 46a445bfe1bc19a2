"""Probes by lm-eval's own rules: what its task files in `lm_eval_tasks/` refer to.

    lm-eval run --model hf --model_args pretrained=NAME --apply_chat_template \\
        --include_path $(spa-bench lm-eval-path) --tasks spa_world_model

lm-eval asks the model; questions and scores come from here, from the code that scores our own runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from spa_bench.errors import InputError
from spa_bench.probes.probe import Scored
from spa_bench.probes.world import ProbeWorld
from spa_bench.registry import Registry
from spa_bench.runner.record import TurnUsage
from spa_bench.runner.rollout import Answer, EpisodeSpec, Rollout
from spa_bench.task import Instance, Task

TASKS = Path(__file__).parent / "lm_eval_tasks"
"""The folder that lm-eval's `--include_path` wants."""


def documents(task: str, **_: Any) -> Mapping[str, Any]:
    """Returns the items of a probe as lm-eval's documents: {"test": dataset}.

    Args:
        task: the probe's name here, from `dataset_kwargs` of the task file.
    """
    probe, boards = _boards(task)
    datasets = import_module("datasets")  # which lm-eval brings
    return {"test": datasets.Dataset.from_list([_document(probe, b) for b in boards.values()])}


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Scores a reply as our own runs do.

    Returns:
        `accuracy` and `probability`; for answers that are states also `cell_accuracy` and
        `object_f1`.
    """
    task, boards = _boards(str(doc["task"]))
    board = boards[str(doc["instance"])]
    prefill = str(doc["prefill"])
    rollout = Rollout(EpisodeSpec(task, board, 0, "0"), prefill)
    rollout.ask()
    turn = rollout.answer(Answer(message=prefill + results[0], stop_reason="stop", usage=_USAGE))
    world: ProbeWorld = task.environment  # pyright: ignore[reportAssignmentType] - see `_boards`
    item = board.state.item
    scored = world.scored(item, turn.actions[0]) if turn.actions else Scored.nothing()
    found = {"accuracy": float(scored.accepted), "probability": float(scored.probability)}
    if world.scored(item, item.right[0][0]).agreement is not None:
        agrees = scored.agreement
        found["cell_accuracy"] = 0.0 if agrees is None else agrees.cell_accuracy
        found["object_f1"] = 0.0 if agrees is None else agrees.object_f1
    return found


_USAGE = TurnUsage()


@cache
def _boards(name: str) -> tuple[Task, Mapping[str, Instance]]:
    task = Registry().load(name)
    if not isinstance(task.environment, ProbeWorld):
        raise InputError(f"task {name!r} is no probe; lm-eval can ask probes only")
    return task, {board.id: board for board in task.boards[0]}


def _document(task: Task, board: Instance) -> dict[str, str]:
    shown = task.environment.observe(board.state, task.config.observation)
    return {
        "task": task.name,
        "instance": board.id,
        "system": task.config.prompt.system,
        "question": task.opening_message(shown, 1, 1),
        "target": board.state.item.right[0][0],
        "prefill": task.format.prefill,
    }
