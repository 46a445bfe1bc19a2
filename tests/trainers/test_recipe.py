"""Recipes: what is wrong with one is said with file and line, before any work."""

from pathlib import Path

import pytest

from spa_bench import yaml_file
from spa_bench.errors import InputError
from spa_trainers.recipe import (
    STAGES,
    Recipe,
    built_in_recipes,
    find_recipe,
    load_recipe,
    recipes_folder,
)

GOOD = """\
recipe: mine
method: spa
model: some/model
selfplay:
  tasks: [sokoban_wm]
sft:
  epochs: 1
"""


def _file(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", built_in_recipes().values(), ids=lambda p: p.stem)
def test_built_in_recipes_load_and_are_called_like_their_files(path):
    recipe = load_recipe(path)
    assert recipe.recipe == path.stem
    assert recipe.description
    assert find_recipe(path.stem) == path


def test_defaults_are_the_papers(tmp_path):
    recipe = load_recipe(_file(tmp_path, GOOD.replace("  epochs: 1\n", "  labels: paper\n")))
    play, sft = recipe.selfplay, recipe.sft
    assert (play.boards * play.repeats, play.seeds.split("-")[0]) == (1280, "10000")
    assert (sft.epochs, sft.learning_rate, sft.betas, sft.weight_decay) == (
        5,
        1e-4,
        (0.9, 0.95),
        0.01,
    )
    assert (sft.warmup, sft.schedule, sft.clip, sft.batch_size) == (0.1, "cosine", 1.0, 16)
    assert (sft.max_length, sft.rows) == (2048, "turn")


def test_the_preset_paper_is_what_the_code_does_anyway():
    path = recipes_folder() / "presets" / "paper.yaml"
    written = yaml_file.read(path).data
    plain = Recipe.model_validate(
        {
            "recipe": "plain",
            "method": "spa",
            "model": "some/model",
            "selfplay": {"tasks": ["sokoban_wm"]},
            "sft": {},
            "rl": {"tasks": ["sokoban"]},
        }
    ).model_dump(mode="json")
    assert set(written) == set(STAGES)
    for stage, settings in written.items():
        assert settings == {key: plain[stage][key] for key in settings}


def test_a_preset_stands_under_what_the_recipe_says(tmp_path):
    path = _file(tmp_path, GOOD.replace("  epochs: 1\n", "  epochs: 2\nrl:\n  tasks: [sokoban]\n"))
    published = load_recipe(path)
    assert (published.sft.labels, published.rl.loss_on) == ("paper", "reply")
    code = load_recipe(path, ["preset=repo_compat"])
    assert (code.sft.labels, code.rl.loss_on, code.sft.epochs) == ("masked", "all", 2)
    assert load_recipe(path, ["preset=repo_compat", "sft.labels=paper"]).sft.labels == "paper"
    with pytest.raises(InputError, match="preset: Input should be 'paper' or 'repo_compat'"):
        load_recipe(path, ["preset=vagen"])


def test_a_rate_without_a_point_is_a_number(tmp_path):
    path = _file(tmp_path, GOOD.replace("epochs: 1", "learning_rate: 1e-3"))
    assert load_recipe(path).sft.learning_rate == 0.001
    assert load_recipe(path, ["sft.learning_rate=2e-3"]).sft.learning_rate == 0.002


def test_a_preset_adds_no_stage(tmp_path):
    assert load_recipe(_file(tmp_path, GOOD)).stages() == ["selfplay", "sft"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("epochs: 1", "epoch: 1"), "mine.yaml:7: unknown key 'sft.epoch' (did you mean epochs"),
        (("epochs: 1", "epochs: many"), "mine.yaml:7: sft.epochs: "),
        (("epochs: 1", "epochs: 0"), "mine.yaml:7: sft.epochs: "),
        (("epochs: 1", "labels: all"), "mine.yaml:7: sft.labels: "),
        (("method: spa", "method: magic"), "mine.yaml:2: method: "),
        (("model: some/model\n", ""), "a recipe begins with `model` or with `nano`"),
        (("recipe: mine", "recipe: ../mine"), "mine.yaml:1: recipe: "),
        (("sft:\n  epochs: 1\n", ""), None),
        (("selfplay:\n  tasks: [sokoban_wm]\n", ""), "sft needs rows"),
        (("  tasks: [sokoban_wm]", "  tasks: []"), "selfplay.tasks"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path, change, says):
    path = _file(tmp_path, GOOD.replace(*change))
    if says is None:
        assert load_recipe(path).stages() == ["selfplay"]
        return
    with pytest.raises(InputError) as raised:
        load_recipe(path)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("sft.epochs=0", "--set sft.epochs=0: sft.epochs: "),
        ("sft.epoch=1", "--set sft.epoch=1: unknown key 'sft.epoch' (did you mean epochs"),
        ("sft={epochs: x}", "--set sft={epochs: x}: sft.epochs: "),
        ("sft.clip=.inf", "--set sft.clip=.inf: must be a finite number"),
        ("rl.reward.succes=9", "--set rl.reward.succes=9: unknown key 'rl.reward.succes' (did you"),
        (
            "rl.lora={rnk: 4}",
            "--set rl.lora={rnk: 4}: unknown key 'rl.lora.rnk' (did you mean rank",
        ),
        ("nano={tasks: [sokoban]}", "--set nano={tasks: [sokoban]}: a recipe begins with `model`"),
        ("rl={tasks: [x], algorithm: foo}", "--set rl={tasks: [x], algorithm: foo}: rl"),
        ("sft.epochs=&a 1", "--set sft.epochs=&a 1: YAML anchors are not allowed"),
    ],
)
def test_what_is_wrong_with_a_change_is_said_of_the_change(tmp_path, change, says):
    with pytest.raises(InputError) as raised:
        load_recipe(_file(tmp_path, GOOD), [change])
    assert str(raised.value).startswith(says)
    assert "\n" not in str(raised.value)


def test_what_a_file_says_wrong_beside_a_change_is_said_of_the_file(tmp_path):
    path = _file(tmp_path, GOOD.replace("epochs: 1", "epochs: many"))
    with pytest.raises(InputError, match=r"mine\.yaml:7: sft\.epochs: "):
        load_recipe(path, ["sft.clip=2"])


@pytest.mark.parametrize("text", ["2020-01-01", "2020-01-01 10:00:00", "!!binary aGVs"])
def test_a_date_is_text(tmp_path, text):
    changed = load_recipe(_file(tmp_path, GOOD), [f"description={text}"])
    assert changed.description == text.removeprefix("!!binary ")


def test_a_folder_is_meant_from_where_it_is_named(tmp_path, monkeypatch):
    path = _file(tmp_path, GOOD.replace("some/model", "./one"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert Path(load_recipe(path).model) == tmp_path / "one"
    assert Path(load_recipe(path, ["model=./one"]).model) == tmp_path / "here" / "one"


def test_a_stage_alone_is_no_recipe():
    with pytest.raises(InputError, match="the stage rl of which recipe"):
        find_recipe("rl")


def test_settings_can_be_changed_from_the_command_line(tmp_path):
    path = _file(tmp_path, GOOD)
    changed = load_recipe(path, ["sft.epochs=2.5", "selfplay.tasks=[sudoku_wm]", "sft.lora.rank=4"])
    assert changed.sft.epochs == 2.5
    assert changed.selfplay.tasks == ["sudoku_wm"]
    assert changed.sft.lora.rank == 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("sft.epochs", "write KEY=VALUE"),
        ("=1", "write KEY=VALUE"),
        ("recipe.x=1", "recipe is not a section"),
        ("sft.epochs=[", "is no YAML value"),
        ("sft.nothing=1", "unknown key 'sft.nothing'"),
        ("rl={tasks: [sokoban], lora: {dropout: 0.1}}", "rl.lora: dropout must be 0"),
        ("rl={tasks: [sokoban], seeds: abc}", "rl.seeds: 'abc' is not a seed or a range"),
        ("selfplay.seeds=5-3", "selfplay.seeds: the range 5-3 is empty"),
        ("selfplay.actions_a_turn=[0]", "selfplay.actions_a_turn.0: "),
        ("sft.betas=[0.9,1.0]", "sft.betas.1: "),
        ("sft.seed=99999999999999999999999", "sft.seed: "),
    ],
)
def test_bad_changes_are_said(tmp_path, change, says):
    with pytest.raises(InputError, match=says):
        load_recipe(_file(tmp_path, GOOD), [change])


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(InputError, match="did you mean nano-base-sokoban"):
        find_recipe("nano-base-sokobn")
    with pytest.raises(InputError, match="no such recipe file"):
        find_recipe("nowhere/none.yaml")


def test_a_relative_model_is_relative_to_the_file_that_says_so(tmp_path):
    recipe = load_recipe(_file(tmp_path, GOOD.replace("some/model", "./weights")))
    assert recipe.model == str(tmp_path / "weights")
    (tmp_path / "deep").mkdir()
    recipe = load_recipe(_file(tmp_path / "deep", "recipe: deeper\ninclude: ../mine.yaml\n"))
    assert Path(recipe.model).resolve() == (tmp_path / "weights").resolve()


def test_a_built_in_recipe_is_included_by_its_name(tmp_path):
    text = "recipe: mine\ninclude: nano-spa-frozenlake\nrl: {steps: 3}\n"
    mine, whole = (
        load_recipe(_file(tmp_path, text)),
        load_recipe(find_recipe("nano-spa-frozenlake")),
    )
    assert mine.rl.steps == 3
    assert mine.rl.model_copy(update={"steps": whole.rl.steps}) == whole.rl
    assert Path(mine.model).resolve() == Path(whole.model).resolve()


@pytest.mark.parametrize("name", ["selfplay", "sft", "rl", "start"])
def test_a_recipe_is_not_called_like_a_folder_of_a_training(tmp_path, name):
    with pytest.raises(InputError, match="none of the folders of a training"):
        load_recipe(_file(tmp_path, GOOD.replace("recipe: mine", f"recipe: {name}")))
