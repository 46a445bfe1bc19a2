"""The log of a reinforcement learning: `log.jsonl`, a line a step, and the same for the console."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spa_bench.errors import InputError
from spa_bench.runner.log import write_atomically
from spa_trainers import trackers
from spa_trainers.watch import warnings


@dataclass
class StepLog:
    """Writes steps as they end.

    Args:
        folder: where `log.jsonl` is, or will be.
        say: is told each step in short, and signs that training goes wrong.
        tracker: is told all that the log is told, from the first step written on.
        settings: what the tracker says was asked for.
    """

    folder: Path
    say: Callable[[str], None]
    tracker: trackers.Name | None = None
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    _open: Any = field(default=None, init=False)
    _known: list[dict[str, Any]] | None = field(default=None, init=False)

    def write(self, told: Mapping[str, Any]) -> None:
        """Appends a step; `told` says which, and what happened. What is no number is left out."""
        rounded = {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in told.items()
            if not isinstance(value, float) or math.isfinite(value)
        }
        earlier = self._lines
        found = warnings([*earlier, rounded])
        if found:
            rounded["warnings"] = list(found)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rounded, allow_nan=False) + "\n")
        earlier.append(rounded)
        self.say(console_line(rounded))
        for text in found.values():
            self.say(f"  warning: {text}")
        self._track(rounded)

    def close(self) -> None:
        """Sees to it that the tracker has all that it was told."""
        if self._open is not None:
            self._open.finish()
            self._open = None

    def totals(self) -> dict[str, float]:
        """Returns what all steps took together, also those before an interruption."""
        lines = self._lines
        counted = {
            name: sum(int(line.get(name, 0)) for line in lines)
            for name in ("episodes", "actions", "tokens")
        }
        return {"seconds": round(sum(map(_seconds, lines)), 1), **counted}

    def cut(self, step: int) -> None:
        """Forgets what came after a step, from which training goes on."""
        cut(self._path, step)
        self._known = None

    def clear(self) -> None:
        """Forgets all."""
        self._path.unlink(missing_ok=True)
        self._known = None

    def _track(self, told: Mapping[str, Any]) -> None:
        if self.tracker is None:
            return
        if self._open is None:
            self._open = trackers.begin(self.tracker, self.folder, self.settings, told["step"])
        numbers = {k: v for k, v in told.items() if isinstance(v, int | float) and k != "step"}
        self._open.log(numbers, step=told["step"])

    @property
    def _path(self) -> Path:
        return self.folder / "log.jsonl"

    @property
    def _lines(self) -> list[dict[str, Any]]:
        """What the log has so far, read once."""
        if self._known is None:
            there = self._path.is_file()
            self._known = list(_parsed(self._path.read_text(encoding="utf-8"))) if there else []
        return self._known


def cut(path: Path, step: int) -> None:
    """Leaves of a log what came up to a step, from which training goes on; no log is no matter."""
    if path.is_file():
        lines = [
            line for line in path.read_text(encoding="utf-8").splitlines() if _step_of(line) <= step
        ]
        write_atomically(path, "".join(f"{line}\n" for line in lines).encode())


def read(folder: Path) -> list[dict[str, Any]]:
    """Returns the lines of a run's log, which is in the folder itself or in `rl/`.

    Raises:
        InputError: if there is none.
    """
    names = ("log.jsonl", "rl/log.jsonl", "training.jsonl")  # the last is a checkpoint's
    for path in (folder / name for name in names):
        if path.is_file():
            return list(_parsed(path.read_text(encoding="utf-8")))
    raise InputError(f"{folder}: no log of reinforcement learning in it ({', '.join(names)})")


def _parsed(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        if _step_of(line) < math.inf:  # not one that was being written when the run was cut off
            yield json.loads(line)


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf


def console_line(told: Mapping[str, Any]) -> str:
    """Returns a step as one short line."""
    names = {"reward": "reward", "success": "solved", "format": "format", "entropy": "entropy"}
    parts = [f"step {told['step']:4}"]
    parts += [f"{label} {told[name]:.3f}" for name, label in names.items() if name in told]
    parts += [f"{name} {value:.1%}" for name, value in told.items() if "/pass@" in name]
    return "  ".join([*parts, f"{_seconds(told):.1f} s"])


def _seconds(told: Mapping[str, Any]) -> float:
    return sum(told.get(f"{what}_seconds", 0.0) for what in ("rollout", "update", "evaluate"))
