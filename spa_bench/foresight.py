"""Foresight: does a model tell what comes of an action from what does not, in its own format?

A probe asks in words that a model may never have met, and a reply in the format with beliefs shows
only what a model has the habit to say. Here the reply is begun for it, with the true observation
and the action that it is about to take, and every plausible state is scored as the prediction that
follows. So a model can be measured that knows and does not tell: one that answers in another
format, or that reinforcement has taught to say no more than pays.

Items and plausible states are those of the `transition` probe, of the task's own boards.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from spa_bench.errors import InputError
from spa_bench.formats.format import Content, numbered
from spa_bench.metrics.calibration import softmax
from spa_bench.metrics.interval import clustered_by
from spa_bench.models.model import Message, Model
from spa_bench.models.ranking import check_scores, total_logprobs
from spa_bench.probes.board import Board
from spa_bench.probes.probe import Item, View
from spa_bench.probes.transition import TransitionProbe
from spa_bench.results.schema import Interval
from spa_bench.runner.conversation import Conversation
from spa_bench.task import Task


class Foreseen(BaseModel):
    """How some items came out.

    Attributes:
        items: how many.
        chance: the accuracy of a random choice among each item's plausible states; exact.
        accuracy: share of items whose likeliest state is right, clustered by board; where
            several are equally likely, the share of them that is.
        mass: mean probability of the right states, among the plausible ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    items: int
    chance: float
    accuracy: Interval
    mass: float


class Foresight(BaseModel):
    """What a model foresees on the boards of one task.

    Attributes:
        all: over all items. strata: the same by what the action does: `changing`, `blocked`,
            `ending`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    boards: int
    all: Foreseen
    strata: dict[str, Foreseen]


class _Row(NamedTuple):
    board: str
    stratum: str
    chance: float
    accuracy: float
    mass: float


async def foresight(model: Model, task: Task, limit: int | None = None) -> Foresight:
    """Measures the boards of a task whose format has predictions, or the first `limit` of them.

    Raises:
        InputError: if the model cannot score a text, or the task's format has no predictions, or
            its world cannot say what may happen, or its boards give nothing to ask.
        ModelError: if it cannot score one of these.
        ModelGoneError: if it can score nothing any more.
    """
    scorer = check_scores(model, "foresight")
    check_foresees(task)
    in_flight = asyncio.Semaphore(max(1, model.concurrency))
    asked = list(_items(task, limit))
    if not asked:
        raise InputError(f"foresight: the boards of {task.name} have nothing to be asked about")

    async def row(board: str, item: Item) -> _Row:
        messages, begun, ends = _reply(task, item)
        async with in_flight:
            scores = await total_logprobs(scorer, messages, begun, ends)
        best, right = max(scores), scores[: len(item.right)]
        return _Row(
            board,
            item.stratum,
            chance=len(right) / len(scores),
            accuracy=right.count(best) / scores.count(best),
            mass=math.fsum(softmax(scores)[: len(right)]),
        )

    rows = await asyncio.gather(*(row(board, item) for board, item in asked))
    by_stratum: dict[str, list[_Row]] = defaultdict(list)
    for one in rows:
        by_stratum[one.stratum].append(one)
    return Foresight(
        task=task.name,
        boards=len({one.board for one in rows}),
        all=_over(rows),
        strata={stratum: _over(some) for stratum, some in sorted(by_stratum.items())},
    )


def check_foresees(task: Task) -> None:
    """Checks that a task can be asked what a model foresees.

    Raises:
        InputError: if its format has no predictions, or its world cannot say what may happen.
    """
    if not task.format.believes:
        raise InputError(
            f"foresight: the format of {task.name}, {task.format.name!r}, has no predictions;"
            " take one with the format world_model, such as frozenlake_wm"
        )
    if not task.environment.enumerable:
        raise InputError(f"foresight: {task.environment.name} cannot say what may happen")


def _items(task: Task, limit: int | None) -> Iterator[tuple[str, Item]]:
    view, probe = View(task.environment, task.config.observation), TransitionProbe()
    for instance in task.first_boards(limit)[0]:
        board = Board(task.environment, instance.state, instance.seed)
        for item in probe.items(view, board):
            yield instance.id, item


def _reply(task: Task, item: Item) -> tuple[tuple[Message, ...], str, list[str]]:
    """Returns the prompt, how the reply begins, and how it goes on with each plausible state."""
    fields = dict(item.fields)
    conversation = Conversation(task)
    conversation.show(fields["state"], task.limits.actions)
    begun, ends = "", list[str]()
    for candidate in item.candidates:
        message = task.format.compose(
            Content(
                answer=fields["action"],
                reasoning=numbered([fields["action"]]),
                observation=fields["state"],
                prediction=candidate,
            )
        )
        said = task.format.parse(message, "strict").prediction
        assert said is not None, "a format that believes states what it expects"
        begun = message[: said.start]
        ends.append(message[said.start : said.end])
    return conversation.messages(), begun, ends


def _over(rows: Sequence[_Row]) -> Foreseen:
    count = len(rows)
    return Foreseen(
        items=count,
        chance=math.fsum(row.chance for row in rows) / count,
        accuracy=Interval.of(clustered_by((row.board, row.accuracy) for row in rows)),
        mass=math.fsum(row.mass for row in rows) / count,
    )
