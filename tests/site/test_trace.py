"""An episode as it is stepped through."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

import spa_bench
from spa_bench.models.baselines import RandomBaseline
from spa_bench.runner.log import RunFolder
from spa_bench.runner.plan import Plan
from spa_bench.runner.record import Episode
from spa_bench.site.episodes import Group, shown
from spa_bench.site.trace import MOST_PLACES, Trace, shortened, trace
from spa_bench.task import Instance, Task


@pytest.fixture(scope="module")
def played(run: Path) -> list[tuple[Task, Instance, Episode]]:
    folder = RunFolder(run)
    tasks = {task.hash: task for task in Plan.of(folder.read_info()).tasks}
    found = []
    for episode in folder.episodes():
        task = tasks[episode.task_hash]
        boards = {board.id: board for board in task.boards[0]}
        found.append((task, boards[episode.instance], episode))
    return found


def traced(task: Task, board: Instance, episode: Episode) -> Trace:
    return trace(task, board, "0", episode)


def test_a_turn_begins_where_the_one_before_it_ended(
    played: list[tuple[Task, Instance, Episode]],
) -> None:
    for one in played:
        turns = traced(*one).turns
        for turn, following in pairwise(turns):
            assert turn.frames[-1] == following.frames[0]
            assert len(turn.frames) == len(turn.moves) + 1


def test_the_last_frame_of_a_success_is_a_success(
    played: list[tuple[Task, Instance, Episode]],
) -> None:
    solved = [one for one in played if one[2].success and one[0].environment.name == "sokoban"]
    assert solved
    for one in solved:
        facts = traced(*one).turns[-1].frames[-1].facts
        assert facts["box"] == facts["target"]


def test_the_pieces_of_a_reply_are_the_reply(played: list[tuple[Task, Instance, Episode]]) -> None:
    for one in played:
        for turn, logged in zip(traced(*one).turns, one[2].turns, strict=True):
            assert "".join(text for _, text in turn.reply) == logged.reply
            assert {"observation", "prediction", "answer"} <= {kind for kind, _ in turn.reply}


def test_a_true_belief_is_exact_and_a_false_one_marks_cells(
    played: list[tuple[Task, Instance, Episode]],
) -> None:
    beliefs = [
        (turn.observed, turn.frames[0].facts)
        for one in played
        for turn in traced(*one).turns
        if turn.observed is not None
    ]
    assert any(belief.exact for belief, _ in beliefs)
    assert any(belief.wrong for belief, _ in beliefs)
    for belief, facts in beliefs:
        assert belief.exact == (belief.facts == facts) == (not belief.wrong)


def test_slips_say_how_likely_they_were(played: list[tuple[Task, Instance, Episode]]) -> None:
    slippery = [one for one in played if one[0].environment.name == "frozenlake"]
    chances = {
        move.chance for one in slippery for turn in traced(*one).turns for move in turn.moves
    }
    assert chances == {"1/3"}


def test_the_question_is_what_the_model_was_asked(
    played: list[tuple[Task, Instance, Episode]],
) -> None:
    task, board, episode = played[0]
    asked = traced(task, board, episode).turns[0].asked
    shown = task.environment.observe(board.state, task.config.observation)
    assert asked == task.opening_message(shown, 1, task.limits.actions)


def test_a_log_that_does_not_replay_is_shown_as_logged(
    played: list[tuple[Task, Instance, Episode]],
) -> None:
    task, board, episode = next(one for one in played if one[0].environment.name == "sokoban")
    first = episode.turns[0]
    for forged in (
        replace(first, state="nowhere"),
        replace(first, actions=("Fly",) * len(first.actions)),
        replace(first, outcomes=(7,) * len(first.outcomes)),
    ):
        found = traced(task, board, replace(episode, turns=(forged, *episode.turns[1:])))
        assert found.note is not None
        assert "does not replay" in found.note
        assert found.turns[0].frames[0].text == forged.state


@pytest.mark.parametrize("outcome", [-1, -99])
def test_no_outcome_is_counted_from_the_end(
    played: list[tuple[Task, Instance, Episode]], outcome: int
) -> None:
    task, board, episode = next(one for one in played if one[2].turns[0].outcomes)
    first = episode.turns[0]
    forged = replace(first, outcomes=(outcome, *first.outcomes[1:]))
    found = traced(task, board, replace(episode, turns=(forged,)))
    why = f"turn 1 has no outcome {outcome}"
    assert found.note == f"the log does not replay: {why}; shown as logged"


def test_an_unknown_board_or_task_is_shown_as_logged(
    played: list[tuple[Task, Instance, Episode]],
) -> None:
    task, board, episode = played[0]
    assert "no board" in (trace(task, None, "0", episode).note or "")
    alone = trace(None, board, "0", episode)
    assert "cannot be rebuilt" in (alone.note or "")
    assert alone.turns[0].reply == [("text", episode.turns[0].reply)]


def test_a_long_text_is_cut_in_the_middle_and_says_how_much(
    played: list[tuple[Task, Instance, Episode]],
) -> None:
    task, board, episode = played[0]
    first = episode.turns[0]
    long = replace(first, reply=f"begin{first.reply}{'x' * 5000}end", reasoning="y" * 5000)
    whole = traced(task, board, replace(episode, turns=(long,)))
    (turn,) = shortened(whole, 1000).turns
    assert {kind for kind, _ in turn.reply} == {kind for kind, _ in whole.turns[0].reply}
    assert turn.reply[0][1].startswith("begin")
    last, said = whole.turns[0].reply[-1][1], turn.reply[-1][1]
    assert said.endswith("end")
    assert f"[… {len(last) - 1000:,} characters are left out here …]" in said
    assert "[… 4,000 characters are left out here …]" in (turn.reasoning or "")
    assert shortened(whole, None) == whole


def test_memory_does_not_grow_with_the_length_of_replies(
    played: list[tuple[Task, Instance, Episode]],
) -> None:
    task, _, episode = played[0]

    def peak(length: int) -> int:
        turn = episode.turns[0]
        episodes = (
            replace(episode, repeat=repeat, turns=(replace(turn, reply="x" * length),))
            for repeat in range(32)
        )
        tracemalloc.start()
        shown([Group(task.name, task, "0")], ((0, one) for one in episodes), longest=20_000)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(20_000)  # what is made once is made now
    assert peak(2_000_000) < peak(20_000) + 10_000_000


def test_of_a_statement_without_end_some_places_are_shown_and_the_others_counted(
    played: list[tuple[Task, Instance, Episode]],
) -> None:
    task, board, episode = played[0]
    places: list[list[int | str]] = [[i, i] for i in range(MOST_PLACES + 50)]
    long = replace(episode.turns[0], facts_observed={"box": places, "player": [[1, 1]]})
    seen = traced(task, board, replace(episode, turns=(long,))).turns[0].observed
    assert seen is not None
    assert (len(seen.facts["box"]), len(seen.facts["player"])) == (MOST_PLACES, 1)
    assert len(seen.wrong) <= MOST_PLACES
    assert (seen.left_out, seen.exact) == (50, False)


LAKE = """
include: {episode}
task: lake
format: answer
environment: {{name: gymnasium, id: FrozenLake-v1, render_mode: ansi}}
instances: {{split: all, seeds: 0-1}}
limits: {{turns: 2, actions_per_turn: 5, actions: 10, new_tokens: 100}}
prompt: {{instruction: Walk.}}
"""


@pytest.fixture
def lake(tmp_path: Path) -> str:
    """A task in a world of somebody else's, which may raise anything."""
    episode = Path(__file__).parents[2] / "tasks" / "_episode.yaml"
    path = tmp_path / "lake.yaml"
    path.write_text(LAKE.format(episode=os.path.relpath(episode, tmp_path)))
    return str(path)


@pytest.mark.parametrize("world", ["probe", "gymnasium"])
def test_actions_after_the_end_stop_no_page(tmp_path: Path, lake: str, world: str) -> None:
    task = lake if world == "gymnasium" else "sokoban_rollout"
    spa_bench.evaluate(RandomBaseline("r"), task, limit=1, repeats=1, output=tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    (made_again,) = Plan.of(folder.read_info()).tasks
    (episode,) = folder.episodes()
    actions = episode.turns[0].actions * 20
    forged = replace(
        episode.turns[0], actions=actions, outcomes=(0,) * len(actions), executed=len(actions)
    )
    board = made_again.boards[0][0]
    assert traced(made_again, board, replace(episode, turns=(forged,))).turns[0].frames
