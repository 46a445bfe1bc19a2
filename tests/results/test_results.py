"""Results are counted from the log alone; every figure here is worked out by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from worlds import TableWorld, sure, table_task

from spa_bench.registry import Registry
from spa_bench.results.results import Results, Score, TaskResult, compute
from spa_bench.runner.log import Price
from spa_bench.runner.plan import Plan
from spa_bench.runner.record import EPISODE_SCHEMA, Episode, Turn, TurnUsage
from spa_bench.task import Task

# `a` wins, `b` stays. With two actions at random 3 of 4 ways win; one action is enough.
COIN = TableWorld(table=(sure(1, 0), sure(1, 1)), goals=frozenset({1}))
TASK = table_task(
    COIN,
    instances={"split": "all", "seeds": "0-3"},
    limits={"turns": 1, "actions_per_turn": 2, "actions": 2},
    metrics=["pass@1", "pass@2", "pass^2"],
    repeats=4,
)
FIRST, SECOND = (board.id for board in TASK.boards[0])


def turn(executed: int = 1, **settings: Any) -> Turn:
    fields: dict[str, Any] = {
        "state": "<0",
        "prompt_sha256": "",
        "reply": "",
        "stop_reason": "stop",
        "parse": "ok",
        "actions": ("b",) * executed,
        "executed": executed,
        "outcomes": (0,) * executed,
        "reward": 0.0,
    }
    return Turn(**(fields | settings))


def episode(
    instance: str = FIRST,
    repeat: int = 0,
    failure: str | None = "budget",
    turns: Sequence[Turn] = (),
    **settings: Any,
) -> Episode:
    """Returns an episode that failed as told, or succeeded where there is no failure."""
    fields: dict[str, Any] = {
        "schema": EPISODE_SCHEMA,
        "task": "table",
        "task_hash": TASK.hash,
        "instance": instance,
        "board_key": "",
        "repeat": repeat,
        "status": "complete",
        "success": failure is None,
        "failure": failure,
        "turns": tuple(turns),
    }
    return Episode(**(fields | settings))


def results(
    *episodes: Episode, repeats: int = 4, task: Task = TASK, limit: int | None = None
) -> TaskResult:
    return compute(Plan([task], [repeats], "0", limit), "m", episodes).tasks[0]


def log(first: str, second: str) -> list[Episode]:
    """Returns the episodes of both boards, `+` a success and `-` a failure."""
    return [
        episode(board, repeat, None if mark == "+" else "budget")
        for board, marks in ((FIRST, first), (SECOND, second))
        for repeat, mark in enumerate(marks)
    ]


def score(metric: str, *episodes: Episode, **options: Any) -> Score:
    return results(*episodes, **options).metrics[metric]


# -- scores ---------------------------------------------------------------------------------------

HAND = log("+-+-", "---+")


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("pass@1", (2 / 4 + 1 / 4) / 2),
        ("pass@2", (5 / 6 + 3 / 6) / 2),
        ("pass^2", (1 / 6 + 0 / 6) / 2),
    ],
)
def test_a_score_is_the_mean_over_boards(metric: str, value: float) -> None:
    assert score(metric, *HAND).value == pytest.approx(value)


def test_the_interval_is_wilsons_for_the_effective_number_of_samples() -> None:
    # p = 3/8, se^2 = 1/64, so n* = 15, at most 8 samples; t of one degree is 12.7062
    found = score("pass@1", *HAND)
    assert (found.low, found.high) == (pytest.approx(0.0067648, abs=1e-7), pytest.approx(0.9814321))


@pytest.mark.parametrize(
    ("metric", "floor"), [("pass@1", 3 / 4), ("pass@2", 15 / 16), ("pass^2", 9 / 16)]
)
def test_the_floor_is_that_of_the_metric(metric: str, floor: float) -> None:
    found = score(metric, *HAND)
    assert (found.floor, found.ceiling, found.closed_loop) == (pytest.approx(floor), 1, 1)


def test_an_exact_floor_has_no_interval() -> None:
    found = score("pass@1", *HAND)
    assert math.isnan(found.floor_low or math.nan)
    assert math.isnan(found.floor_high or math.nan)


def test_floor_and_ceiling_are_of_the_boards_that_were_played() -> None:
    lake = Registry().load("frozenlake")
    boards = [board for board, _ in zip(lake.boards[0], range(6), strict=False)]
    played = [
        episode(board.id, repeat, task="frozenlake", task_hash=lake.hash)
        for board in boards[:2]
        for repeat in range(2)
    ]
    found = [
        compute(Plan([lake], [2], "0", limit), "m", log).tasks[0].metrics["pass@1"]
        for limit, log in ((6, played), (2, played), (6, []))
    ]
    assert found[0].floor == found[1].floor != found[2].floor
    assert found[0].normalised == found[1].normalised


def test_the_normalised_score_stands_between_floor_and_ceiling() -> None:
    assert score("pass@1", *HAND).normalised == pytest.approx((3 / 8 - 3 / 4) / (1 - 3 / 4))


def test_a_board_with_fewer_episodes_than_k_does_not_count_for_k() -> None:
    found = results(*log("+-", "-"))
    assert found.metrics["pass@2"].value == 1
    assert found.metrics["pass@1"].value == pytest.approx(1 / 4)


def test_k_above_the_repeats_has_no_score() -> None:
    found = score("pass@9", *HAND, task=changed_metrics("pass@9"))
    assert math.isnan(found.value or math.nan)


def changed_metrics(*metrics: str) -> Task:
    return table_task(
        COIN,
        instances={"split": "all", "seeds": "0-3"},
        limits={"turns": 1, "actions_per_turn": 2, "actions": 2},
        metrics=list(metrics),
    )


def test_a_metric_is_reported_as_the_task_names_it() -> None:
    assert list(results(*HAND).metrics) == ["pass@1", "pass@2", "pass^2"]


# -- counts ---------------------------------------------------------------------------------------


def test_episodes_successes_and_boards_are_counted() -> None:
    found = results(*log("+-+-", "+"))
    assert (found.boards, found.episodes, found.successes, found.owed) == (2, 5, 3, 3)


def test_a_board_that_was_never_played_is_not_counted_but_owed() -> None:
    found = results(*log("+---", ""))
    assert (found.boards, found.owed) == (1, 4)


def test_failures_are_counted_the_most_common_first_and_equal_ones_by_name() -> None:
    classes = ["hole", "format", "budget", "budget", None, "hole"]
    episodes = [episode(FIRST, i, failure) for i, failure in enumerate(classes)]
    assert list(results(*episodes, repeats=6).failures.items()) == [
        ("budget", 2),
        ("hole", 2),
        ("format", 1),
    ]


def test_parses_and_stop_reasons_are_counted_by_turn() -> None:
    turns = [turn(parse="ok"), turn(parse="format", stop_reason="length"), turn(parse="format")]
    found = results(episode(turns=turns))
    assert list(found.parses.items()) == [("format", 2), ("ok", 1)]
    assert found.stop_reasons == {"stop": 2, "length": 1}


def test_turns_and_actions_are_summed() -> None:
    found = results(episode(turns=[turn(2), turn(0)]), episode(repeat=1, turns=[turn(5)]))
    assert (found.turns, found.actions) == (3, 7)


def test_the_reward_is_the_mean_over_episodes_of_their_sums() -> None:
    found = results(
        episode(turns=[turn(reward=-0.5), turn(reward=1.5)]),
        episode(repeat=1, turns=[turn(reward=-2)]),
    )
    assert found.reward == pytest.approx((1 - 2) / 2)


def test_the_reward_is_the_same_whatever_the_order_of_the_log() -> None:
    played = [
        episode(repeat=i, turns=[turn(reward=reward)])
        for i, reward in enumerate((1e16, 1.0, -1e16, 1.0))
    ]
    assert results(*played).reward == results(*played[::-1]).reward == 0.5


def test_rewards_too_large_for_a_sum_have_a_mean() -> None:
    played = [episode(repeat=i, turns=[turn(reward=1.5e308)]) for i in range(2)]
    assert results(*played).reward == 1.5e308


def test_steps_over_optimal_are_those_of_successes_only() -> None:
    found = results(
        episode(FIRST, 0, None, [turn(2), turn(2)]),
        episode(FIRST, 1, None, [turn(1)]),
        episode(SECOND, 0, None, [turn(3)]),
        episode(SECOND, 1, "budget", [turn(9)]),
    )
    assert found.steps_over_optimal == pytest.approx(((4 - 1) + (1 - 1) + (3 - 1)) / 3)


def test_steps_over_optimal_of_no_success_are_unknown() -> None:
    assert math.isnan(results(episode()).steps_over_optimal or math.nan)


def test_tokens_are_summed_over_turns_whose_backend_counted() -> None:
    turns = [
        turn(usage=TurnUsage(100, 10, None, 4)),
        turn(usage=TurnUsage(200, 20)),
        turn(usage=TurnUsage(None, 5)),
        turn(),
    ]
    tokens = results(episode(turns=turns)).tokens
    assert (tokens.prompt, tokens.completion, tokens.reasoning) == (300, 30, 4)
    assert tokens.turns_counted == 2


def test_the_cost_is_that_of_the_tokens_counted() -> None:
    turns = [turn(usage=TurnUsage(1_000_000, 100_000)), turn(usage=TurnUsage(500_000, 0)), turn()]
    plan, price = Plan([TASK], [4], "0"), Price(prompt=2.0, completion=10.0)
    found = compute(plan, "m", [episode(turns=turns)], price).tasks[0]
    assert found.cost == pytest.approx(1.5 * 2 + 0.1 * 10)


@pytest.mark.parametrize("price", [None, Price(prompt=1, completion=1)])
def test_without_a_price_or_without_tokens_there_is_no_cost(price: Price | None) -> None:
    usage = TurnUsage(5, 5) if price is None else TurnUsage()
    plan = Plan([TASK], [4], "0")
    found = compute(plan, "m", [episode(turns=[turn(usage=usage)])], price).tasks[0]
    assert math.isnan(found.cost or math.nan)


def test_seconds_are_summed_without_rounding() -> None:
    turns = [turn(seconds=0.1), turn(seconds=0.2)] * 500
    assert results(episode(turns=turns)).seconds == 150.0


# -- what is not scored ---------------------------------------------------------------------------


def test_infrastructure_is_counted_and_not_scored() -> None:
    broken = episode(FIRST, 1, None, status="infrastructure", success=False, error="503")
    found = results(episode(FIRST, 0, None), broken)
    assert (found.infrastructure, found.episodes, found.owed) == (1, 1, 7)
    assert found.metrics["pass@1"].value == 1


def test_an_episode_that_broke_and_was_played_again_is_scored_once() -> None:
    broken = episode(FIRST, 0, None, status="infrastructure", success=False, error="503")
    found = results(broken, episode(FIRST, 0, None))
    assert (found.infrastructure, found.episodes, found.successes) == (1, 1, 1)


def test_the_first_of_two_episodes_of_one_board_and_repeat_is_scored() -> None:
    found = results(episode(FIRST, 0, None), episode(FIRST, 0, "budget"))
    assert (found.episodes, found.successes) == (1, 1)


def test_repeats_beyond_the_plan_are_not_scored() -> None:
    assert results(*log("+++-", ""), repeats=2).successes == 2


def test_boards_beyond_the_limit_are_not_scored() -> None:
    found = results(*log("----", "++++"), limit=1)
    assert (found.boards, found.episodes, found.successes, found.owed) == (1, 4, 0, 0)


def test_a_board_that_the_task_does_not_have_is_not_scored() -> None:
    assert results(episode("table/other/99", 0, None)).episodes == 0


def test_episodes_of_another_task_are_foreign_lines() -> None:
    found = compute(Plan([TASK], [4], "0"), "m", [episode(task_hash="f" * 64)])
    assert (found.foreign_lines, found.tasks[0].episodes) == (1, 0)


def test_two_tasks_are_counted_apart() -> None:
    other = table_task(COIN, task="other", limits={"turns": 1})
    plan = Plan([TASK, other], [1, 1], "0")
    found = compute(
        plan, "m", [episode(FIRST, 0, None), episode(FIRST, 0, task_hash=other.hash)]
    ).tasks
    assert [(t.task, t.successes, t.episodes) for t in found] == [("table", 1, 1), ("other", 0, 1)]


# -- the file -------------------------------------------------------------------------------------


def test_an_empty_log_has_results_without_scores() -> None:
    found = results()
    assert (found.episodes, found.owed, found.failures) == (0, 8, {})
    assert json.loads(found.model_dump_json())["metrics"]["pass@1"]["value"] is None


def test_what_is_unknown_is_null_in_the_file_and_never_nan() -> None:
    text = compute(Plan([TASK], [4], "0"), "m", []).model_dump_json(by_alias=True)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads(text, parse_constant=refuse)


def test_the_file_is_read_back() -> None:
    found = compute(Plan([TASK], [4], "0"), "m", HAND)
    text = found.model_dump_json(by_alias=True)
    assert Results.model_validate_json(text).model_dump_json(by_alias=True) == text


def test_a_run_of_some_boards_is_marked_partial() -> None:
    assert compute(Plan([TASK], [4], "0", limit=1), "m", []).partial
    assert not compute(Plan([TASK], [4], "0"), "m", []).partial
