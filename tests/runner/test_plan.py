"""The plan: every board and repeat once, less what the log holds."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from worlds import SLIPPERY, table_task

from spa_bench.runner.plan import Done, Plan
from spa_bench.runner.record import EPISODE_SCHEMA, Episode

ONE = table_task()
TWO = table_task(replace(SLIPPERY, bracket="["), task="two")
PLAN = Plan([ONE, TWO], [3, 2], "salt")

Key = tuple[str, str, int]


def keys(done: Done, plan: Plan = PLAN) -> list[Key]:
    return [(spec.task.hash, spec.instance.id, spec.repeat) for spec in plan.owed(done)]


def episode(key: Key, status: str = "complete") -> Episode:
    return Episode(
        schema=EPISODE_SCHEMA,
        task="",
        task_hash=key[0],
        instance=key[1],
        board_key="",
        repeat=key[2],
        status=status,  # type: ignore[arg-type]
        success=False,
        turns=(),
    )


EVERYTHING = keys(Done())


def test_the_plan_goes_task_by_task_board_by_board_repeat_by_repeat() -> None:
    boards = [[board.id for board in task.boards[0]] for task in (ONE, TWO)]
    assert keys(Done()) == [
        *((ONE.hash, board, repeat) for board in boards[0] for repeat in range(3)),
        *((TWO.hash, board, repeat) for board in boards[1] for repeat in range(2)),
    ]


def test_the_total_is_the_number_of_episodes() -> None:
    assert PLAN.total == len(EVERYTHING) == 4 * 3 + 4 * 2


def test_a_limit_takes_the_first_boards_of_each_task() -> None:
    limited = replace(PLAN, limit=1)
    assert limited.total == len(keys(Done(), limited)) == 3 + 2
    assert set(keys(Done(), limited)) < set(EVERYTHING)


def test_every_episode_carries_the_salt_of_the_run() -> None:
    assert {spec.salt for spec in PLAN.owed(Done())} == {"salt"}


@given(st.lists(st.sampled_from(EVERYTHING)))
def test_what_is_owed_is_everything_less_what_is_done(logged: list[Key]) -> None:
    done = Done()
    for key in logged:
        done.add(episode(key))
    assert keys(done) == [key for key in EVERYTHING if key not in logged]


@given(st.lists(st.tuples(st.sampled_from(EVERYTHING), st.booleans())))
def test_done_counts_complete_repeated_and_broken_episodes(logged: list[tuple[Key, bool]]) -> None:
    done = Done()
    for key, whole in logged:
        done.add(episode(key, "complete" if whole else "infrastructure"))
    complete = [key for key, whole in logged if whole]
    assert done.count == len(set(complete))
    assert done.repeated == len(complete) - len(set(complete))
    assert done.infrastructure == len(logged) - len(complete)


@given(st.lists(st.integers(0, 99_999), max_size=20))
def test_any_repeat_can_be_done(repeats: list[int]) -> None:
    done = Done()
    for repeat in repeats:
        done.add(episode(("h", "b", repeat)))
    assert all(done.has("h", "b", repeat) for repeat in repeats)
    assert not done.has("h", "b", max(repeats, default=0) + 1)
    assert not done.has("h", "other", 0)
