"""Comparisons for machines: what `spa-bench compare --output-format json` prints."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from spa_bench.results.belief import Belief
from spa_bench.results.compare import Comparison, LoggedRun, compare, notes
from spa_bench.results.schema import Interval, Number, ResultModel

COMPARISON_SCHEMA: Final = "spa-bench/comparison/1"


class ComparedRun(ResultModel):
    """One of the two runs: its folder and its model."""

    path: str
    model: str


class ComparedMetric(ResultModel):
    """One metric of two tasks; fields as in `Comparison` and `Paired`.

    `difference` is first less second. `first_belief` and `second_belief` are null unless the metric
    is `belief`.
    """

    task: str
    metric: str
    boards: int
    first: Interval
    second: Interval
    difference: Interval
    p_value: Number
    differences: list[str]
    first_belief: Belief | None
    second_belief: Belief | None

    @classmethod
    def of(cls, comparison: Comparison) -> ComparedMetric:
        """Returns a comparison in the form that JSON has."""
        beliefs = comparison.beliefs or (None, None)
        return cls(
            task=comparison.task,
            metric=comparison.metric,
            boards=comparison.result.boards,
            first=Interval.of(comparison.first_score),
            second=Interval.of(comparison.second_score),
            difference=Interval.of(comparison.result.difference),
            p_value=comparison.result.p_value,
            differences=list(comparison.differences),
            first_belief=beliefs[0],
            second_belief=beliefs[1],
        )


class ComparedRuns(ResultModel):
    """Two runs side by side, as `spa-bench compare --output-format json` prints them."""

    schema_: Literal["spa-bench/comparison/1"] = Field(default=COMPARISON_SCHEMA, alias="schema")
    first: ComparedRun
    second: ComparedRun
    comparisons: list[ComparedMetric]
    notes: list[str]

    @classmethod
    def of(cls, first: LoggedRun, second: LoggedRun) -> ComparedRuns:
        """Compares two runs.

        Raises:
            InputError: as `compare`.
        """
        return cls(
            first=ComparedRun(path=str(first.path), model=first.info.model.name),
            second=ComparedRun(path=str(second.path), model=second.info.model.name),
            comparisons=[ComparedMetric.of(found) for found in compare(first, second)],
            notes=notes(first, second),
        )
