"""Whether two runs are one: what is continued, or merged, must be what was begun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from spa_bench.errors import InputError
from spa_bench.runner.log import RunInfo, RunTask
from spa_bench.task import UNMEASURED
from spa_bench.yaml_file import flatten

_HASH = ("hash",)


class Difference(NamedTuple):
    """A setting in which two runs differ, and its two values as text."""

    setting: str
    first: str
    second: str


def check_same_run(old: RunInfo, new: RunInfo) -> None:
    """Refuses to continue a run as something else, and says what differs.

    Repeats and limit may change: what is in the log already is used again. So may all that the
    hash of a task leaves out. The limit of a shard may not: with it go the boards it was dealt.

    Raises:
        InputError: with the settings that differ.
    """
    found = differences(old, new)
    if old.shard != new.shard:
        found.insert(0, Difference("shard", old.shard or "none", new.shard or "none"))
    elif new.shard and old.limit != new.limit:
        found.append(Difference("limit of a shard", str(old.limit), str(new.limit)))
    if found:
        changes = [f"{setting} was {was}, is {now}" for setting, was, now in found]
        raise InputError(f"cannot resume, this is another run: {shortened(changes)}")


def differences(first: RunInfo, second: RunInfo) -> list[Difference]:
    """Returns the settings in which two runs differ, of those that change what is measured."""
    named = [_named(run.tasks) for run in (first, second)]
    names = [", ".join(tasks) for tasks in named]
    if names[0] != names[1]:
        return [Difference("list of tasks", *names)]

    def identity(info: RunInfo, tasks: dict[str, RunTask]) -> dict[str, Any]:
        parts: dict[str, Any] = {"seed": info.salt, "model": info.model.model_dump()}
        for name, task in tasks.items():
            told = {k: v for k, v in task.config.items() if k not in {*UNMEASURED, "task"}}
            parts[f"task {name}"] = {"hash": task.hash, **told}
        return parts

    before, after = flatten(identity(first, named[0])), flatten(identity(second, named[1]))
    differ = [key for key in dict.fromkeys([*before, *after]) if before.get(key) != after.get(key)]
    same = {f"task {name}" for name in named[0]} - {k[0] for k in differ if k[1:] == _HASH}
    differ = [key for key in differ if key[0] not in same]
    # a hash only says that something differs; name what does, if we know it
    telling = [key for key in differ if key[1:] != _HASH] or differ

    def shown(value: Any) -> str:
        text = repr(value)
        return text if len(text) <= 80 else f"{text[:80]}.."

    return [
        Difference(
            " ".join(map(str, key)),
            shown(before.get(key, "absent")),
            shown(after.get(key, "absent")),
        )
        for key in telling
    ]


def _named(tasks: Sequence[RunTask]) -> dict[str, RunTask]:
    """Returns tasks by name, in order; a variant beside the task itself has its star."""
    named: dict[str, RunTask] = {}
    for task in sorted(tasks, key=lambda task: task.task):
        name = str(task.config.get("task", task.task))  # a damaged run.json may not say
        named[task.task if name in named else name] = task
    return dict(sorted(named.items()))


def shortened(parts: list[str], most: int = 5) -> str:
    """Returns the parts in one line, the first ones if they are many."""
    more = f"; and {len(parts) - most} more" if len(parts) > most else ""
    return "; ".join(parts[:most]) + more
