"""How fast a model learns a world: what it writes of states, over minutes of fine-tuning.

    python -m benchmarks.learning_curve TASK:NAME=FOLDER ..
        [--boards 32] [--output runs/curve] [--write docs/figures/nano-curve.svg]

Each FOLDER is the output of a training whose recipe kept `sft.snapshots`, each TASK one in the
world-model format, such as sokoban_wm; names are those of the lines, a panel a task. Every snapshot
plays the same boards, which no training plays; the figure shows turns with an
exact observation and an exact prediction. Beside them stands copying: the share of the same turns
in which nothing changed, which is what a prediction that repeats the state gets.
Interrupt it at will: started again it goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks.figures import draw_line, panels, save
from spa_bench.evaluation import evaluate
from spa_bench.registry import Registry
from spa_bench.results.results import Results
from spa_bench.runner.log import RunFolder
from spa_bench.runner.replay import replay
from spa_bench.task import Task


@dataclass(frozen=True)
class Point:
    """One snapshot on one task; shares of turns."""

    name: str
    task: str
    minutes: float
    observation: float
    prediction: float
    unchanged: float


def main() -> None:
    """Plays, prints a table, draws."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("trainings", nargs="+", metavar="TASK:NAME=FOLDER")
    parser.add_argument("--boards", type=int, default=32, help="of each task, one episode each")
    parser.add_argument("--output", type=Path, default=Path("runs/curve"))
    parser.add_argument("--write", type=Path, default=Path("docs/figures/nano-curve.svg"))
    chosen = parser.parse_args()
    points: list[Point] = []
    for pair in chosen.trainings:
        label, _, folder = pair.partition("=")
        task, _, name = label.partition(":")
        for snapshot, minutes in _snapshots(Path(folder)):
            output = chosen.output / task / name / snapshot.name
            results = evaluate(
                str(snapshot),
                task,
                output=output,
                limit=chosen.boards,
                repeats=1,
                resume=True,
            )
            points += _points(name, minutes, results, output)
    rows = [
        [p.task, p.name, f"{p.minutes:.1f}"]
        + [f"{100 * x:.1f}" for x in (p.observation, p.prediction, p.unchanged)]
        for p in sorted(points, key=lambda p: (p.task, p.name, p.minutes))
    ]
    headers = ["task", "model", "minutes", "observed", "predicted", "copied"]
    print(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True))
    _draw(points, chosen.write)


def _snapshots(folder: Path) -> Iterator[tuple[Path, float]]:
    """Yields the snapshots of a training, with the minutes that fine-tuning had taken."""
    report = json.loads((folder / "sft" / "done.json").read_text())["report"]
    for path in sorted((folder / "sft" / "snapshots").iterdir(), key=lambda p: int(p.name)):
        yield path, report["seconds"] / 60 * int(path.name) / report["steps"]


def _points(name: str, minutes: float, results: Results, folder: Path) -> Iterator[Point]:
    for result in results.tasks:
        belief = result.belief
        assert belief is not None
        observed, predicted = belief.observation.exact.value, belief.prediction.exact.value
        unchanged = _unchanged(result.task, folder)
        yield Point(name, result.task, minutes, observed or 0.0, predicted or 0.0, unchanged)


@cache
def _task(name: str) -> tuple[Task, dict[str, Any]]:
    """Returns a task, and the first state of each of its boards."""
    [task] = Registry().resolve([name])
    return task, {instance.id: instance.state for instance in task.boards[0]}


def _unchanged(name: str, folder: Path) -> float:
    task, boards = _task(name)
    same = [
        turn.before == turn.after
        for episode in RunFolder(folder).episodes(lambda _: None)
        if episode.task == name
        for turn in replay(task, boards[episode.instance], episode)
    ]
    return sum(same) / len(same) if same else 0.0


def _draw(points: Sequence[Point], path: Path) -> None:
    tasks = list(dict.fromkeys(p.task for p in points))
    figure, axes = panels(len(tasks))
    for axis, task in zip(axes, tasks, strict=True):
        here = [p for p in points if p.task == task]
        number = 0
        for name in dict.fromkeys(p.name for p in points):
            for what in ("observation", "prediction"):
                line = [(p.minutes, getattr(p, what)) for p in here if p.name == name]
                draw_line(axis, line, f"{name}, {what}", number)
                number += 1
        copied: dict[float, Any] = {p.minutes: p.unchanged for p in here}
        draw_line(axis, sorted(copied.items()), "copying, prediction", number)
        axis.set(title=task, xlabel="minutes of fine-tuning")
    axes[0].set_ylabel("turns that are exact, %")
    save(figure, axes, path)


if __name__ == "__main__":
    main()
