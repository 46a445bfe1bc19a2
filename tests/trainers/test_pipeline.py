"""A whole small training: play, rows, fine-tuning, a checkpoint that plugs back in."""

import asyncio
import errno
import json
import re
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import pytest
import torch
import trl
from datasets import load_dataset
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, TrainerCallback

import spa_bench
from spa_bench.checkpoint import overlap, read_boards, read_card
from spa_bench.cli import main
from spa_bench.errors import InputError, ModelError, SpaBenchError
from spa_bench.lock import NO_LOCKS
from spa_bench.registry import Registry
from spa_bench.run import Silent
from spa_bench.task_file import builtin_tasks_folder
from spa_trainers import checkpoint, done, selfplay, sft
from spa_trainers.errors import TrainingError
from spa_trainers.pipeline import Pipeline
from spa_trainers.players import RandomPlayer
from spa_trainers.recipe import Recipe
from spa_trainers.tokens import Example

NANO = {"tasks": ["frozenlake_wm"], "boards": 30, "hidden": 16, "layers": 1, "heads": 2}
NANO |= {"feed_forward": 32}
PLAY = {"tasks": ["frozenlake_wm"], "player": "random", "boards": 10, "repeats": 2}
TUNE = {"rows": "episode", "epochs": 1, "batch_size": 4, "learning_rate": 1e-3, "log_every": 1}
TUNE |= {"snapshots": 2}


def _recipe(**changes):
    parts = {"recipe": "tiny", "method": "base", "nano": NANO, "selfplay": PLAY, "sft": TUNE}
    return Recipe.model_validate({**parts, **changes})


def _pipeline(recipe, output):
    said = []
    return Pipeline(recipe, output, Registry(), Silent(), said.append), said


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    output = tmp_path_factory.mktemp("train")
    pipeline, said = _pipeline(_recipe(), output)
    with redirect_stderr(StringIO()) as drawn:
        made = pipeline.run()
    assert drawn.getvalue() == ""  # no bar of a library's, for what takes no time
    return made, said


def test_the_checkpoint_plays_without_a_flag(trained, tmp_path):
    made, _ = trained
    results = spa_bench.evaluate(str(made), "frozenlake_wm", output=tmp_path, limit=1, repeats=1)
    assert results.owed == 0
    assert results.model == "tiny"


def test_snapshots_on_the_way_are_models_and_the_last_one_is_the_result(trained):
    made, _ = trained
    steps = read_card(made).stages[1]["steps"]
    snapshots = {int(path.name): path for path in (made.parent / "sft" / "snapshots").iterdir()}
    assert len(snapshots) == 2
    assert max(snapshots) == steps
    on_the_way, last = (
        AutoModelForCausalLM.from_pretrained(snapshots[step]).state_dict()
        for step in sorted(snapshots)
    )
    result = AutoModelForCausalLM.from_pretrained(made).state_dict()
    assert all(torch.equal(last[name], result[name]) for name in result)
    assert not all(torch.equal(on_the_way[name], result[name]) for name in result)


def test_the_checkpoint_says_what_it_is(trained):
    made, _ = trained
    card = read_card(made)
    assert (card.name, card.method, card.parent) == ("tiny", "base", None)
    assert (card.format, card.observation) == ("world_model", "grid+coordinates")
    assert [stage["stage"] for stage in card.stages] == ["tiny/selfplay", "tiny/sft"]
    assert card.stages[1]["steps"] > 0
    readme = (made / "README.md").read_text()
    assert "Parent: none, trained from scratch" in readme
    names = {path.name for path in made.iterdir()}
    assert "model.safetensors" in names
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in names)


def test_its_training_boards_are_listed_and_none_is_evaluated_on(trained):
    made, _ = trained
    boards = read_boards(made)
    assert set(boards) == {"frozenlake/4x4/ragen"}
    paper = [(b.id, b.board_key) for b in Registry().load("frozenlake").boards[0]]
    assert overlap(paper, boards) == 0
    task = selfplay.training_tasks(_recipe().selfplay, Registry())[0]
    played = [(b.id, b.board_key) for b in task.boards[0]]
    assert overlap(played, boards) == len({key for _, key in played}) or overlap(played, boards) > 5


def test_the_dataset_is_one_that_datasets_loads(trained, tmp_path):
    made, _ = trained
    folder = made.parent / "selfplay" / "dataset"
    loaded = load_dataset(str(folder), split="train", cache_dir=str(tmp_path))
    rows = list(selfplay.read_dataset(folder))
    assert len(loaded) == len(rows) > 0
    assert loaded[0]["reply"] == rows[0].reply
    start, end = rows[0].spans["observation"]
    assert loaded[0]["observation"] == {"start": start, "end": end}


def test_a_task_may_have_a_number_of_boards_of_its_own():
    play = {**PLAY, "tasks": ["frozenlake_wm", "frozenlake"], "boards_of": {"frozenlake": 3}}
    tasks = selfplay.training_tasks(_recipe(selfplay=play).selfplay, Registry())
    assert [len(task.boards[0]) for task in tasks] == [10, 3]
    for wrong, says in [
        ({"frozenlak": 3}, "did you mean frozenlake"),
        ({"frozenlake": 0}, "give 1"),
    ]:
        recipe = _recipe(selfplay={**play, "boards_of": wrong})
        with pytest.raises(InputError, match=says):
            selfplay.training_tasks(recipe.selfplay, Registry())


def test_done_stages_are_skipped_and_changed_ones_refused(trained):
    made, _ = trained
    pipeline, said = _pipeline(_recipe(), made.parent)
    assert pipeline.run() == made
    assert [line.split(":")[1].strip()[:12] for line in said] == ["already done", "already done"]
    changed, _ = _pipeline(_recipe(sft={**TUNE, "epochs": 2}), made.parent)
    with pytest.raises(InputError, match=r"another recipe \(changed: sft\)"):
        changed.run()


def test_a_training_goes_on_with_settings_that_compute_the_same(trained):
    made, _ = trained
    same = {**TUNE, "batch_size": 2, "accumulate": 2, "gradient_checkpointing": True}
    pipeline, said = _pipeline(_recipe(sft=same), made.parent)
    assert pipeline.run() == made
    assert all("already done" in line for line in said)
    with pytest.raises(InputError, match=r"another recipe \(changed: sft\)"):
        _pipeline(_recipe(sft={**same, "accumulate": 1}), made.parent)[0].run()


@pytest.mark.parametrize(
    ("settings", "goes_on"),
    [
        ({"microbatch": 1, "microbatch_tokens": 100, "save_every": 1, "batch_size": 8}, True),
        ({"gradient_checkpointing": True}, True),
        ({"actor_lr": 0.1}, False),
        ({"dtype": "bfloat16"}, False),
        ({"algorithm": "grpo", "entropy": 0.0, "microbatch": 1}, True),
        ({"algorithm": "grpo", "entropy": 0.1, "microbatch": 1}, False),  # a mean of each pass
    ],
)
def test_a_folder_takes_the_recipes_that_compute_what_it_was_begun_with(
    tmp_path, settings, goes_on
):
    begun = {"tasks": ["frozenlake"]} | {
        k: v for k, v in settings.items() if k in ("algorithm", "entropy")
    }
    done.check_same_recipe(tmp_path, _recipe(rl=begun))
    inputs = done.begun_with(tmp_path, "rl")
    if not goes_on:
        with pytest.raises(InputError, match=r"another recipe \(changed: rl\)"):
            done.check_same_recipe(tmp_path, _recipe(rl={**begun, **settings}))
        return
    done.check_same_recipe(tmp_path, _recipe(rl={**begun, **settings}))
    assert done.begun_with(tmp_path, "rl") == inputs


def test_the_recipe_of_a_folder_that_cannot_be_understood_is_said(tmp_path):
    done.check_same_recipe(tmp_path, _recipe())
    path = tmp_path / "recipe.json"
    path.write_text(path.read_text().replace('"epochs"', '"epoch"'))
    with pytest.raises(
        InputError, match=r"recipe\.json: not a recipe of this version \(sft\.epoch"
    ):
        done.check_same_recipe(tmp_path, _recipe())


def test_a_stage_alone_needs_the_one_before(tmp_path):
    pipeline, _ = _pipeline(_recipe(), tmp_path)
    with pytest.raises(InputError, match="not made yet; `spa-bench train selfplay"):
        pipeline.run("sft")
    assert not (tmp_path / "sft").exists()  # it can be begun once there are rows
    with pytest.raises(InputError, match="no stage 'rl'"):
        pipeline.run("rl")


def test_a_child_keeps_its_parents_boards_and_stages(trained, tmp_path):
    made, _ = trained
    recipe = _recipe(
        recipe="child",
        nano=None,
        model=str(made),
        selfplay={**PLAY, "seeds": "50000-60000", "boards": 4},
    )
    child = _pipeline(recipe, tmp_path)[0].run()
    card = read_card(child)
    assert card.parent == "tiny"
    assert str(made.parent) not in (child / "spa_bench.json").read_text()
    assert [s["stage"].partition("/")[0] for s in card.stages] == ["tiny", "tiny", "child", "child"]
    mine, parents = read_boards(child), read_boards(made)
    assert parents["frozenlake/4x4/ragen"] < mine["frozenlake/4x4/ragen"]


def test_a_model_that_never_follows_the_format_is_explained(tmp_path, trained):
    fresh = trained[0].parent / "start"
    recipe = _recipe(
        recipe="wild",
        nano=None,
        model=str(fresh),
        selfplay={**PLAY, "player": "model", "boards": 2},
    )
    tasks = selfplay.training_tasks(recipe.selfplay, Registry())
    with pytest.raises(InputError) as raised:
        _pipeline(recipe, tmp_path)[0].run()
    said = str(raised.value)
    assert "no turn can be learnt from" in said
    assert "do not follow the format" in said
    assert tasks[0].config.task in said


def test_rows_that_are_too_long_are_counted(tmp_path):
    pipeline, said = _pipeline(_recipe(sft={**TUNE, "max_length": 300}), tmp_path)
    pipeline.run()
    lines = "\n".join(said)
    count = re.search(r"sft: (\d+) of (\d+) rows left out: longer than max_length", lines)
    learnt = re.search(r"sft: (\d+) rows in", lines)
    assert count
    assert learnt
    assert 0 < int(count[1]) == int(count[2]) - int(learnt[1])


def test_a_play_of_which_episodes_broke_is_not_done(tmp_path, monkeypatch):
    reply, calls = RandomPlayer.generate, iter(range(10**6))

    async def sometimes(self, request):
        if next(calls) == 3:
            raise ModelError("503")
        return await reply(self, request)

    pipeline, said = _pipeline(_recipe(), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(RandomPlayer, "generate", sometimes)
        with pytest.raises(SpaBenchError, match="selfplay: 1 episode broke; the same command"):
            pipeline.run("selfplay")
    assert done.record_of(tmp_path / "selfplay") is None
    pipeline.run("selfplay")
    assert done.record_of(tmp_path / "selfplay")["report"]["turns"] > 0
    assert not any("already done" in line for line in said)


def test_rows_do_not_depend_on_which_episode_ended_first(tmp_path):
    settings = selfplay.SelfPlaySettings(
        tasks=["sokoban_wm"], boards=3, repeats=6, player="random", leave_out=[]
    )
    registry = Registry()
    tasks = selfplay.training_tasks(settings, registry)
    play = selfplay.play(RandomPlayer("random", [1]), settings, tasks, tmp_path, Silent())
    asyncio.run(play)
    found = [selfplay.make_rows(settings, tasks, tmp_path, registry)[0]]
    log = tmp_path / "episodes.jsonl"
    log.write_text("".join(reversed(log.read_text().splitlines(keepends=True))))
    found.append(selfplay.make_rows(settings, tasks, tmp_path, registry)[0])
    assert len(found[0]) < 3 * 6 * 5  # some are equal, and one of them is kept
    assert found[0] == found[1]


@pytest.mark.parametrize(  # in the first epoch, and near the end of the second
    ("muon", "last"),
    [
        ({}, 5),
        ({"muon_lr": 0.01}, -2),
        pytest.param({}, -2, marks=pytest.mark.slow),
        pytest.param({"muon_lr": 0.01}, 5, marks=pytest.mark.slow),
    ],
)
def test_training_goes_on_where_it_was_cut_off(trained, tmp_path, monkeypatch, muon, last):
    """Cut off after a checkpoint and started again, it ends with the same weights."""
    import torch
    import transformers

    def run(output):
        recipe = _recipe(sft={**TUNE, **muon, "epochs": 2, "save_every": 2})
        return _pipeline(recipe, output)[0].run()

    whole = transformers.AutoModelForCausalLM.from_pretrained(run(tmp_path / "whole"))

    class Cut(Exception):
        pass

    step = transformers.TrainerCallback.on_step_end

    def cut(self, args, state, control, **_):
        if state.global_step == last % (state.max_steps + 1):
            raise Cut

    monkeypatch.setattr(transformers.TrainerCallback, "on_step_end", cut)
    with pytest.raises(Cut):
        run(tmp_path / "cut")
    torn = tmp_path / "cut" / "sft" / "checkpoints" / "checkpoint-999"  # cut off while it was saved
    torn.mkdir()
    (torn / "config.json").write_text("{}")
    monkeypatch.setattr(transformers.TrainerCallback, "on_step_end", step)
    resumed = transformers.AutoModelForCausalLM.from_pretrained(run(tmp_path / "cut"))
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    lines = (tmp_path / "cut" / "sft" / "log.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines if '"loss"' in line]
    assert steps == list(range(1, len(steps) + 1))


EXAMPLES = [Example([5, 6, 7, 8 + i % 3], [-100, 6, 7, 8 + i % 3]) for i in range(8)]


def _fine_tune(trained, folder, **changes):
    start = checkpoint.load(str(trained[0].parent / "start"))
    settings = sft.SftSettings.model_validate({**TUNE, "batch_size": 1, **changes})
    return sft.fine_tune(start.model, start.tokenizer, EXAMPLES, settings, folder)


def _step_losses(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_the_loss_of_a_resumed_training_is_the_mean_over_the_steps_it_ran(
    trained, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(TrainerCallback, "on_save", _cut_off)
        with pytest.raises(KeyboardInterrupt):
            _fine_tune(trained, tmp_path, save_every=6)
    _, report = _fine_tune(trained, tmp_path, save_every=6)
    assert (report.steps, report.ran) == (8, 2)
    assert report.loss == pytest.approx(sum(_step_losses(tmp_path)[6:]) / 2, rel=1e-3)


def test_a_training_that_was_cut_off_after_its_last_step_takes_no_other(
    trained, tmp_path, monkeypatch
):
    whole, _ = _fine_tune(trained, tmp_path / "whole", epochs=0.5)
    with monkeypatch.context() as patch:
        patch.setattr(TrainerCallback, "on_save", _cut_off)
        with pytest.raises(KeyboardInterrupt):
            _fine_tune(trained, tmp_path / "cut", epochs=0.5)
    resumed, report = _fine_tune(trained, tmp_path / "cut", epochs=0.5)
    assert (report.steps, report.ran, report.loss) == (4, 0, None)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_training_that_goes_on_with_smaller_batches_ends_with_the_same_weights(
    trained, tmp_path, monkeypatch
):
    whole, _ = _fine_tune(trained, tmp_path / "whole", batch_size=2, save_every=2)
    with monkeypatch.context() as patch:
        patch.setattr(TrainerCallback, "on_save", _cut_off)
        with pytest.raises(KeyboardInterrupt):
            _fine_tune(trained, tmp_path / "cut", batch_size=2, save_every=2)
    resumed, report = _fine_tune(
        trained, tmp_path / "cut", batch_size=1, accumulate=2, gradient_checkpointing=True
    )
    assert (report.steps, report.ran) == (4, 2)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_training_on_a_full_disk_goes_on_when_there_is_room(trained, tmp_path, full_disk):
    with full_disk(50_000), pytest.raises(TrainingError, match=r"sft: cannot be written .* free"):
        _fine_tune(trained, tmp_path / "sft")
    assert _fine_tune(trained, tmp_path / "sft")[1].ran == 8


def _cut_off(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("tied", [False, True])
def test_a_merged_adapter_of_the_first_layer_leaves_the_last_as_it_was(tied):
    import torch
    from hf_tiny import model

    from spa_trainers.sft import Lora, lora_layers, merged

    live, ids = model(tie_word_embeddings=tied), torch.arange(3, 40)[None]
    live = lora_layers(live, Lora(rank=2, targets=["embed_tokens", "q_proj"])).eval()
    for name, weight in live.named_parameters():
        if "lora_embedding_A" in name or "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    with torch.no_grad():
        before = live(input_ids=ids).logits
        after = merged(live)(input_ids=ids).logits
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("targets", [["lm_head"], ".*(lm_head|q_proj)"])
def test_an_adapter_of_the_last_layer_is_refused_in_one_line(trained, tmp_path, targets):
    says = r"^sft\.lora\.targets: TRL trains no adapter of the last layer, lm_head$"
    with pytest.raises(InputError, match=says):
        _fine_tune(trained, tmp_path, lora={"rank": 2, "targets": targets})


@pytest.mark.parametrize("stage", ["selfplay", "rl"])
def test_a_task_with_a_window_of_history_is_not_trained_on(stage, tmp_path):
    file = tmp_path / "window.yaml"
    parent = builtin_tasks_folder() / "frozenlake" / "frozenlake_wm.yaml"
    file.write_text(f"task: window\ninclude: {parent}\nhistory: 2\n")
    changed = {"tasks": [str(file)]}
    if stage == "selfplay":
        recipe = _recipe(selfplay={**PLAY, **changed}, sft=TUNE)
    else:
        rl = {"algorithm": "ppo", **changed}
        recipe = Recipe.model_validate(
            {"recipe": "tiny", "method": "vanilla", "model": "checkpoints/x", "rl": rl}
        )
    with pytest.raises(InputError, match="window sends 2 turns of its history"):
        _pipeline(recipe, tmp_path / "out")[0].run()


@pytest.mark.parametrize("muon", [{}, {"muon_lr": 0.01}])
def test_infinite_gradients_are_skipped_and_three_in_a_row_end_it(trained, tmp_path, muon):
    import torch

    from spa_trainers import checkpoint
    from spa_trainers.tokens import Example

    start = checkpoint.load(str(trained[0]))
    examples = [Example([5, 6, 7, 8], [-100, 6, 7, 8])] * 8
    before = [p.detach().clone() for p in start.model.parameters()]

    def poison(gradient):
        return gradient * float("nan")

    start.model.model.embed_tokens.weight.register_hook(poison)
    settings = sft.SftSettings.model_validate({**TUNE, **muon, "batch_size": 1})
    with pytest.raises(TrainingError, match=r"3 steps in a row.* No checkpoint had been saved"):
        sft.fine_tune(start.model, start.tokenizer, examples, settings, tmp_path)
    for a, b in zip(before, start.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_lora_trains_little_and_saves_a_whole_model(trained, tmp_path):
    made, _ = trained
    recipe = _recipe(recipe="low", nano=None, model=str(made), sft={**TUNE, "lora": {"rank": 2}})
    child = _pipeline(recipe, tmp_path)[0].run()
    assert (child / "model.safetensors").is_file()
    assert not (child / "adapter_config.json").exists()
    assert json.loads((child / "config.json").read_text())["model_type"] == "llama"


def test_the_command_says_what_is_wrong_in_one_line(capsys):
    for arguments, says in [
        (["train", "nano-base-sokobn"], "did you mean nano-base-sokoban"),
        (["train", "sftt", "nano-base-sokoban"], "write [selfplay|sft|rl] RECIPE"),
        (["train", "curves"], "train curves: of which training?"),
        (["train", "curves", "x", "--set", "a=b"], "train curves: only draws what there is"),
        (["train", "nano-spa-sokoban", "--set", "model=/no/model"], "begins with /no/model, which"),
        (["train", "nano-base-sokoban", "--set", "sft.epoch=1"], "did you mean epochs"),
    ]:
        with pytest.raises(SystemExit) as raised:
            main(arguments)
        assert raised.value.code == 2
        said = capsys.readouterr().err
        assert says in said
        assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("play", "says"),
    [
        ({"leave_out": ["nope"]}, "unknown task 'nope'"),
        ({"tasks": ["frozenlake_wm", "frozenlake_answer"]}, "replies begin differently"),
    ],
)
def test_play_that_could_not_be_trained_on_is_refused_before_it_is_played(tmp_path, play, says):
    pipeline, _ = _pipeline(_recipe(selfplay={**PLAY, **play}), tmp_path / "out")
    with pytest.raises(InputError, match=says):
        pipeline.run()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("play", "says"),
    [
        ({"player": "model", "actions_a_turn": [1]}, "actions_a_turn is for player: random"),
        ({"player": "model", "expects": "any", "beliefs": "own"}, "expects is for player: random"),
        ({"player": "random", "expects": "any"}, "expects is for beliefs: own"),
    ],
)
def test_settings_of_play_that_nothing_would_heed_are_refused(play, says):
    with pytest.raises(ValidationError, match=says):
        selfplay.SelfPlaySettings.model_validate({"tasks": ["frozenlake_wm"], **play})
    spoken = {"player": "random", "expects": "any", "beliefs": "own", "actions_a_turn": [1]}
    assert selfplay.SelfPlaySettings.model_validate({"tasks": ["frozenlake_wm"], **spoken})


def test_beliefs_that_no_reply_states_are_not_rewarded(tmp_path):
    rl = {"tasks": ["frozenlake"], "steps": 0, "reward": {"beliefs": 0.5}}
    with pytest.raises(InputError, match=r"rl\.reward\.beliefs: replies of frozenlake state no"):
        _pipeline(_recipe(rl=rl), tmp_path / "out")[0].run()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("nano", "says"),
    [
        ({"tasks": ["nope"]}, "unknown task 'nope'"),
        ({"heads": 3}, "hidden 16 must be an even multiple of heads 3"),
        ({"hidden": 0}, "greater than or equal to 2"),
    ],
)
def test_a_model_that_cannot_be_made_is_refused_before_any_play(tmp_path, nano, says):
    with pytest.raises((InputError, ValidationError), match=says):
        _pipeline(_recipe(nano={**NANO, **nano}), tmp_path / "out")[0].run()
    assert not (tmp_path / "out").exists()


def test_a_world_whose_states_cannot_be_told_is_refused_before_any_play(tmp_path):
    (tmp_path / "gym.yaml").write_text(
        f"task: gym\ninclude: {builtin_tasks_folder()}/_episode.yaml\nobservation: grid\n"
        "environment: {name: gymnasium, id: FrozenLake-v1, render_mode: ansi}\n"
        "limits: {turns: 5, actions_per_turn: 5, actions: 20, new_tokens: 200}\n"
        "instances: {split: all, seeds: 0-3}\nprompt: {instruction: Reach G.}\n"
    )
    recipe = _recipe(selfplay={**PLAY, "tasks": ["gym"]})
    registry = Registry.with_paths([tmp_path])
    with pytest.raises(InputError, match="the world of gym cannot list what its actions lead to"):
        Pipeline(recipe, tmp_path / "out", registry, Silent(), lambda _: None).run()


def test_reinforcement_before_fine_tuning_says_what_is_missing(tmp_path):
    rl = {"tasks": ["frozenlake"], "steps": 1}
    with pytest.raises(InputError, match="tiny-sft: not made yet; `spa-bench train sft"):
        _pipeline(_recipe(rl=rl), tmp_path / "out")[0].run("rl")


def test_running_out_of_memory_is_one_line(trained, tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trl.SFTTrainer, "train", full)
    with pytest.raises(TrainingError, match="out of memory with 4 sequences at a time"):
        _pipeline(_recipe(), tmp_path)[0].run()


def test_an_adapter_of_layers_that_are_not_there_is_said(trained, tmp_path):
    recipe = _recipe(sft={**TUNE, "lora": {"targets": ["nope"]}})
    with pytest.raises(InputError, match=r"sft\.lora\.targets: .*nope"):
        _pipeline(recipe, tmp_path)[0].run()


def test_the_models_own_window_bounds_rows_as_well(tmp_path):
    pipeline, said = _pipeline(_recipe(nano={**NANO, "context": 300}), tmp_path)
    pipeline.run()
    assert any("longer than the model's own window, 300 tokens" in line for line in said)


def test_a_task_that_samples_colder_than_it_would_be_trained_is_refused(tmp_path, capsys):
    folder = tmp_path / "tasks"
    folder.mkdir()
    base = Path(__file__).parents[2] / "tasks" / "frozenlake" / "frozenlake.yaml"
    (folder / "cold.yaml").write_text(
        f"include: {base}\ntask: cold\nsampling: {{temperature: 0.7}}\n"
    )
    command = ["train", "nano-state-estimation-frozenlake", "--set", "rl.tasks=[cold]"]
    with pytest.raises(SystemExit):
        main([*command, "--include-path", str(folder), "--output", str(tmp_path / "out")])
    assert "cold samples at temperature 0.7 and top_p 1; both must be 1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_evaluation_says_how_many_boards_were_trained_on(trained, tmp_path):
    made, _ = trained
    notes = []

    class Notes(Silent):
        def note(self, message):
            notes.append(message)

    task = selfplay.training_tasks(_recipe().selfplay, Registry())[0]
    spa_bench.evaluate(
        str(made), [task], output=tmp_path / "a", limit=2, repeats=1, progress=Notes()
    )
    assert notes == ["frozenlake_wm*: the model was trained on 2 of this run's 2 boards"]
    spa_bench.evaluate(str(made), "frozenlake", output=tmp_path / "b", limit=1, repeats=1)
    run = json.loads((tmp_path / "b" / "run.json").read_text())
    assert run["tasks"][0]["trained_on"] == 0


def test_two_trainings_do_not_share_a_folder(trained, tmp_path):
    with done.held(tmp_path), pytest.raises(InputError, match="another training is at work"):
        _pipeline(_recipe(), tmp_path)[0].run()


def test_without_locks_a_training_goes_on_and_says_so(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    pipeline, said = _pipeline(_recipe(), tmp_path)
    pipeline.run("selfplay")
    assert said[0] == f"{tmp_path}: {NO_LOCKS}"


def test_a_start_that_was_cut_off_is_made_anew(tmp_path, monkeypatch):
    pipeline = _pipeline(_recipe(), tmp_path)[0]

    def cut_off(folder, *_):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", cut_off)
        with pytest.raises(KeyboardInterrupt):
            pipeline.run()
    checkpoint.load(pipeline._start_path())
