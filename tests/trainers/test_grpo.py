"""GRPO through TRL: what TRL trains on is what was played; its `rollout_func` is what we think."""

import json
import math
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config

from spa_bench.checkpoint import read_boards, read_card
from spa_bench.errors import InputError
from spa_bench.registry import Registry
from spa_bench.run import Silent
from spa_bench.task_file import builtin_tasks_folder
from spa_trainers import grpo_settings
from spa_trainers.boards import TRAINING_SEEDS, held_out_task, training_task
from spa_trainers.errors import TrainingError
from spa_trainers.grpo import Grpo, as_trl
from spa_trainers.grpo_settings import GrpoSettings
from spa_trainers.nano.model import NanoConfig, make_model
from spa_trainers.nano.tokenizer import make_tokenizer
from spa_trainers.pipeline import Pipeline
from spa_trainers.play import Player
from spa_trainers.recipe import Recipe, find_recipe, load_recipe
from spa_trainers.step_log import read

SMALL = {"tasks": ["frozenlake"], "steps": 3, "boards": 3, "repeats": 3, "pool": 20}
SMALL |= {"learning_rate": 1e-3, "evaluate_every": 2, "evaluate_boards": 2, "evaluate_repeats": 2}
SMALL |= {"save_every": 1, "microbatch": 4, "batch_size": 16, "leave_out": [], "entropy": 0.0}


@pytest.fixture(scope="module")
def task():
    found = Registry().resolve(["frozenlake"])[0]
    limits = found.config.limits.model_copy(update={"new_tokens": 20, "turns": 3})
    found = replace(found, config=found.config.model_copy(update={"limits": limits}))
    return training_task(found, seeds=TRAINING_SEEDS, boards=20)


@pytest.fixture(scope="module")
def tokenizer(task):
    return make_tokenizer([task], 20, 1024)


@pytest.fixture
def make(task, tokenizer, tmp_path):
    """Returns a function that makes a training of a fresh model, in a folder of its name."""

    def made(folder="grpo", **changes):
        settings = GrpoSettings.model_validate({**SMALL, **changes})
        small = {"hidden": 16, "layers": 2, "heads": 2, "feed_forward": 32, "context": 1024}
        model = make_model(NanoConfig(tasks=["frozenlake"], **small), tokenizer)
        held_out = held_out_task(task, boards=2)
        player = Player(settings, tokenizer, [task], [held_out], frozenset())
        return Grpo(settings, model, player, tmp_path / folder, lambda _: None)

    return made


def _weights(model):
    return [p.detach().clone() for p in model.parameters()]


def _rewarded(monkeypatch, reward):
    """Gives each trajectory the reward that `reward` returns for its number."""
    played = Player.rollouts

    def rollouts(*arguments):
        found = played(*arguments)
        return [
            replace(t, rewards=(0.0,) * (len(t.turns) - 1) + (reward(i),))
            for i, t in enumerate(found)
        ]

    monkeypatch.setattr(Player, "rollouts", rollouts)


def _first(t, turns):
    """Returns the first turns of a trajectory."""
    end = t.turns[turns - 1][1]
    return replace(
        t,
        ids=t.ids[:end],
        turns=t.turns[:turns],
        logprobs=t.logprobs[: sum(end - start for start, end in t.turns[:turns])],
        rewards=t.rewards[-turns:],
        episode=replace(t.episode, turns=t.episode.turns[:turns]),
    )


def _prepare(grpo):
    """Returns what TRL makes of the first step."""
    grpo.trainer.model.train()
    rows = [{"prompt": str(group)} for group in range(3) for _ in range(3)]
    return grpo.trainer._generate_and_score_completions(rows)


@pytest.fixture
def prepared(make, monkeypatch):
    """A training, the trajectories of its first step, of one to three turns, and TRL's batch."""
    _rewarded(monkeypatch, lambda i: float(i % 3 == 2))
    grpo, seen = make(), []
    rollouts = grpo.player.rollouts

    def rollouts_seen(*arguments):
        seen.extend(_first(t, 1 + i % 3) for i, t in enumerate(rollouts(*arguments)))
        return list(seen)

    grpo.player.rollouts = rollouts_seen
    return grpo, seen, _prepare(grpo)


# -- what TRL trains on ---------------------------------------------------------------------------


def test_trained_ids_are_the_sampled_ids_and_the_mask_marks_them_alone(prepared):
    _, trajectories, batch = prepared
    trained = (batch["completion_mask"] * batch["tool_mask"]).bool()
    assert [len(t.turns) for t in trajectories] == [1, 2, 3] * 3
    for row, t in enumerate(trajectories):
        sampled = [i for turn in t.episode.turns for i in turn.tokens.completion_ids]
        assert batch["completion_ids"][row][trained[row]].tolist() == sampled
        whole = [
            batch[f"{part}_ids"][row][batch[f"{part}_mask"][row].bool()].tolist()
            for part in ("prompt", "completion")
        ]
        assert whole[0] + whole[1] == list(t.ids)
        places = trained[row].nonzero().flatten() + len(whole[0])
        assert places.tolist() == [i for start, end in t.turns for i in range(start, end)]


def test_recomputed_logprobs_equal_the_rollouts(prepared):
    grpo, _, batch = prepared
    trainer = grpo.trainer
    with torch.no_grad():
        found, _, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model,
            torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
            torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1),
            batch["completion_ids"].shape[1],
        )
    trained = (batch["completion_mask"] * batch["tool_mask"]).bool()
    assert float((found - batch["sampling_per_token_logps"]).abs()[trained].max()) < 1e-4


def test_advantages_are_those_of_the_group(prepared):
    _, trajectories, batch = prepared
    rewards = torch.tensor([t.reward for t in trajectories]).view(3, 3)
    expected = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    torch.testing.assert_close(batch["advantages"], expected.flatten())


def test_the_loss_is_the_mean_over_sampled_tokens_alone(prepared):
    """At the first update the ratio is one, so the loss is known: what was masked has no part."""
    grpo, trajectories, batch = prepared
    grpo.trainer.current_gradient_accumulation_steps = grpo.trainer.args.steps_per_generation
    lengths = torch.tensor([len(t.logprobs) for t in trajectories])
    expected = -(batch["advantages"] * lengths).sum() / lengths.sum()
    found = grpo.trainer._compute_loss(grpo.trainer.model, batch)
    assert float(found.detach()) == pytest.approx(float(expected), abs=1e-5)
    assert abs(float(expected)) > 1e-3


def test_a_trajectory_ends_on_a_sampled_token(prepared):
    """A last turn for which the window had no room adds nothing."""
    t = prepared[1][0]
    longer = replace(t, ids=(*t.ids, 1, 2, 3), turns=(*t.turns, (len(t.ids) + 3, len(t.ids) + 3)))
    assert as_trl(longer, 0) == as_trl(t, 0)


def test_an_episode_without_a_token_is_not_learnt_from(make, monkeypatch):
    _rewarded(monkeypatch, lambda i: float(i % 3))
    grpo = make()
    rollouts = grpo.player.rollouts
    grpo.player.rollouts = lambda *arguments: [None, *rollouts(*arguments)[1:]]
    batch = _prepare(grpo)
    assert batch["advantages"][:3].tolist() == pytest.approx([0, -0.707, 0.707], abs=1e-3)
    assert int((batch["completion_mask"] * batch["tool_mask"])[0].sum()) == 0


# -- what TRL asks for, and whether that is heeded ------------------------------------------------


def test_trl_asks_for_each_step_whole_group_by_group(make):
    grpo, asked = make(epochs=2, minibatches=3), []

    def rollout(prompts, trainer):
        asked.append(list(prompts))
        assert trainer is grpo.trainer
        return Grpo.rollout(grpo, prompts, trainer)

    grpo.rollout = rollout
    grpo.run()
    groups = [[3 * step + i for i in range(3) for _ in range(3)] for step in range(3)]
    assert asked == [list(map(str, of_step)) for of_step in groups]


def test_a_trl_that_asks_for_something_else_is_refused(make):
    grpo = make()
    with pytest.raises(TrainingError, match=r"whole step.*trl 1\.16 does"):
        grpo.rollout(["0", "1", "2"], grpo.trainer)


def test_a_trl_that_does_not_heed_the_mask_is_refused(make):
    grpo = make()

    def rollout(prompts, trainer):
        found = Grpo.rollout(grpo, prompts, trainer)
        return {"mask" if name == "env_mask" else name: found[name] for name in found}

    grpo.rollout = rollout
    with pytest.raises(TrainingError, match="does not heed env_mask"):
        grpo.run()


def test_another_trl_is_refused_before_anything_is_played(make, monkeypatch, tmp_path):
    monkeypatch.setattr(grpo_settings, "version", lambda _: "1.17.0")
    told = r"needs trl 1\.16, there is 1\.17\.0"
    with pytest.raises(InputError, match=told):
        make().run()
    recipe = load_recipe(find_recipe("nano-grpo-frozenlake"))
    with pytest.raises(InputError, match=told):
        Pipeline(recipe, tmp_path / "new", Registry(), Silent(), print).run()
    assert not (tmp_path / "new").exists()


def test_a_model_that_reads_otherwise_behind_padding_is_refused(make):
    training = make()
    config = GPT2Config(vocab_size=len(training.player.tokenizer), n_embd=16, n_layer=2, n_head=2)
    training.model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(InputError, match="positions are counted from the padding"):
        _ = training.trainer


def test_the_longest_episode_is_of_the_tokens_that_a_recipe_allows(make):
    assert make("as", loss="dr_grpo").trainer.args.max_completion_length == 60
    made = make("less", loss="dr_grpo", new_tokens=4)
    assert made.trainer.args.max_completion_length == 12


def test_several_processes_are_refused(make, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="GRPO runs in one process"):
        make().run()


@pytest.mark.parametrize("key", ["prompt_ids", "completion_ids", "logprobs"])
def test_trl_needs_these_keys(make, key):
    grpo = make()

    def rollout(prompts, trainer):
        found = Grpo.rollout(grpo, prompts, trainer)
        del found[key]
        return found

    grpo.rollout = rollout
    with pytest.raises(ValueError, match=f"must return keys \\['{key}'\\]"):
        _prepare(grpo)


# -- training -------------------------------------------------------------------------------------


def test_a_step_changes_weights_and_learning_rate_zero_does_not(make, monkeypatch):
    _rewarded(monkeypatch, lambda i: float(i % 3))
    for rate, same in ((1e-3, False), (0.0, True)):
        grpo = make(str(rate), steps=1, learning_rate=rate)
        before = _weights(grpo.model)
        model, report = grpo.run()
        assert model is grpo.model
        assert (report["steps"], report["episodes"]) == (1, 9)
        assert all(map(torch.equal, before, model.parameters())) == same


@pytest.mark.parametrize("decay", [0.0, 0.7])
def test_every_update_takes_the_rate_of_ppo(make, monkeypatch, decay):
    _rewarded(monkeypatch, lambda i: float(i % 3))
    grpo = make(steps=3, decay=decay, learning_rate=1e-3)
    taken = []
    grpo.trainer.create_optimizer_and_scheduler(num_training_steps=3)
    step = grpo.trainer.optimizer.step

    def note(*args, **kwargs):
        taken.append(grpo.trainer.optimizer.param_groups[0]["lr"])
        return step(*args, **kwargs)

    grpo.trainer.optimizer.step = note
    grpo.run()
    assert taken == pytest.approx([1e-3 * grpo.settings.rate(step) for step in range(3)])


def test_rewards_that_are_all_equal_teach_nothing_and_say_so(make, monkeypatch):
    _rewarded(monkeypatch, lambda _: 1.0)
    grpo = make(steps=1)
    before = _weights(grpo.model)
    grpo.run()
    assert all(map(torch.equal, before, grpo.model.parameters()))
    assert read(grpo.folder)[-1]["kept"] == 0


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_kept_is_the_share_of_groups_with_spread_however_advantages_are_scaled(
    make, monkeypatch, scale
):
    _rewarded(monkeypatch, lambda i: float(i == 0))
    grpo = make(steps=1, scale_rewards=scale)
    grpo.run()
    assert read(grpo.folder)[-1]["kept"] == pytest.approx(1 / 3, abs=1e-6)


def test_training_makes_good_tokens_likelier(make, monkeypatch):
    """One step's episodes again and again, every third of them rewarded."""
    _rewarded(monkeypatch, lambda i: float(i % 3 == 0))
    grpo = make(steps=1, epochs=8)
    before = grpo.player.rollouts(grpo.policy, grpo.player.specs(0))
    grpo.run()
    changes = []
    for t in before:
        with torch.no_grad():
            spread = grpo.model(torch.tensor([t.ids])).logits[0].log_softmax(-1)
        places = torch.tensor([i for start, end in t.turns for i in range(start, end)])
        now = spread[places - 1].gather(1, torch.tensor(t.ids)[places][:, None])
        changes.append(float(now.mean()) - sum(t.logprobs) / len(t.logprobs))
    good = sum(changes[::3]) / 3
    assert good > (sum(changes) - 3 * good) / 6


def test_a_line_a_step_with_held_out_boards_measured(make):
    grpo = make(minibatches=3)
    grpo.run()
    lines = read(grpo.folder)
    assert [line["step"] for line in lines] == [0, 1, 2, 3]
    assert [("frozenlake/pass@2" in line) for line in lines] == [True, False, True, True]
    of_ppo = {"reward", "reward_spread", "success", "format", "cut_off", "reply_tokens", "turns"}
    of_ppo |= {"episodes", "actions", "tokens", "kept", "entropy", "policy_loss", "clipped"}
    of_ppo |= {"actor_gradient", "updates", "skipped", "rollout_seconds", "update_seconds"}
    assert of_ppo <= set(lines[1])
    assert [line["updates"] for line in lines[1:]] == [3, 3, 3]


@pytest.mark.parametrize(
    "muon",
    [
        pytest.param({}, id="adam", marks=pytest.mark.slow),
        pytest.param({"muon_lr": 0.01}, id="muon"),  # Adam has a part in it, too
    ],
)
def test_a_run_that_was_cut_off_goes_on_exactly(make, muon):
    whole = make("whole", **muon)
    whole.run()

    class Cut(Exception):
        pass

    first = make("cut", **muon)
    specs = first.player.specs

    def cut(step):
        if step == 2:
            raise Cut
        return specs(step)

    first.player.specs = cut
    with pytest.raises(Cut):
        first.run()
    second = make("cut", **muon)
    second.run()
    assert all(map(torch.equal, whole.model.parameters(), second.model.parameters()))
    assert _untimed(whole.folder) == _untimed(second.folder)
    assert whole.boards_seen == second.boards_seen
    # and one that had ended, but was not told so, ends again
    third = make("cut", **muon)
    third.run()
    assert all(map(torch.equal, whole.model.parameters(), third.model.parameters()))


def test_an_adapter_of_the_last_layer_is_refused_in_one_line(make):
    says = r"^rl\.lora\.targets: TRL trains no adapter of the last layer, lm_head$"
    with pytest.raises(InputError, match=says):
        make(lora={"rank": 2, "targets": ["lm_head"]}).run()


def test_a_run_that_goes_on_with_smaller_microbatches_ends_with_the_same_weights(make, monkeypatch):
    _rewarded(monkeypatch, lambda i: float(i % 3))
    whole = make("whole", steps=2)
    before = _weights(whole.model)
    whole.run()
    assert not all(map(torch.equal, before, whole.model.parameters()))
    make("cut", steps=1).run()
    second = make("cut", steps=2, microbatch=1)
    assert second.settings.trajectories < whole.settings.trajectories
    second.run()
    for one, other in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def _untimed(folder):
    return [{k: v for k, v in line.items() if not k.endswith("_seconds")} for line in read(folder)]


def test_gradients_that_are_no_numbers_are_skipped_then_end_the_training(make, monkeypatch):
    _rewarded(monkeypatch, lambda i: float(i % 3))
    grpo = make(steps=5)
    before = _weights(grpo.model)
    next(grpo.model.parameters()).register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(TrainingError, match="3 updates in a row"):
        grpo.run()
    assert all(map(torch.equal, before, grpo.model.parameters()))
    assert [line["skipped"] for line in read(grpo.folder)[1:]] == [1, 1, 1]


# -- settings and recipes -------------------------------------------------------------------------


def test_forward_passes_are_equal_parts_of_an_update():
    def trajectories(**changes):
        return GrpoSettings.model_validate({**SMALL, **changes}).trajectories

    assert trajectories(microbatch=4) == 3
    assert trajectories(microbatch=100) == 9
    assert trajectories(microbatch=100, minibatches=3) == 3
    assert trajectories(boards=32, repeats=8, microbatch=16) == 16


RECIPE = "recipe: mine\nmethod: vanilla\nmodel: m\nrl:\n  tasks: [frozenlake]\n"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("  algorithm: reinforce\n", r"mine.yaml:4: rl: algorithm is one of ppo, grpo"),
        ("  algorithm: grpo\n  actor_lr: 1\n", r"mine.yaml:7: unknown key 'rl.actor_lr'"),
        ("  algorithm: grpo\n  los: grpo\n", r"'rl.los' \(did you mean loss"),
        ("  algorithm: grpo\n  clip_low: x\n", r"mine.yaml:7: rl.clip_low: "),
        ("  algorithm: grpo\n  minibatches: 3\n", "32 boards x 8 repeats do not make 3"),
        ("  loss: grpo\n", r"mine.yaml:6: unknown key 'rl.loss'"),
    ],
)
def test_what_is_wrong_with_a_section_rl_is_said(tmp_path, more, says):
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE + more)
    with pytest.raises(InputError, match=says):
        load_recipe(path)


def test_a_section_rl_is_ppo_unless_it_says_grpo(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE)
    assert load_recipe(path).rl.algorithm == "ppo"
    chosen = load_recipe(path, ["rl.algorithm=grpo"])
    assert isinstance(chosen.rl, GrpoSettings)
    again = Recipe.model_validate_json(chosen.model_dump_json())
    assert again == chosen


@pytest.mark.parametrize(
    "changes",
    [pytest.param({"kl": 0.01}, marks=pytest.mark.slow), {"kl": 0.01, "lora": {"rank": 2}}],
)
def test_a_recipe_with_grpo_ends_in_a_checkpoint(tmp_path, changes):
    whole = builtin_tasks_folder() / "frozenlake" / "frozenlake.yaml"
    (tmp_path / "brief.yaml").write_text(
        f"include: {whole}\ntask: brief\nlimits: {{turns: 2, new_tokens: 10}}\n"
    )
    registry = Registry.with_paths([tmp_path])
    nano = {"tasks": ["frozenlake"], "boards": 20, "hidden": 16, "layers": 1, "heads": 2}
    recipe = Recipe.model_validate(
        {
            "recipe": "tiny-grpo",
            "method": "vanilla",
            "nano": {**nano, "feed_forward": 32},
            "rl": {**SMALL, "algorithm": "grpo", "tasks": ["brief"], "entropy": 0.1, **changes},
        }
    )
    output = tmp_path / "out"
    made = Pipeline(recipe, output, registry, Silent(), lambda _: None).run()
    card = read_card(made)
    assert [stage["stage"] for stage in card.stages] == ["tiny-grpo/rl"]
    assert json.loads(card.model_dump_json())["settings"]["rl"]["algorithm"] == "grpo"
    assert read_boards(made)
    start, end = (
        AutoModelForCausalLM.from_pretrained(folder) for folder in (output / "start", made)
    )
    assert list(start.state_dict()) == list(end.state_dict())
    assert not all(map(torch.equal, start.parameters(), end.parameters()))
    assert read(output)[-1]["kl"] > 0
    again = []
    assert Pipeline(recipe, output, registry, Silent(), again.append).run() == made
    assert all("already done" in said for said in again)
