"""Small, real submissions: what several rooms' tests pack, verify and show."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

from scripted import Scripted, answer
from worlds import changed

from spa_bench.errors import ModelError
from spa_bench.models.model import Capabilities, Model, Reply, Request, Usage
from spa_bench.registry import Registry
from spa_bench.run import Evaluation, Silent, run
from spa_bench.runner.log import RunFolder
from spa_bench.submission.schema import About
from spa_bench.submission.scrub import Scrubber
from spa_bench.task import Task

TASKS = ("sokoban", "frozenlake_slippery")

ABOUT = About(
    name="tiny",
    model="Tiny <b>1</b>",
    provider="scripted",
    method="prompting",
    parameters=1_000,
    training="none",
    date=date(2026, 11, 1),
    submitted_by="a | group",
    links={"paper": "https://example.org/paper"},
    notes="none `at` all",
)

NOBODY = Scrubber({}, (), "/")
"""A machine without secrets, names and people."""


class FewBoards(Registry):
    """The built-in tasks with two boards each: small enough to be tampered with many times."""

    def load(self, name: str) -> Task:
        return changed(super().load(name), instances={"seeds": "123-124"})


def say(request: Request) -> Reply:
    """A model of many moods: it moves, mumbles and runs out of tokens."""
    mood = request.seed % 7
    if mood == 0:
        return Reply(" hm.</think>", "length", Usage(100, 400, 50, 7), prefilled=True)
    if mood == 1:
        return Reply(" fly</think><answer>Fly</answer>", "stop", prefilled=True, reasoning="why")
    moves = ("Up", "Down", "Left", "Right")[request.seed // 7 % 4 :]
    text = answer(*moves, "Down", "Right").removeprefix("<think>")
    return Reply(f" {request.seed} {text}", "stop", Usage(100, 10), prefilled=True)


def moody(breaks: frozenset[int] = frozenset()) -> Scripted:
    """Returns that model; its server fails at the calls with these numbers."""
    calls = iter(range(1_000_000))

    def reply(request: Request) -> Any:
        broken = next(calls) in breaks
        return ModelError("http://10.0.0.7:8000/v1 says 503") if broken else say(request)

    return Scripted(reply, name="scripted/tiny", capabilities=Capabilities(prefill=True))


def evaluated(
    path: Path,
    model: Model,
    *,
    tasks: tuple[str, ...] = TASKS,
    registry: Registry | None = None,
    **options: Any,
) -> RunFolder:
    """Returns the folder of a run of small tasks, four episodes a board unless told otherwise."""
    loaded = [(registry or FewBoards()).load(name) for name in tasks]
    evaluation = Evaluation(model, loaded, path, **{"repeats": 4, **options})
    asyncio.run(run(evaluation, Silent()))
    return RunFolder(path)
