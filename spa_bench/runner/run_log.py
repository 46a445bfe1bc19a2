"""Which episodes of a log count: those of the run's own tasks, boards and repeats, each once.

Repeats and limit may shrink when a run is continued, and a log may hold what its plan does not
know. Whatever reads a log asks here, so that all tell one score.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from spa_bench.runner.log import BadLines, RunFolder, RunInfo, RunTask
from spa_bench.runner.plan import Done, Plan
from spa_bench.runner.record import Episode


@dataclass
class Selection:
    """Picks the episodes of a log that count.

    Attributes:
        others: tasks of the run that the plan does without, since they cannot be made again here:
            which boards they have cannot be told, so any will do.
        foreign: episodes of other tasks that were met so far.
        done: what was scored so far.
    """

    plan: Plan
    others: Iterable[RunTask] = ()
    foreign: int = 0
    done: Done = field(default_factory=Done)

    def of(self, episodes: Iterable[Episode]) -> Iterator[tuple[Episode, bool]]:
        """Yields each episode that the plan has, and whether it is the one that is scored.

        Not scored are those that broke, and complete ones beyond the first of a board and repeat.
        """
        repeats = {task.hash: task.repeats for task in self.others}
        boards: dict[str, frozenset[str]] = {}
        for task, number in zip(self.plan.tasks, self.plan.repeats, strict=True):
            repeats[task.hash] = number
            boards[task.hash] = frozenset(board.id for board in self.plan.boards(task))
        for episode in episodes:
            most, own = repeats.get(episode.task_hash), boards.get(episode.task_hash)
            if most is None:
                self.foreign += 1
            elif episode.repeat < most and (own is None or episode.instance in own):
                yield episode, self.done.add(episode)


class RunLog:
    """A run folder as all its readers see it.

    Attributes:
        lost: the tasks that cannot be made again here, and why.
        bad: the lines met so far that are no episodes.
    """

    def __init__(self, folder: RunFolder) -> None:
        """Reads `run.json`.

        Raises:
            InputError: if it is missing or not what this version can read.
        """
        self.info: RunInfo = folder.read_info()
        self.lost: list[tuple[RunTask, str]] = []
        self.plan = Plan.of(self.info, lambda task, why: self.lost.append((task, why)))
        self.bad = BadLines()
        self._folder = folder
        self._selection = Selection(self.plan, [task for task, _ in self.lost])

    def episodes(self) -> Iterator[tuple[Episode, bool]]:
        """Yields the episodes that the run has, in file order, and whether each is scored.

        To be read once.
        """
        return self._selection.of(self._folder.episodes(self.bad))

    @property
    def total(self) -> int:
        """How many episodes the whole run has."""
        return self.plan.total + sum(task.boards * task.repeats for task, _ in self.lost)

    @property
    def owed(self) -> int:
        """How many of them the log does not have, once it is read."""
        return max(0, self.total - self._selection.done.count)
