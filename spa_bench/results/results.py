"""Results of a run, computed from its log and from nothing else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, Literal

from pydantic import Field

from spa_bench.metrics.interval import Estimate, clustered
from spa_bench.metrics.success import metric_of, normalised
from spa_bench.probes.world import ProbeWorld
from spa_bench.results.belief import Belief, BeliefTally, belief_tally
from spa_bench.results.bounds import (
    BoardBounds,
    board_bounds,
    ceiling_of,
    closed_loop_of,
    floor_of,
)
from spa_bench.results.efficiency import Efficiency, EfficiencyTally
from spa_bench.results.probe import ACCURACY, ProbeResult, ProbeTally
from spa_bench.results.schema import Number, ResultModel
from spa_bench.runner.log import Price
from spa_bench.runner.plan import Plan
from spa_bench.runner.record import Episode, Listed, Named
from spa_bench.runner.run_log import Selection
from spa_bench.task import Task

RESULTS_SCHEMA: Final = "spa-bench/results/1"


class Score(ResultModel):
    """One metric: value with its 95% interval, and where it stands between floor and ceiling.

    `floor_low` and `floor_high` are null where the floor is exact; `ceiling` is null where the
    board is too large to search and its environment knows no plan.
    """

    value: Number
    low: Number
    high: Number
    floor: Number
    floor_low: Number
    floor_high: Number
    ceiling: Number
    closed_loop: Number
    normalised: Number


class Tokens(ResultModel):
    """Sums over all turns whose backend counted; `turns_counted` says how many those are."""

    prompt: int
    completion: int
    reasoning: int
    turns_counted: int


class TaskResult(ResultModel):
    """What a run says about one task.

    Attributes:
        boards: that were played at least once. episodes: complete ones, which are scored.
        owed: still to be played. infrastructure: broken episodes in the log, never scored.
        metrics: by name, such as `pass@1`.
        failures: how many episodes failed, by class. parses: turns by how they could be read.
        steps_over_optimal: mean over successes of actions executed less the shortest plan.
        cost: of the tokens counted, in US dollars; null without a price.
        seconds: wall time of all model calls.
        belief: what the turns say about the state, against what was so; null where the task does
            not ask for it.
        probe: how the items of a probe were answered; null for tasks that are none.
    """

    task: str
    task_hash: str
    boards: int
    repeats: int
    episodes: int
    successes: int
    owed: int
    infrastructure: int
    metrics: Named[Score]
    failures: Named[int]
    parses: Named[int]
    stop_reasons: Named[int]
    turns: int
    actions: int
    reward: Number
    steps_over_optimal: Number
    tokens: Tokens
    cost: Number = None
    seconds: Number
    belief: Belief | None = None
    probe: ProbeResult | None = None


class Results(ResultModel):
    """The contents of `results.json`; `efficiency` is null where the log has no times."""

    schema_: Literal["spa-bench/results/1"] = Field(default=RESULTS_SCHEMA, alias="schema")
    model: str
    salt: str
    partial: bool
    foreign_lines: int
    tasks: Listed[TaskResult]
    efficiency: Efficiency | None = None

    @property
    def owed(self) -> int:
        """Episodes still to be played."""
        return sum(task.owed for task in self.tasks)


@dataclass
class _Board:
    """Counts of one board; `actions` are those of its successful episodes."""

    episodes: int = 0
    successes: int = 0
    actions: int = 0


@dataclass
class _Tally:
    """Running sums of one task; memory grows with boards, not with episodes."""

    belief: BeliefTally | None = None
    probe: ProbeTally | None = None
    boards: dict[str, _Board] = field(default_factory=dict[str, _Board])
    failures: Counter[str] = field(default_factory=Counter[str])
    parses: Counter[str] = field(default_factory=Counter[str])
    stop_reasons: Counter[str] = field(default_factory=Counter[str])
    sums: Counter[str] = field(default_factory=Counter[str])
    infrastructure: int = 0
    reward: Fraction = Fraction(0)  # exactly: whatever the order of the log
    microseconds: int = 0

    def add(self, episode: Episode) -> None:
        board = self.boards.setdefault(episode.instance, _Board())
        board.episodes += 1
        if episode.failure is not None:
            self.failures[episode.failure] += 1
        actions = 0
        for turn in episode.turns:
            self.parses[turn.parse] += 1
            self.stop_reasons[turn.stop_reason] += 1
            self.reward += Fraction(turn.reward)
            self.microseconds += round(turn.seconds * 1e6)
            actions += turn.executed
            usage = turn.usage
            self.sums["turns"] += 1
            if usage.prompt_tokens is not None and usage.completion_tokens is not None:
                self.sums["prompt"] += usage.prompt_tokens
                self.sums["completion"] += usage.completion_tokens
                self.sums["reasoning"] += usage.reasoning_tokens or 0
                self.sums["counted"] += 1
        self.sums["actions"] += actions
        for tally in (self.belief, self.probe):
            if tally is not None:
                tally.add(episode)
        if episode.success:
            board.successes += 1
            board.actions += actions


def compute(
    plan: Plan, model: str, episodes: Iterable[Episode], price: Price | None = None
) -> Results:
    """Computes the results of a plan from the episodes of its log.

    Complete episodes beyond the first of the same board and repeat are ignored, and so are those
    beyond the plan's boards and repeats. Episodes of other tasks count as foreign lines.
    """
    tallies = {
        task.hash: _Tally(belief_tally(task, plan.boards(task)), _probe_tally(plan, task))
        for task in plan.tasks
    }
    selection, efficiency = Selection(plan), EfficiencyTally()
    for episode, scored in selection.of(episodes):
        efficiency.add(episode, scored=scored)
        if episode.status == "infrastructure":
            tallies[episode.task_hash].infrastructure += 1
        elif scored:
            tallies[episode.task_hash].add(episode)
    return Results(
        model=model,
        salt=plan.salt,
        partial=plan.partial,
        foreign_lines=selection.foreign,
        tasks=[
            _task_result(plan, task, repeats, tallies[task.hash], price)
            for task, repeats in zip(plan.tasks, plan.repeats, strict=True)
        ],
        efficiency=efficiency.result(),
    )


def _probe_tally(plan: Plan, task: Task) -> ProbeTally | None:
    world = task.environment
    return ProbeTally(world, plan.boards(task)) if isinstance(world, ProbeWorld) else None


def _task_result(
    plan: Plan, task: Task, repeats: int, tally: _Tally, price: Price | None
) -> TaskResult:
    boards = plan.boards(task)
    bounds = board_bounds(task, boards)
    episodes = sum(board.episodes for board in tally.boards.values())
    return TaskResult(
        task=task.name,
        task_hash=task.hash,
        boards=len(tally.boards),
        repeats=repeats,
        episodes=episodes,
        successes=sum(board.successes for board in tally.boards.values()),
        owed=len(boards) * repeats - episodes,
        infrastructure=tally.infrastructure,
        metrics=_scores(task, tally, bounds),
        failures=_most_common(tally.failures),
        parses=_most_common(tally.parses),
        stop_reasons=_most_common(tally.stop_reasons),
        turns=tally.sums["turns"],
        actions=tally.sums["actions"],
        reward=float(tally.reward / episodes) if episodes else math.nan,
        steps_over_optimal=_steps_over_optimal(tally, bounds),
        tokens=Tokens(
            prompt=tally.sums["prompt"],
            completion=tally.sums["completion"],
            reasoning=tally.sums["reasoning"],
            turns_counted=tally.sums["counted"],
        ),
        cost=_cost(tally, price),
        seconds=tally.microseconds / 1e6,
        belief=None if tally.belief is None else tally.belief.result(),
        probe=None if tally.probe is None else tally.probe.result(),
    )


def _cost(tally: _Tally, price: Price | None) -> float:
    if price is None or not tally.sums["counted"]:
        return math.nan
    return price.of(tally.sums["prompt"], tally.sums["completion"])


def _most_common(counts: Counter[str]) -> dict[str, int]:
    """Returns counts, the largest first and equal ones by name: never in the order of the log."""
    return dict(sorted(counts.items(), key=lambda count: (-count[1], count[0])))


def _scores(task: Task, tally: _Tally, bounds: dict[str, BoardBounds]) -> dict[str, Score]:
    scores: dict[str, Score] = {}
    for name in task.config.metrics:
        if name.startswith("pass"):
            scores[name] = _score(name, tally, bounds)
        elif name == ACCURACY and tally.probe is not None:
            scores[name] = _accuracy(tally.probe)
    return scores


def _accuracy(tally: ProbeTally) -> Score:
    estimate, chance = tally.accuracy(), tally.chance()
    return Score(
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        floor=chance,
        floor_low=math.nan,
        floor_high=math.nan,
        ceiling=1.0,
        closed_loop=1.0,
        normalised=normalised(estimate.value, chance, 1.0),
    )


def _score(metric: str, tally: _Tally, of_boards: dict[str, BoardBounds]) -> Score:
    """Floor and ceiling are of the boards that were played often enough; of all, if none was."""
    of = metric_of(metric)
    played = {name: board for name, board in tally.boards.items() if board.episodes >= of.k}
    values = [of.of_samples(board.episodes, board.successes) for board in played.values()]
    samples = sum(board.episodes for board in played.values())
    estimate: Estimate = clustered(values, samples)
    bounds = [bound for name, bound in of_boards.items() if name in played or not played]
    return between(metric, estimate, bounds)


def between(metric: str, estimate: Estimate, bounds: Sequence[BoardBounds]) -> Score:
    """Returns a figure between the floor and the ceiling of some boards."""
    floor, ceiling = floor_of(metric, bounds), ceiling_of(metric, bounds)
    return Score(
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        floor=floor.value,
        floor_low=floor.low,
        floor_high=floor.high,
        ceiling=ceiling,
        closed_loop=closed_loop_of(metric, bounds),
        normalised=normalised(estimate.value, floor.value, ceiling),
    )


def _steps_over_optimal(tally: _Tally, bounds: dict[str, BoardBounds]) -> float:
    over = successes = 0
    for board, counts in tally.boards.items():
        plan = bounds[board].shortest_plan
        if plan is not None:
            over += counts.actions - plan * counts.successes
            successes += counts.successes
    return over / successes if successes else math.nan
