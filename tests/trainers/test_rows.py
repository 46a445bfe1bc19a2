"""Rows: beliefs become the truth, exactly, and nothing else changes."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from played import between, play_boards
from scripted import Scripted

from spa_bench.formats.format import ParsedReply
from spa_bench.formats.format import between as inside
from spa_bench.formats.world_model import WorldModel
from spa_bench.registry import Registry
from spa_trainers.boards import TRAINING_SEEDS, training_task
from spa_trainers.players import RandomPlayer
from spa_trainers.rows import RowMaker, corrected

WORLDS = ["sokoban_wm", "frozenlake_wm", "frozenlake_slippery_wm", "sudoku_wm"]


def _task(name, boards=6):
    return training_task(Registry().resolve([name])[0], seeds=TRAINING_SEEDS, boards=boards)


def _maker(task, **options):
    boards = {board.id: board.state for board in task.boards[0]}
    return RowMaker(task, boards.__getitem__, **options)


@pytest.mark.parametrize("name", WORLDS)
def test_every_belief_is_the_truth_of_a_fresh_world(name):
    task = _task(name)
    environment = task.environment
    maker = _maker(task)
    rows = list(maker.rows(play_boards(task, RandomPlayer("r"), repeats=2)))
    assert rows
    assert maker.kept.rows == len(rows)
    for row in rows:
        # a second implementation: read the rows' own text, step the kernel by the answers
        state = environment.initial_state(int(row.instance.rpartition("/")[2]))
        conversation = [*row.messages, ("assistant", row.reply)]
        replies = [text for role, text in conversation if role == "assistant"]
        shown = [text for role, text in conversation if role == "user"]
        certain = True
        for user, reply in zip(shown, replies, strict=True):
            observed = between(reply, "observation")
            assert observed in user
            if certain:
                assert observed == environment.observe(state, "grid+coordinates")
            for word in between(reply, "answer").split(" || "):
                outcomes = environment.outcomes(state, environment.parse_action(word))
                certain = certain and len(outcomes) == 1
                state = outcomes[0].state
                if outcomes[0].terminal:
                    break
            if certain:
                assert between(reply, "prediction") == environment.observe(
                    state, "grid+coordinates"
                )


def test_a_prediction_on_ice_is_what_happened():
    task = _task("frozenlake_slippery_wm", boards=20)
    rows = list(_maker(task).rows(play_boards(task, RandomPlayer("r"), repeats=2)))
    followed = {(r.instance, r.repeat, r.turn): r for r in rows}
    pairs = [
        (row, followed[row.instance, row.repeat, row.turn + 1])
        for row in rows
        if (row.instance, row.repeat, row.turn + 1) in followed
    ]
    assert pairs
    for row, later in pairs:
        assert between(row.reply, "prediction") == between(later.reply, "observation")


def test_earlier_turns_of_a_row_are_corrected_too():
    task = _task("sokoban_wm")
    rows = list(_maker(task).rows(play_boards(task, RandomPlayer("r"), repeats=2)))
    by_turn = {(r.instance, r.repeat, r.turn): r for r in rows}
    later = [row for row in rows if row.turn > 0]
    assert later
    for row in later:
        before = by_turn[row.instance, row.repeat, row.turn - 1]
        assert row.messages[-2] == ("assistant", before.reply)


def test_spans_are_where_the_parts_are():
    task = _task("frozenlake_wm")
    for row in _maker(task).rows(play_boards(task, RandomPlayer("r"), repeats=2)):
        for part, (start, end) in row.spans.items():
            assert row.reply[:start].endswith(f"<{part}>")
            assert row.reply[end:].startswith(f"</{part}>")


def test_own_beliefs_are_kept_as_they_were():
    task = _task("sokoban_wm")
    episodes = play_boards(task, RandomPlayer("r"), repeats=2)
    played = {turn.reply for episode in episodes for turn in episode.turns}
    rows = list(_maker(task, beliefs="own").rows(episodes))
    assert rows
    assert {row.reply for row in rows} <= played


def test_random_coordinates_change_nothing_but_coordinates():
    task = _task("sokoban_wm")
    episodes = play_boards(task, RandomPlayer("r"), repeats=2)
    true = list(_maker(task, filtered=False).rows(episodes))
    other = list(_maker(task, filtered=False, coordinates="random").rows(episodes))
    different = 0
    for a, b in zip(true, other, strict=True):
        grid_a, grid_b = (between(row.reply, "observation").split("\nPlayer")[0] for row in (a, b))
        assert grid_a == grid_b
        different += a.reply != b.reply
    assert different > len(true) / 2


WELL_FORMED = (
    "<think><observation>\nx\n</observation>\nUp\n<prediction>\ny\n</prediction>\n</think>"
    "<answer>Up</answer>"
)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("no tags at all", "no readable answer"),
        ("<think></think><answer>Jump</answer>", "no valid action"),
        ("<think></think><answer>Up || Jump</answer>", "an action that does not exist"),
        ("<think>a wall</think><answer>Up</answer>", "a belief is missing"),
        (
            "<think><prediction>a</prediction><observation>b</observation></think>"
            "<answer>Up</answer>",
            "prediction before observation",
        ),
        (WELL_FORMED.replace("\nUp\n", "<observation>z</observation>"), "tags repeated"),
    ],
)
def test_what_does_not_follow_the_format_is_dropped_with_its_reason(reply, why):
    task = _task("sokoban_wm", boards=1)
    maker = _maker(task)
    assert list(maker.rows(play_boards(task, Scripted([reply])))) == []
    assert maker.kept.why[why] == 1
    assert maker.kept.turns == sum(maker.kept.why.values())


class Brackets:
    """A format with tags of its own."""

    name, prefill, believes = "brackets", "", True

    def parse(self, message, mode):
        answer, seen, expected = (
            inside(message, f"[{tag}]", f"[/{tag}]") for tag in ("answer", "see", "expect")
        )
        return ParsedReply(answer=answer, observation=seen, prediction=expected)

    def compose(self, content):
        return (
            f"[see]{content.observation}[/see][expect]{content.prediction}[/expect]"
            f"[answer]{content.answer}[/answer]"
        )


def test_a_format_may_have_tags_of_its_own():
    task = replace(_task("sokoban_wm"), format=Brackets())
    maker = _maker(task)
    rows = list(maker.rows(play_boards(task, RandomPlayer("r"))))
    assert rows
    assert set(maker.kept.why) <= {"repeats another row"}
    assert all(set(row.spans) == {"observation", "prediction", "answer"} for row in rows)


def test_turns_after_a_bad_one_are_not_learnt_from():
    task = _task("sokoban_wm", boards=1)
    maker = _maker(task)
    rows = list(maker.rows(play_boards(task, Scripted([WELL_FORMED, "??", WELL_FORMED]))))
    assert len(rows) == 1
    assert maker.kept.why["after a turn that was dropped"] == 3
    unfiltered = list(
        _maker(task, filtered=False).rows(
            play_boards(task, Scripted([WELL_FORMED, "??"]), repeats=2)
        )
    )
    assert any(row.reply == "??" for row in unfiltered)


def test_boards_of_the_evaluation_are_left_out():
    task = _task("sokoban_wm")
    key = task.boards[0][0].board_key
    maker = _maker(task, leave_out=frozenset({key}))
    rows = list(maker.rows(play_boards(task, RandomPlayer("r"), repeats=2)))
    assert rows
    assert key not in {row.board_key for row in rows}
    assert maker.kept.why["board is evaluated on"] > 0


def test_the_same_row_is_kept_once():
    task = _task("sokoban_wm", boards=1)
    episodes = play_boards(task, Scripted([WELL_FORMED]))
    twice = [episodes[0], replace(episodes[0], repeat=1)]
    maker = _maker(task)
    first = list(maker.rows(twice[:1]))
    assert list(maker.rows(twice[1:])) == []
    assert maker.kept.why["repeats another row"] == len(first)


@settings(max_examples=300, deadline=None)
@given(st.text("<>/\\gobservatinpdc12\n", max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_a_states_text_is_never_a_pattern(middle, before, after):
    reply = WELL_FORMED.replace("\nUp\n", middle)
    parsed = WorldModel().parse(reply, "strict")
    made = corrected(reply, parsed, before, after)
    observation, prediction = parsed.observation, parsed.prediction
    if observation is not None:
        assert made[: observation.start] == reply[: observation.start]
        assert made[observation.start :].startswith(f"\n{before}\n</observation>")
    if prediction is not None and observation is not None and observation.end <= prediction.start:
        assert made.endswith(f"\n{after}\n{reply[prediction.end :]}")
