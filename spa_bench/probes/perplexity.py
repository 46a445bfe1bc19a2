"""State perplexity: how unlikely a model finds the text of a world's states.

As table 1 of the paper (arXiv 2510.15047): the grid alone, and the grid with coordinates. The
paper does not say after which text its states stand. Here a state is a reply to the one word
`State:`, so that nothing explains the world; compare models with each other, and both styles of
one model, before comparing with published numbers.
"""

from __future__ import annotations

import asyncio
import math

from pydantic import BaseModel, ConfigDict, computed_field

from spa_bench.errors import InputError, ModelError
from spa_bench.models.model import Message, Model
from spa_bench.models.ranking import check_scores, total_logprob
from spa_bench.probes.world import ProbeWorld
from spa_bench.task import Task

STYLES = ("grid", "grid+coordinates")

_CONTEXT = (Message("user", "State:"),)


class StylePerplexity(BaseModel):
    """The states of some boards in one style.

    Attributes:
        tokens, characters: of all of them. logprob: natural logarithm of their probability.
        per_token, per_character: the perplexities, exp(-logprob / tokens) and
            exp(-logprob / characters).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: int
    characters: int
    logprob: float

    @computed_field
    @property
    def per_token(self) -> float:
        return _exp(-self.logprob, self.tokens)

    @computed_field
    @property
    def per_character(self) -> float:
        return _exp(-self.logprob, self.characters)


def _exp(surprise: float, pieces: int) -> float:
    """Returns exp(surprise / pieces): NaN of nothing, infinite where no float is as large."""
    try:
        return math.exp(surprise / pieces) if pieces else math.nan
    except OverflowError:
        return math.inf


class Perplexity(BaseModel):
    """What a model makes of the states of one task's boards.

    Attributes:
        symbols: different ones that a cell of the grid may hold: the perplexity, per cell, of
            guessing uniformly; None where the world does not list them.
        styles: by style, `grid` and `grid+coordinates`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    boards: int
    symbols: int | None
    styles: dict[str, StylePerplexity]


def check_states(task: Task) -> None:
    """Checks that a task's boards are states of a world.

    Raises:
        InputError: for a probe, whose boards are questions.
    """
    if isinstance(task.environment, ProbeWorld):
        raise InputError(
            f"perplexity: {task.name} is a probe, whose boards are questions and not states;"
            " take a task that is played, such as frozenlake"
        )


async def perplexity(model: Model, task: Task, limit: int | None = None) -> Perplexity:
    """Measures the starting states of a task's boards, or of the first `limit` of them.

    Raises:
        InputError: if the model cannot score a text, or the task is a probe.
        ModelError: if it cannot score one of these, or finds one impossible.
        ModelGoneError: if it can score nothing any more.
    """
    check_states(task)
    scorer, boards = check_scores(model, "perplexity"), task.first_boards(limit)[0]
    in_flight = asyncio.Semaphore(max(1, model.concurrency))

    async def score(text: str) -> tuple[int, float]:
        async with in_flight:
            tokens = await scorer.score_text(_CONTEXT, "", text)
        if not tokens:
            raise ModelError("a log-probability is no finite number")
        return len(tokens), total_logprob(tokens)

    styles: dict[str, StylePerplexity] = {}
    for style in STYLES:
        texts = [task.environment.observe(board.state, style) for board in boards]
        scores = await asyncio.gather(*map(score, texts))
        styles[style] = StylePerplexity(
            tokens=sum(count for count, _ in scores),
            characters=sum(map(len, texts)),
            logprob=math.fsum(logprob for _, logprob in scores),
        )
    symbols = len(task.environment.cell_symbols) or None
    return Perplexity(task=task.name, boards=len(boards), symbols=symbols, styles=styles)
