"""What a run owes: every task, every board, every repeat, less what its log already holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from spa_bench.errors import InputError
from spa_bench.runner.episode import EpisodeSpec
from spa_bench.runner.log import RunInfo, RunTask
from spa_bench.runner.rebuild import rebuild
from spa_bench.runner.record import Episode
from spa_bench.runner.shard import Shard
from spa_bench.task import Instance, Task


@dataclass(frozen=True)
class Plan:
    """All episodes of a run, in order: task by task, board by board, repeat by repeat.

    Attributes:
        repeats: for each task.
        limit: boards a task, the first ones; None is all.
        shard: the part of these boards that is played here; None is all of them. All repeats of a
            board are in one part.
    """

    tasks: Sequence[Task]
    repeats: Sequence[int]
    salt: str
    limit: int | None = None
    log_tokens: bool = False
    shard: Shard | None = None

    @classmethod
    def of(cls, info: RunInfo, left_out: Callable[[RunTask, str], None] | None = None) -> Plan:
        """Returns the plan that a run's `run.json` tells of.

        Args:
            left_out: told of each task that cannot be made again here, and why; the plan does
                without it. None: every task is needed.

        Raises:
            InputError: for a task that is needed and cannot be made again, and for a shard that
                is none.
        """
        shard = None if info.shard is None else Shard.parse(info.shard)
        tasks: dict[str, tuple[Task, int]] = {}
        lost: RunTask | None = None
        for logged in sorted(info.tasks, key=lambda logged: logged.hash):  # as boards are dealt
            try:
                task = _rebuilt(logged, dealt_after=None if shard is None else lost)
                tasks[logged.hash] = task, logged.repeats
            except InputError as error:
                if left_out is None:
                    raise
                lost = lost or logged
                left_out(logged, str(error))
        named = dict.fromkeys(logged.hash for logged in info.tasks)
        found = [tasks[name] for name in named if name in tasks]
        return cls(
            [task for task, _ in found],
            [repeats for _, repeats in found],
            info.salt,
            info.limit,
            shard=shard,
        )

    def boards(self, task: Task) -> tuple[Instance, ...]:
        """Returns the boards of a task that this run plays; in whatever order tasks are named."""
        if self.shard is None:
            return self._limited(task)
        before = sum(len(self._limited(other)) for other in self.tasks if other.hash < task.hash)
        return tuple(self.shard.deal(self._limited(task), before))

    def _limited(self, task: Task) -> tuple[Instance, ...]:
        return task.first_boards(self.limit)[0]

    def skipped_seeds(self, task: Task) -> list[int]:
        """Returns the seeds tried for a task's boards, in all shards, that have none."""
        return [skipped.seed for skipped in task.first_boards(self.limit)[1]]

    @property
    def partial(self) -> bool:
        """Whether the tasks have more boards than this plan may play."""
        return self.limit is not None or self.shard is not None

    @property
    def total(self) -> int:
        """How many episodes there are in all."""
        pairs = zip(self.tasks, self.repeats, strict=True)
        return sum(len(self.boards(task)) * repeats for task, repeats in pairs)

    def owed(self, done: Done) -> Iterator[EpisodeSpec]:
        """Yields what is not done yet."""
        for task, repeats in zip(self.tasks, self.repeats, strict=True):
            for instance in self.boards(task):
                for repeat in range(repeats):
                    if not done.has(task.hash, instance.id, repeat):
                        yield EpisodeSpec(task, instance, repeat, self.salt, self.log_tokens)


def _rebuilt(logged: RunTask, dealt_after: RunTask | None) -> Task:
    """Returns a task as it was played.

    Args:
        dealt_after: a task that is lost, and with it which boards of this one a shard was dealt.

    Raises:
        InputError: if it cannot be made again here, or nobody can say which boards are meant.
    """
    if dealt_after is not None:
        raise InputError(
            f"task {logged.task!r}: its boards were dealt out after those of {dealt_after.task!r},"
            " which cannot be made again here"
        )
    return rebuild(logged)


@dataclass
class Done:
    """The complete episodes of a log: one bit each, so a long log costs little memory.

    Attributes:
        count: complete episodes.
        infrastructure: episodes that broke, by the last word of the log on them.
        repeated: complete episodes that stood in the log already.
    """

    count: int = 0
    infrastructure: int = 0
    repeated: int = 0
    _bits: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])

    def add(self, episode: Episode) -> bool:
        """Counts an episode of the log; returns whether it is the one that is scored."""
        if episode.status != "complete":
            self.infrastructure += 1
            return False
        key, bit = (episode.task_hash, episode.instance), 1 << episode.repeat
        bits = self._bits.get(key, 0)
        if bits & bit:
            self.repeated += 1
            return False
        self._bits[key] = bits | bit
        self.count += 1
        return True

    def has(self, task_hash: str, instance: str, repeat: int) -> bool:
        """Returns whether that episode is complete."""
        return bool(self._bits.get((task_hash, instance), 0) >> repeat & 1)
