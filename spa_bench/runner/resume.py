"""Whether a run may be continued: only as what it was begun as."""

from __future__ import annotations

from typing import Any

from spa_bench.errors import InputError
from spa_bench.runner.log import RunInfo
from spa_bench.yaml_file import KeyPath, flatten

_NOT_IDENTITY = ("description", "tag", "metrics", "repeats", "version")
"""What a task file says that does not change what is measured."""

_HASH = ("hash",)


def check_same_run(old: RunInfo, new: RunInfo) -> None:
    """Refuses to continue a run as something else, and says what differs.

    Repeats and limit may change: what is in the log already is used again. So may all that the
    hash of a task leaves out.

    Raises:
        InputError: with the settings that differ.
    """
    names = [sorted(task.config["task"] for task in info.tasks) for info in (old, new)]
    if names[0] != names[1]:
        was, is_now = (", ".join(some) for some in names)
        raise InputError(f"cannot resume, this is another run: tasks were {was}; now {is_now}")

    def identity(info: RunInfo) -> dict[str, Any]:
        parts: dict[str, Any] = {"seed": info.salt, "model": info.model.model_dump()}
        for task in info.tasks:
            told = {k: v for k, v in task.config.items() if k not in _NOT_IDENTITY}
            parts[f"task {told.pop('task')}"] = {"hash": task.hash, **told}
        return parts

    before, now = flatten(identity(old)), flatten(identity(new))

    def was_is(key: KeyPath) -> str:
        pair = [repr(values.get(key, "absent")) for values in (before, now)]
        was, now_is = (text if len(text) <= 80 else f"{text[:80]}.." for text in pair)
        return f"{' '.join(map(str, key))} was {was}, is {now_is}"

    differ = [key for key in dict.fromkeys([*before, *now]) if before.get(key) != now.get(key)]
    same = {f"task {t.config['task']}" for t in old.tasks} - {
        k[0] for k in differ if k[1:] == _HASH
    }
    differ = [key for key in differ if key[0] not in same]
    # a hash only says that something differs; name what does, if we know it
    telling = [key for key in differ if key[1:] != _HASH] or differ
    if telling:
        more = f"; and {len(telling) - 5} more" if len(telling) > 5 else ""
        shown = "; ".join(map(was_is, telling[:5]))
        raise InputError(f"cannot resume, this is another run: {shown}{more}")
