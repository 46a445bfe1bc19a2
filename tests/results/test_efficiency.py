"""Where a run's time went, worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.results.efficiency import Efficiency, EfficiencyTally
from spa_bench.results.results import Results
from spa_bench.results.table import efficiency_line
from spa_bench.runner.record import EPISODE_SCHEMA, Episode, Turn, TurnUsage

START = 1_700_000_000.0


def turn(seconds: float, **usage: int) -> Turn:
    return Turn(
        state="",
        prompt_sha256="",
        reply="",
        stop_reason="stop",
        parse="ok",
        actions=(),
        executed=0,
        outcomes=(),
        reward=0.0,
        seconds=seconds,
        usage=TurnUsage(**usage),
    )


def episode(started: float | None, seconds: float | None, *turns: Turn) -> Episode:
    return Episode(
        schema=EPISODE_SCHEMA,
        task="t",
        task_hash="",
        instance="i",
        board_key="",
        repeat=0,
        status="complete",
        success=False,
        turns=turns,
        started=None if started is None else START + started,
        seconds=seconds,
    )


def efficiency(*episodes: Episode, scored: bool = True) -> Efficiency:
    tally = EfficiencyTally()
    for one in episodes:
        tally.add(one, scored=scored)
    result = tally.result()
    assert result is not None
    return result


def test_two_episodes_side_by_side() -> None:
    found = efficiency(
        episode(0, 10, turn(4, completion_tokens=30), turn(5, completion_tokens=50)),
        episode(2, 6, turn(6, completion_tokens=20)),
    )
    assert found.wall == pytest.approx(10)
    assert found.concurrency == 2
    assert found.calls == 3
    assert found.calls_in_flight == pytest.approx(1.5)
    assert found.busy == pytest.approx(0.75)
    assert found.overhead == pytest.approx(1 / 3)
    assert found.tokens_per_second == pytest.approx(10)
    assert found.longest_episode == pytest.approx(10)
    assert found.drain == pytest.approx(8)


def test_the_time_between_two_starts_of_a_run_is_nobodys() -> None:
    found = efficiency(episode(0, 10, turn(10)), episode(5000, 20, turn(20)))
    assert found.wall == pytest.approx(30)
    assert found.busy == pytest.approx(1)


def test_the_moment_between_two_episodes_is_the_runs_own() -> None:
    assert efficiency(episode(0, 10), episode(10.5, 10)).wall == pytest.approx(20.5)


def test_the_order_of_the_log_does_not_matter() -> None:
    episodes = [episode(at, 7 - at % 3, turn(2)) for at in range(9)]
    assert efficiency(*episodes) == efficiency(*episodes[::-1])


def test_prefix_reuse_counts_where_the_backend_tells() -> None:
    found = efficiency(
        episode(
            0,
            1,
            turn(1, prompt_tokens=100, cached_tokens=0),
            turn(1, prompt_tokens=300, cached_tokens=100),
            turn(1, prompt_tokens=999),
        )
    )
    assert found.prefix_reuse == pytest.approx(0.25)


def test_what_nobody_told_is_unknown_and_left_out_of_the_line() -> None:
    found = efficiency(episode(0, 2, turn(1)))
    assert math.isnan(found.tokens_per_second or 0)
    assert math.isnan(found.prefix_reuse or 0)
    assert efficiency_line(found) == (
        "1 call in 2 s, model busy 50.0% at concurrency 1, overhead 1 s per call,"
        " longest episode 2 s, last one started 2 s before the end"
    )


def test_a_broken_episode_takes_its_time_and_counts_no_calls() -> None:
    found = efficiency(episode(0, 5, turn(5)), scored=False)
    assert (found.wall, found.calls) == (5, 0)


def test_a_log_without_times_says_nothing() -> None:
    tally = EfficiencyTally()
    tally.add(episode(None, None, turn(1)), scored=True)
    assert tally.result() is None


def test_results_of_earlier_versions_are_read() -> None:
    results = Results(model="m", salt="0", partial=False, foreign_lines=0, tasks=[])
    older = results.model_dump(by_alias=True, exclude={"efficiency"})
    assert Results.model_validate(older).efficiency is None


times = st.tuples(st.floats(0, 1e12), st.floats(0, 1e9))


@given(st.lists(times, min_size=1))
def test_no_times_however_strange_break_it(times: list[tuple[float, float]]) -> None:
    found = efficiency(*(episode(start, seconds, turn(1.0)) for start, seconds in times))
    assert found.concurrency >= 1
    assert efficiency_line(found)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), min_size=1, max_size=20))
def test_wall_time_is_the_time_in_which_something_happened(times: list[Any]) -> None:
    found = efficiency(*(episode(3 * start, 3 * seconds) for start, seconds in times))
    busy = {second for start, seconds in times for second in range(start, start + seconds)}
    most = max(sum(s <= at < s + n for s, n in times) for at in busy)
    assert found.wall == pytest.approx(3 * len(busy))
    assert found.concurrency == most
