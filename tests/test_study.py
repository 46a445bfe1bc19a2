"""The study's tables are those that its figures make, and say what they should of them."""

import math
from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from scripted import Scripted

from benchmarks import study, study_belief, study_chance, study_plans, study_players
from spa_bench.evaluation import evaluate
from spa_bench.registry import Registry
from spa_bench.results.bounds import board_bounds
from spa_bench.results.shown import percent
from spa_bench.runner.log import RunFolder
from spa_bench.site.entries import read_entries
from spa_bench.site.rows import Cell, Row, Table

ROOT = Path(__file__).parents[1]


def _row(method, one, eight, floor=(0.2, 0.6), kind="reported", model="m"):
    cells = {
        f"frozenlake:pass@{k}": Cell(value, None, None, low, 1.0)
        for k, value, low in zip((1, 8), (one, eight), floor, strict=True)
    }
    return Row(kind, model, method, "reported", None, cells=cells)


def _table(*rows):
    return Table([], list(rows), {})


@pytest.fixture(scope="module")
def entries():
    return read_entries(*study.SUBMISSIONS).entries


def test_the_pages_stand_as_they_would_be_written(entries):
    found = study.read(entries)
    pages = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in study.PAGES]
    assert [study.written(page, found, entries) for page in pages] == pages
    assert "".join(pages).count("<!-- end -->") == len(study.TABLES) + 4


def test_the_starts_of_the_page_are_those_of_its_rows(entries):
    page = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    starts = study_belief.read_starts(page, entries)
    assert [len(start.after["Pass@1"]) for start in starts] == [2] * 10
    for start in starts:  # the page's own figures are those of the rows that it names
        (line,) = (
            line for line in page.splitlines() if f"| `{start.name.replace(' ', '-')}`" in line
        )
        assert all(f"| {100 * one:.1f} [" in line for one in start.after["Pass@1"])
        assert line.endswith(
            ", ".join(f"{100 * eight:.1f}" for eight in start.after["Pass@8"]) + " |"
        )


def test_a_run_is_compared_with_chance_on_the_boards_that_it_played(entries):
    random = next(
        entry
        for entry in entries
        if entry.submission.method == "baseline" and entry.submission.model == "random"
    )
    result = next(result for result in random.results.tasks if result.task == "frozenlake")
    run = study_chance.Run("frozenlake", "baseline", 0, "frozenlake", random)
    beside = study_chance.beside_chance(run)
    for k, found in zip(study_chance.KS, beside.differences, strict=True):
        score = result.metrics[f"pass@{k}"]
        assert found.value == pytest.approx(score.value - score.floor)
        assert found.low < 0 < found.high
        assert found.high - found.low < 0.8 * (score.high - score.low)
    assert beside.p_value > 0.05


def test_the_exact_p_value_is_that_of_a_sum_of_coins():
    coins = [0.5] * 6
    assert study_chance.exact_p_value(6, coins) == pytest.approx(2 / 2**6)
    assert study_chance.exact_p_value(1, coins) == pytest.approx(2 * 7 / 2**6)
    assert study_chance.exact_p_value(3, coins) == 1
    assert study_chance.exact_p_value(2, [0.1, 1.0, 0.3]) == pytest.approx(2 * 0.37)


def test_p_values_are_corrected_as_holm_has_it():
    assert study_chance.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert study_chance.holm([0.9, 0.9]) == [1, 1]


def test_a_player_that_chooses_any_move_gets_the_floor():
    for name in study_players.TASKS:
        task = Registry().load(name)
        floors = [bound.floor for bound in board_bounds(task, task.boards[0]).values()]
        found = study_players.success(task, study_players.any_move)
        assert found[0] == pytest.approx(np.mean(floors))
        assert found[1] == pytest.approx(np.mean([1 - (1 - floor) ** 8 for floor in floors]))


@pytest.mark.parametrize("player", study_players.PLAYERS.values())
def test_what_a_player_is_said_to_get_is_what_it_gets(player):
    task, chance = Registry().load("frozenlake_slippery"), Random(0)
    lake, solved, n = task.environment, 0, 3000
    boards = task.boards[0]
    for i in range(n):
        state = boards[i % len(boards)].state
        for _ in range(task.limits.actions):
            if lake.is_success(state) or lake.loss(state) is not None:
                break
            outcomes = lake.outcomes(state, chance.choice(player(lake, state)))
            (outcome,) = chance.choices(outcomes, [float(o.probability) for o in outcomes])
            state = outcome.state
        solved += lake.is_success(state)
    expected = study_players.success(task, player)[0]
    assert abs(solved / n - expected) < 4 * math.sqrt(0.25 / n)


def test_players_see_the_holes_beside_them():
    lake = Registry().load("frozenlake").environment
    state = lake.from_grid("____\n_OOP\nGO__\nO___")
    assert set(study_players.to_the_goal(lake, state)) == {"Down", "Left"}
    assert set(study_players.off_holes(lake, state)) == {"Up", "Down"}
    assert study_players.to_the_goal_off_holes(lake, state) == ["Down"]


def test_a_correlation_has_the_interval_of_fishers_transformation():
    xs, ys = [0.0, 0.1, 0.2, 0.3, 0.6], [0.2, 0.1, 0.4, 0.3, 0.5]
    found = study_belief.correlation(xs, ys)
    r = np.corrcoef(xs, ys)[0, 1]
    half = 1.959964 / math.sqrt(len(xs) - 3)
    assert found.value == pytest.approx(r)
    assert found.low == pytest.approx(math.tanh(math.atanh(r) - half), abs=1e-6)
    assert found.high == pytest.approx(math.tanh(math.atanh(r) + half), abs=1e-6)


def test_a_figure_below_chance_is_marked_and_counted():
    found = _table(_row("RL", 0.3, 0.5), _row("RL", 0.1, 0.7), _row("SPA", 0.6, 0.8))
    lines = study.paper(found).splitlines()
    assert ["50.0 ↓" in line for line in lines[2:]] == [True, False, False]
    assert "+0.50" in lines[4]
    counted = [
        [c.strip() for c in line.split("|")[1:-1]]
        for line in study.below_chance(found).splitlines()
    ]
    assert counted[2:] == [["RL", "1 of 2", "1 of 2"], ["SPA", "0 of 1", "0 of 1"]]


def test_rows_come_by_world_and_method_and_baselines_do_not():
    made = [
        _row(method, 0.3, 0.5, kind="submission", model=f"nano-{method}-frozenlake")
        for method in ("spa", "base", "baseline")
    ]
    lines = study.nano(_table(*made)).splitlines()[2:]
    assert [line.split("|")[2].strip() for line in lines] == ["base", "spa"]


def test_vanilla_is_measured_where_it_was_trained_on_the_grid_alone():
    row = _row("vanilla", 0.3, 0.5, kind="submission", model="nano-vanilla-frozenlake")
    row.cells["frozenlake_grid:pass@1"] = Cell(0.44, 0.4, 0.5, 0.2, 1.0)
    assert "44.0 [40.0, 50.0]" in study.nano(_table(row))


def test_vagen_is_measured_where_beliefs_are_asked_for():
    row = _row("vagen", None, None, kind="submission", model="nano-vagen-frozenlake")
    row.cells["frozenlake_wm:pass@1"] = Cell(0.33, 0.3, 0.4, 0.2, 1.0)
    assert "33.0 [30.0, 40.0]" in study.nano(_table(row))


def test_a_run_without_coordinates_is_measured_without_them_whatever_its_method():
    row = _row("spa", None, None, kind="submission", model="nano-spa-frozenlake-no-coordinates")
    row.cells["frozenlake_grid:pass@1"] = Cell(0.41, 0.34, 0.49, 0.2, 1.0)
    assert "41.0 [34.0, 49.0]" in study.nano(_table(row))


def test_the_seeds_of_a_method_stand_in_a_line_with_their_mean():
    made = [
        _row("spa", one, eight, kind="submission", model=f"nano-spa-frozenlake-{name}")
        for name, one, eight in (
            ("cut-off-seed-10", 0.5, 0.7),
            ("cut-off-seed-2", 0.3, 0.6),
            ("seed-1", 0.9, 0.9),
            ("cut-off-seed-3", None, None),  # of other tasks
        )
    ]
    (line,) = study.seeds(_table(*made)).splitlines()[2:]
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells[:4] == ["frozenlake", "the recipes", "spa", "2, 10"]
    assert cells[4:] == ["30.0, 50.0", "40.0", "60.0, 70.0", "65.0"]


def test_in_short_has_chance_the_base_and_each_methods_mean_by_its_recipe():
    rows = [_row("floor", 0.2, 0.6, kind="bound")]
    for method, name, one, eight in (
        ("base", "base-frozenlake", 0.1, 0.5),
        ("base", "base-sokoban", None, None),
        ("spa", "spa-frozenlake", 0.3, 0.7),
        ("spa", "spa-frozenlake-cut-off-seed-1", 0.5, 0.8),
        ("spa", "spa-frozenlake-seed-2", 0.9, 0.9),  # another set-up
        ("spa", "spa-frozenlake-unfamiliar", 0.9, 0.9),
        ("state_estimation", "state-estimation-frozenlake", 0.3, 0.7),
        ("state_estimation", "state-estimation-frozenlake-cut-off-seed-1", 0.4, 0.7),
        ("state_estimation", "state-estimation-frozenlake-cut-off-seed-3", 0.5, 0.7),
    ):
        rows.append(_row(method, one, eight, kind="submission", model=f"nano-{name}"))
    slippery = _row("vagen", None, None, model="nano-vagen-frozenlake-slippery-seed-3")
    slippery.cells["frozenlake_slippery_wm:pass@1"] = Cell(0.25, 0.2, 0.3, 0.2, 1.0)
    slippery.cells["frozenlake_slippery_wm:pass@8"] = Cell(0.5, 0.4, 0.6, 0.2, 1.0)
    lines = study.in_short(_table(*rows, slippery)).splitlines()[2:]
    frozenlake, on_ice, sokoban = ([cell.strip() for cell in line.split("|")] for line in lines)
    assert frozenlake[2:-1] == [
        "20.0 / 60.0",
        "10.0 / 50.0",
        "-",
        "40.0 / 70.0",
        "-",
        "40.0 / 75.0*",
    ]
    assert on_ice[2:-1] == ["- / -", "- / -", "-", "-", "25.0 / 50.0*", "-"]
    assert sokoban[2:-1] == ["- / -", "- / -", "-", "-", "-", "-"]


def test_a_checkpoint_elsewhere_stands_beside_what_it_was_trained_on_in_bold():
    own = _row("vanilla", None, None, kind="submission", model="nano-vanilla-frozenlake")
    own.cells["frozenlake_grid:pass@1"] = Cell(0.6, 0.5, 0.7, 0.2, 1.0)
    elsewhere = _row("vanilla", 0.3, None, kind="submission", model=f"{own.model}-unfamiliar")
    other = _row("spa", 0.5, None, kind="submission", model="nano-spa-frozenlake")
    found = _table(own, elsewhere, other, _row("floor", 0.2, 0.6, kind="bound"))
    head, _, *lines = study.unfamiliar("frozenlake", found).splitlines()
    cells = [[cell.strip() for cell in line.split("|")[2:-1]] for line in (head, *lines)]
    assert cells[:3] == [["chance", "vanilla"], ["-", "**60.0 [50.0, 70.0]**"], ["20.0", "30.0"]]
    assert set(map(tuple, cells[3:])) == {("-", "-")}


def test_the_curves_show_both_metrics_of_a_run_each_beside_its_chance(tmp_path):
    training = [{"step": n, "frozenlake/pass@1": 0.3, "frozenlake/pass@8": 0.7} for n in (0, 25)]
    submission = SimpleNamespace(method="spa", model="nano-spa-frozenlake-seed-1")
    run = SimpleNamespace(submission=submission, training=training)
    path = tmp_path / "curves.svg"
    study.draw([run], _table(_row("floor", 0.2, 0.6, kind="bound")), path)
    drawn = path.read_text(encoding="utf-8")
    assert drawn.count("frozenlake, no baseline") == 1  # above its two panels
    assert "Pass@1 held out, %" in drawn
    assert "Pass@8 held out, %" in drawn


def test_text_around_the_tables_is_left_alone_and_unknown_ones_are_refused():
    page = "before\n<!-- nano -->\nold\n<!-- end -->\nafter\n"
    new = study.written(page, _table())
    assert new.startswith("before\n<!-- nano -->\n")
    assert new.endswith("\n<!-- end -->\nafter\n")
    assert "old" not in new
    with pytest.raises(KeyError):
        study.written(page.replace("nano", "nothing"), _table())


@pytest.mark.parametrize(
    ("reply", "done"),
    [
        ("<think>1. Up 2. Left</think><answer>Up || Left</answer>", True),
        ("<think>1. Up 2. Left</think><answer>Left || Up</answer>", False),
        ("<think>1. Up 2. Left</think><answer>Up</answer>", False),
        ("<think>1. Up</think>", False),
        ("1. Up 2. Left</think><answer>Up||Left</answer>", True),
    ],
)
def test_a_turn_is_done_as_planned_if_it_names_all_of_the_plan_in_order(reply, done):
    assert study_plans.as_planned(reply) is done


def test_what_is_done_as_planned_is_told_of_any_run_and_any_submission(tmp_path):
    plan = "<think>1. Up 2. Left</think><answer>{}</answer>"
    said = [plan.format("Up || Left"), *[plan.format("Up")] * 3]
    model = Scripted(lambda request: said[len(model.requests) % 4])
    run = tmp_path / "run"
    evaluate(model, "frozenlake", limit=4, repeats=1, output=run)
    replies = [turn.reply for episode in RunFolder(run).episodes() for turn in episode.turns]
    share = sum(map(study_plans.as_planned, replies)) / len(replies)
    submission = study.SUBMISSIONS[0] / "nano-state-estimation-sokoban"
    head, _, line, *others = study_plans.of_runs([run, submission]).splitlines()
    assert "% of turns done as planned" in head
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert cells == [str(run), "frozenlake", percent(share)]
    assert 0 < share < 1
    assert {line.split("|")[1].strip() for line in others} == {str(submission)}
