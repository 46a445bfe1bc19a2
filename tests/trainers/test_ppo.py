"""Multi-turn PPO: trained ids are sampled ids, log-probabilities agree, runs go on exactly."""

import asyncio
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import GraniteConfig, GraniteForCausalLM

from spa_bench.checkpoint import read_boards, read_card
from spa_bench.errors import InputError
from spa_bench.models import hf
from spa_bench.models.hf_template import Template
from spa_bench.registry import Registry
from spa_bench.run import Silent
from spa_bench.runner.episode import EpisodeSpec, play
from spa_trainers import checkpoint, done
from spa_trainers.actor_critic import ActorCritic
from spa_trainers.boards import TRAINING_SEEDS, held_out_task, training_task
from spa_trainers.errors import TrainingError
from spa_trainers.learner import Learner, advantages_of
from spa_trainers.loss_spans import everything
from spa_trainers.nano.model import NanoConfig, make_model
from spa_trainers.nano.tokenizer import make_tokenizer
from spa_trainers.pipeline import Pipeline
from spa_trainers.play import Player
from spa_trainers.ppo import Ppo
from spa_trainers.ppo_settings import PpoSettings
from spa_trainers.processes import Processes
from spa_trainers.recipe import Recipe
from spa_trainers.rewards import RewardSettings
from spa_trainers.trajectories import collate, trajectory

SMALL = {"tasks": ["frozenlake"], "steps": 3, "boards": 3, "repeats": 3, "keep": 1.0, "pool": 20}
SMALL |= {"actor_lr": 1e-3, "critic_lr": 1e-3, "evaluate_every": 2, "evaluate_boards": 2}
SMALL |= {"evaluate_repeats": 2, "save_every": 1, "microbatch": 4, "batch_size": 16}
SMALL |= {"leave_out": []}


MUON = pytest.mark.parametrize("muon", [{}, {"muon_lr": 0.01}], ids=["adam", "muon"])


@pytest.fixture(scope="module")
def task():
    found = Registry().resolve(["frozenlake"])[0]
    limits = found.config.limits.model_copy(update={"new_tokens": 20, "turns": 3})
    found = replace(found, config=found.config.model_copy(update={"limits": limits}))
    return training_task(found, seeds=TRAINING_SEEDS, boards=20)


@pytest.fixture(scope="module")
def tokenizer(task):
    return make_tokenizer([task], 20, 1024)


def _model(tokenizer, seed=0):
    config = NanoConfig(
        tasks=["frozenlake"], hidden=16, layers=2, heads=2, feed_forward=32, seed=seed, context=1024
    )
    return make_model(config, tokenizer).eval()


def _settings(**changes):
    return PpoSettings.model_validate({**SMALL, **changes})


def _learner(tokenizer, settings, **options):
    model = ActorCritic(_model(tokenizer), _model(tokenizer, seed=0))
    return Learner.of(model, settings, **options)


@pytest.fixture(scope="module")
def trajectories(task, tokenizer):
    model = hf.of_live("policy", _model(tokenizer), tokenizer)
    specs = [
        EpisodeSpec(task, b, r, "s", log_tokens=True) for b in task.boards[0][:3] for r in (0, 1)
    ]

    async def all_of_it():
        await model.start()
        played = [await play(spec, model) for spec in specs]
        await model.close()
        return played

    starts = [spec.instance.state for spec in specs]
    played = zip(starts, asyncio.run(all_of_it()), strict=True)
    return [trajectory(task, start, e, RewardSettings()) for start, e in played]


def test_trained_ids_are_the_sampled_ids(trajectories):
    batch = collate(trajectories)
    for row, t in enumerate(trajectories):
        sampled = [i for turn in t.episode.turns for i in turn.tokens.completion_ids]
        targets = batch.targets[row][batch.mask[row]].tolist()
        assert targets == sampled
        places = batch.places[row][batch.mask[row]]
        assert batch.ids[row][places + 1].tolist() == sampled
        # what the environment said is not among them
        asked = len(t.ids) - len(sampled)
        assert asked == sum(len(turn.tokens.prompt_ids) for turn in t.episode.turns) - sum(
            len(turn.tokens.prompt_ids) + len(turn.tokens.completion_ids)
            for turn in t.episode.turns[:-1]
        )


def test_with_the_context_unmasked_all_after_the_first_prompt_carries_loss(trajectories, tokenizer):
    masked, batch = collate(trajectories), collate(trajectories, spans=everything)
    assert any(len(t.turns) > 1 for t in trajectories)
    for row, t in enumerate(trajectories):
        first, end = t.turns[0][0], t.turns[-1][1]
        assert batch.targets[row][batch.mask[row]].tolist() == list(t.ids[first:end])
        own = batch.sampled[row]
        assert batch.targets[row][own].tolist() == masked.targets[row][masked.mask[row]].tolist()
        assert batch.sampled_logprobs[row][own].tolist() == pytest.approx(list(t.logprobs))
        assert float(batch.rewards[row].sum()) == pytest.approx(t.reward)
        # a turn's own reward still stands on the last token that the model sampled in it
        gained = batch.rewards[row].nonzero().flatten()
        assert bool(own[gained].all())
    told = _learner(tokenizer, _settings(loss_on="all")).update(batch, 0)
    assert told["logprob_gap"] < 1e-4


def test_rewards_stand_on_the_last_token_of_their_turn(trajectories):
    batch = collate(trajectories)
    for row, t in enumerate(trajectories):
        ends = torch.tensor([end - begin for begin, end in t.turns]).cumsum(0) - 1
        assert batch.rewards[row][ends].tolist() == pytest.approx(list(t.rewards))
        assert float(batch.rewards[row].sum()) == pytest.approx(t.reward)


def test_recomputed_logprobs_equal_the_rollouts(trajectories, tokenizer):
    learner = _learner(tokenizer, _settings())
    batch = collate(trajectories)
    found = learner.evaluate(batch)
    assert float((found.logprobs - batch.sampled_logprobs).abs()[batch.mask].max()) < 1e-4
    # whatever they are batched with
    alone = torch.cat([learner.evaluate(collate([t])).logprobs[0] for t in trajectories])
    assert float((alone - found.logprobs[batch.mask]).abs().max()) < 1e-4


def test_in_bfloat16_the_policy_that_plays_is_the_one_that_learns(task, tokenizer):
    model = _model(tokenizer).to(torch.bfloat16).float()
    with torch.no_grad():  # by less than bfloat16 tells apart, as a step of training does
        for weight in model.parameters():
            weight.mul_(1 + 2**-9.5)
    gaps = {}
    for dtype in ("float32", "bfloat16"):
        player = Player(_settings(dtype=dtype), tokenizer, [task], [task], frozenset())
        batch = collate([t for t in player.rollouts(model, player.specs(0)) if t])
        learner = Learner.of(ActorCritic(model, None, shared=True), _settings(dtype="bfloat16"))
        found = learner.evaluate(batch).logprobs
        gaps[dtype] = float((found - batch.sampled_logprobs)[batch.mask].abs().mean())
    assert gaps["bfloat16"] < gaps["float32"] / 5
    assert "forward" not in vars(model)  # it is as it was


def test_entropy_is_that_of_the_distribution(trajectories, tokenizer):
    model = _model(tokenizer)
    batch = collate(trajectories[:1])
    with torch.no_grad():
        found = ActorCritic(model, None)(batch)
    assert found.values is None
    spread = model(batch.ids).logits[0].detach().log_softmax(-1)
    for j, place in enumerate(batch.places[0][batch.mask[0]].tolist()):
        expected = -(spread[place].exp() * spread[place]).sum()
        assert float(found.entropy[0, j]) == pytest.approx(float(expected), rel=1e-4)


def test_at_the_first_update_the_ratio_is_one(trajectories, tokenizer):
    """Then the policy's gradient is that of -A log p, whatever the clip."""
    settings = _settings(entropy=0.0, actor_lr=0.0, critic_lr=0.0, microbatch=100)
    learner = _learner(tokenizer, settings)
    batch = collate(trajectories)
    told = learner.update(batch, 0)
    assert told["clipped"] == 0
    assert told["logprob_gap"] < 1e-4
    advantages, _ = advantages_of(batch, learner.evaluate(batch).values, settings)
    assert told["policy_loss"] == pytest.approx(-float(advantages[batch.mask].mean()), abs=1e-5)


@pytest.mark.parametrize("microbatch", [1, 100])
def test_what_is_not_learnt_from_has_no_part_in_the_policys_loss(
    trajectories, tokenizer, microbatch
):
    settings = _settings(entropy=0.0, critic_lr=0.0, microbatch=microbatch)
    batch = collate(
        [
            replace(t, rewards=tuple(map(float, range(i, i + len(t.turns)))))
            for i, t in enumerate(trajectories)
        ]
    )
    batch.learnt[:, ::2] = False
    advantages = advantages_of(batch, torch.zeros(batch.mask.shape), settings)[0]
    assert not advantages[~batch.learnt].any()
    assert float(advantages[batch.learnt].mean()) == pytest.approx(0, abs=1e-5)
    assert float(advantages[batch.learnt].std()) == pytest.approx(1, abs=1e-4)

    learner = _learner(tokenizer, settings)
    before = learner.evaluate(batch).logprobs
    learner.update(batch, 0)
    actor = learner.model.actor
    # by hand: the gradient of -A log p, averaged over the tokens that are learnt from
    fresh = _learner(tokenizer, settings)
    found = fresh.model(batch)
    assert torch.allclose(found.logprobs, before, atol=1e-5)
    (-(advantages * found.logprobs)[batch.learnt].mean()).backward()
    torch.nn.utils.clip_grad_norm_(fresh.model.actor.parameters(), settings.clip_gradients)
    fresh.optimizer.step()
    for name, parameter in fresh.model.actor.named_parameters():
        assert torch.allclose(parameter, actor.get_parameter(name), atol=2e-4), name


def test_the_divergence_is_taken_over_all_that_was_sampled(trajectories, tokenizer):
    reference = ActorCritic(_model(tokenizer, seed=1), None)
    batch = collate(trajectories)
    whole = _learner(tokenizer, _settings(kl=0.1), reference=reference).update(batch, 0)["kl"]
    batch.learnt[:, ::2] = False
    part = _learner(tokenizer, _settings(kl=0.1), reference=reference).update(batch, 0)["kl"]
    assert whole > 0
    assert part == pytest.approx(whole, rel=1e-5)


def test_divergence_and_entropy_are_of_what_was_sampled_whatever_is_learnt_from(
    trajectories, tokenizer
):
    settings = _settings(kl=0.1, actor_lr=0.0, critic_lr=0.0)
    reference = ActorCritic(_model(tokenizer, seed=1), None)
    replies = collate(trajectories)
    both = collate(trajectories, torch.device("cpu"), everything, everything)
    assert int(both.mask.sum()) > int(replies.mask.sum())
    one, other = (
        _learner(tokenizer, settings, reference=reference).update(batch, 0)
        for batch in (replies, both)
    )
    assert one["kl"] > 0
    for key in ("kl", "entropy"):
        assert other[key] == pytest.approx(one[key], rel=1e-4)


def test_the_gradient_of_the_divergence_is_that_of_what_was_sampled(trajectories, tokenizer):
    """With nothing to learn from rewards, and a critic of its own, it is all that moves."""
    reference = ActorCritic(_model(tokenizer, seed=1), None)
    still = [replace(t, rewards=(0.0,) * len(t.turns)) for t in trajectories]

    def weights(batch):
        settings = _settings(kl=0.1, entropy=0.0, critic_lr=0.0, minibatches=1)
        learner = _learner(tokenizer, settings, reference=reference)
        batch.learnt[:] = False
        learner.update(batch, 0)
        return torch.cat([p.detach().flatten() for p in learner.model.actor.parameters()])

    replies = weights(collate(still))
    both = weights(collate(still, torch.device("cpu"), everything, everything))
    assert (replies - both).abs().mean() < 1e-6


def test_an_adapter_of_layers_that_are_not_there_is_said(tokenizer):
    from spa_trainers.sft import Lora, known_targets, lora_layers

    with pytest.raises(InputError, match=r"rl\.lora\.targets: .*nope"), known_targets("rl"):
        lora_layers(_model(tokenizer), Lora(targets=["nope"]))


def test_microbatches_give_the_gradients_of_the_whole(trajectories, tokenizer):
    def weights(**changes):
        learner = _learner(tokenizer, _settings(**changes))
        learner.update(collate(trajectories), 0)
        return [p.detach() for p in learner.model.parameters()]

    whole = weights(microbatch=100)
    for parts in (weights(microbatch=1), weights(microbatch=100, microbatch_tokens=400)):
        for one, other in zip(whole, parts, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(("microbatch", "tokens"), [(4, 10**9), (100, 400), (4, 700), (3, 1)])
def test_each_row_goes_forward_once_and_few_long_ones_at_a_time(
    trajectories, tokenizer, count, microbatch, tokens
):
    batch = collate(trajectories)
    lengths = batch.attention.sum(1)
    assert lengths.min() < lengths.max(), "rows of different lengths, or this tests nothing"
    settings = _settings(microbatch=microbatch, microbatch_tokens=tokens)
    went, seen = [], []
    for rank in range(count):
        learner = _learner(tokenizer, settings, processes=Processes(rank, count))
        parts = list(learner._microbatches(batch))
        went.append(len(parts))
        for rows, counts in parts:
            assert len(rows) <= microbatch
            assert len(rows) == 1 or len(rows) * int(lengths[rows].max()) <= tokens
            seen += rows.tolist() if counts else []
    assert len(set(went)) == 1, "every process goes forward equally often"
    assert sorted(seen) == list(range(len(batch)))


@MUON
def test_learning_rate_zero_changes_nothing(trajectories, tokenizer, muon):
    muon = dict.fromkeys(muon, 0.0)
    learner = _learner(tokenizer, _settings(actor_lr=0.0, critic_lr=0.0, **muon))
    before = [p.detach().clone() for p in learner.model.parameters()]
    learner.update(collate(trajectories), 0)
    assert all(map(torch.equal, before, learner.model.parameters()))


@MUON
def test_rates_fall_over_the_last_steps_from_whatever_state_they_go_on(tokenizer, muon):
    settings = _settings(steps=5, decay=0.8, **muon)
    learner = _learner(tokenizer, settings)
    before = [group["lr"] for group in learner.optimizer.param_groups]
    learner.optimizer.load_state_dict(learner.optimizer.state_dict())
    for step, share in ((0, 1), (1, 1), (2, 0.75), (4, 0.25), (3, 0.5)):
        learner.adjust_rates(step)
        now = [group["lr"] for group in learner.optimizer.param_groups]
        assert now == pytest.approx([share * rate for rate in before])


@MUON
def test_the_update_of_a_step_takes_its_rate(trajectories, tokenizer, muon):
    moved = []
    for step in (0, 9):  # at a tenth of the rate the last step moves a tenth as far
        learner = _learner(tokenizer, _settings(steps=10, decay=1.0, microbatch=100, **muon))
        before = [p.detach().clone() for p in learner.model.parameters()]
        learner.update(collate(trajectories), step)
        after = learner.model.parameters()
        moved.append(
            sum(float((a - b).detach().abs().sum()) for a, b in zip(after, before, strict=True))
        )
    assert moved[1] == pytest.approx(moved[0] / 10, rel=0.01)


@MUON
def test_while_the_critic_warms_up_the_actor_stands_still(trajectories, tokenizer, muon):
    learner = _learner(tokenizer, _settings(critic_warmup=1, **muon))
    actor = [p.detach().clone() for p in learner.model.actor.parameters()]
    value = learner.model.value.bias.detach().clone()
    learner.update(collate(trajectories), 0)
    assert all(map(torch.equal, actor, learner.model.actor.parameters()))
    assert not value.equal(learner.model.value.bias)
    learner.update(collate(trajectories), 1)
    assert not all(map(torch.equal, actor, learner.model.actor.parameters()))


def test_a_reference_holds_the_policy_back(trajectories, tokenizer):
    settings = _settings(kl=0.1)
    learner = _learner(tokenizer, settings, reference=ActorCritic(_model(tokenizer), None))
    assert learner.update(collate(trajectories), 0)["kl"] == pytest.approx(0, abs=1e-5)
    assert learner.update(collate(trajectories), 1)["kl"] > 0


@MUON
def test_an_update_makes_good_tokens_likelier(trajectories, tokenizer, muon):
    good = [
        replace(t, rewards=(0.0,) * (len(t.turns) - 1) + (float(i % 2),))
        for i, t in enumerate(trajectories)
    ]
    learner = _learner(tokenizer, _settings(microbatch=100, **muon))
    batch = collate(good)
    before = learner.evaluate(batch).logprobs
    for step in range(5):
        learner.update(batch, step)
    change = learner.evaluate(batch).logprobs - before
    gained = [float(change[row][batch.mask[row]].mean()) for row in range(len(good))]
    assert sum(gained[1::2]) > sum(gained[::2])


def test_the_mean_of_whole_trajectories_is_refused_where_every_turn_is_rewarded():
    with pytest.raises(ValueError, match="use baseline: turn"):
        _settings(baseline="group", reward={"beliefs": 0.5})
    with pytest.raises(ValueError, match="use baseline: turn"):
        _settings(baseline="group", advantages="bilevel", turn_gamma=0.9)
    assert _settings(baseline="turn", reward={"beliefs": 0.5}).baseline == "turn"


@pytest.mark.parametrize("baseline", ["group", "turn"])
def test_a_baseline_goes_with_rewards_that_no_token_discounts(baseline):
    with pytest.raises(ValueError, match="gamma must be 1"):
        _settings(baseline=baseline, gamma=0.99)


def test_a_discount_of_turns_that_nothing_would_heed_is_refused():
    for name in ("turn_gamma", "turn_lam"):
        with pytest.raises(ValueError, match=r"are for advantages: bilevel"):
            _settings(**{name: 0.9}, baseline="turn", advantages="turn")
        assert _settings(**{name: 0.9}, baseline="turn", advantages="bilevel")


@pytest.fixture
def rewarded(monkeypatch):
    """Every turn has a reward that depends on what was written: there is something to learn."""
    monkeypatch.setattr(
        "spa_trainers.trajectories.turn_rewards",
        lambda task, start, episode, settings: tuple(len(t.reply) % 7 / 7 for t in episode.turns),
    )


@pytest.fixture
def first_step(tokenizer, task, tmp_path, rewarded):
    """Returns a function of settings: what a step tells, and the rewards it learns from, summed."""

    def step(name, **settings):
        ppo, _ = _ppo(tokenizer, task, tmp_path / name, _settings(**settings))
        update, batches = ppo.learner.update, []
        ppo.learner.update = lambda batch, number: batches.append(batch) or update(batch, number)
        told = ppo.step(0)
        return told, batches[0].rewards.sum(1)

    return step


def test_a_step_with_shuffled_rewards_tells_what_came_and_learns_from_what_was_dealt(first_step):
    told, learnt = first_step("own")
    told_shuffled, dealt = first_step("shuffled", shuffle_rewards=True)
    assert told["reward"] == told_shuffled["reward"]
    assert not torch.allclose(learnt, dealt)
    assert torch.allclose(learnt.sort().values, dealt.sort().values, atol=1e-5)


def test_with_the_groups_baseline_rewards_of_a_group_sum_to_nothing(first_step):
    told, learnt = first_step("none", baseline="none")
    told_group, less_mean = first_step("group", baseline="group")
    assert told["reward"] == told_group["reward"] > 0, "what is told is what came"
    assert learnt.sum() > 1
    assert less_mean.sum() == pytest.approx(0, abs=1e-5)
    assert less_mean.std() > 0


def test_a_prompt_that_does_not_extend_the_last_is_refused(trajectories, task):
    episode = trajectories[0].episode
    assert len(episode.turns) > 1
    second = episode.turns[1]
    broken = replace(second.tokens, prompt_ids=(1, *second.tokens.prompt_ids[1:]))
    turns = (episode.turns[0], replace(second, tokens=broken), *episode.turns[2:])
    with pytest.raises(ValueError, match="does not extend"):
        trajectory(task, None, replace(episode, turns=turns), RewardSettings())


def _ppo(tokenizer, task, folder, settings):
    said = []
    held_out = held_out_task(task, boards=2)
    learner = _learner(tokenizer, settings)
    return Ppo(
        settings, learner, tokenizer, [task], [held_out], frozenset(), folder, said.append
    ), said


def _untimed(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.endswith("_seconds")} for line in lines]


@MUON
def test_a_run_that_was_cut_off_goes_on_exactly(tokenizer, task, tmp_path, muon):
    whole, said = _ppo(tokenizer, task, tmp_path / "whole", _settings(**muon))
    whole_took = whole.run()
    assert (whole_took["steps"], whole_took["episodes"]) == (3, 27)
    assert sum(line.startswith("step") for line in said) == 4

    class Cut(Exception):
        pass

    first, _ = _ppo(tokenizer, task, tmp_path / "cut", _settings(**muon))
    step = first.step

    def cut(number):
        if number == 2:
            raise Cut
        return step(number)

    first.step = cut
    with pytest.raises(Cut):
        first.run()
    second, _ = _ppo(tokenizer, task, tmp_path / "cut", _settings(**muon))
    counted = {"steps", "episodes", "actions", "tokens"}
    took = second.run()
    assert {k: took[k] for k in counted} == {k: whole_took[k] for k in counted}
    for one, other in zip(
        whole.learner.model.parameters(), second.learner.model.parameters(), strict=True
    ):
        assert torch.equal(one, other)
    assert _untimed(tmp_path / "whole") == _untimed(tmp_path / "cut")


def test_a_run_that_goes_on_with_smaller_microbatches_ends_with_the_same_weights(
    tokenizer, task, tmp_path, rewarded
):
    whole, _ = _ppo(tokenizer, task, tmp_path / "whole", _settings(steps=2))
    whole.run()
    _ppo(tokenizer, task, tmp_path / "cut", _settings(steps=1))[0].run()
    smaller = _settings(steps=2, microbatch=1, gradient_checkpointing=True)
    second, _ = _ppo(tokenizer, task, tmp_path / "cut", smaller)
    second.run()
    for one, other in zip(
        whole.learner.model.parameters(), second.learner.model.parameters(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_run_on_a_full_disk_goes_on_when_there_is_room(tokenizer, task, tmp_path, full_disk):
    first, _ = _ppo(tokenizer, task, tmp_path, _settings(steps=1))
    with (
        full_disk(50_000),
        pytest.raises(TrainingError, match=r"state\.pt: cannot be written .* MB free"),
    ):
        first.run()
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
    assert _ppo(tokenizer, task, tmp_path, _settings(steps=1))[0].run()["steps"] == 1


def test_no_board_is_played_where_states_have_no_room(
    tokenizer, task, tmp_path, monkeypatch, rewarded
):
    ppo, _ = _ppo(tokenizer, task, tmp_path, _settings(steps=1))
    state = sum(4 * 3 * p.numel() for p in ppo.learner.model.parameters())
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2 * state - 1))
    with pytest.raises(InputError, match="a state to resume from, and the next one beside it"):
        ppo.run()
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2 * state))
    ppo.run()
    assert state < (tmp_path / "state.pt").stat().st_size < 1.5 * state


def test_rewards_that_are_all_equal_teach_nothing_and_say_so(
    tokenizer, task, tmp_path, monkeypatch
):
    monkeypatch.setattr("spa_trainers.trajectories.turn_rewards", lambda *_: (0.0,) * 3)
    ppo, _ = _ppo(tokenizer, task, tmp_path, _settings(steps=1))
    before = [p.detach().clone() for p in ppo.learner.model.parameters()]
    told = ppo.step(0)
    assert told["kept"] == 0
    assert all(map(torch.equal, before, ppo.learner.model.parameters()))


def test_gradients_that_are_no_numbers_are_skipped(trajectories, tokenizer):
    learner = _learner(tokenizer, _settings())
    learner.model.value.weight.register_hook(lambda g: g * math.nan)
    before = [p.detach().clone() for p in learner.model.parameters()]
    assert learner.update(collate(trajectories), 0)["skipped"] == 1
    assert all(map(torch.equal, before, learner.model.parameters()))


def test_a_template_that_is_not_append_only_is_refused(task, tmp_path, tokenizer):
    stripping = make_tokenizer([task], 20, 1024)
    stripping.chat_template = (
        "{% for m in messages %}<|{{ m.role }}|>{% if m.role != 'assistant' or loop.last %}"
        "{{ m.content }}{% endif %}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    assert not Template(stripping).append_only
    ppo, _ = _ppo(tokenizer, task, tmp_path, _settings())
    ppo.tokenizer = stripping
    with pytest.raises(InputError, match="does not extend its own prefix"):
        ppo.run()


@pytest.mark.parametrize("loss_on", ["reply", "answer", "all"])
def test_a_step_learns_from_what_it_is_told_to(tokenizer, task, tmp_path, loss_on):
    ppo, _ = _ppo(tokenizer, task, tmp_path, _settings(loss_on=loss_on))
    learnt = list[tuple[int, int, int]]()
    update = ppo.learner.update

    def looked_at(batch, step):
        learnt.append(tuple(int(m.sum()) for m in (batch.mask, batch.sampled, batch.learnt)))
        return update(batch, step)

    ppo.learner.update = looked_at
    played = ppo.rollouts(0)
    rewarded = [replace(t, rewards=(*t.rewards[:-1], float(i))) for i, t in enumerate(played)]
    ppo.rollouts = lambda step: rewarded
    ppo.step(0)
    ((kept, sampled, of_policy),) = learnt
    assert (kept > sampled) == (loss_on == "all")
    assert (0 < of_policy < kept) == (loss_on == "answer")
    assert of_policy <= kept


def test_a_group_is_a_board_of_one_task(trajectories, task):
    one = trajectories[0].episode
    other = replace(one, task=f"{one.task}_grid")
    made = [trajectory(task, None, e, RewardSettings()) for e in (one, other)]
    assert made[0].group != made[1].group


def test_a_recipe_with_rl_ends_in_a_checkpoint(tmp_path):
    nano = {"tasks": ["frozenlake"], "boards": 20, "hidden": 16, "layers": 1, "heads": 2}
    recipe = Recipe.model_validate(
        {
            "recipe": "tiny-rl",
            "method": "vanilla",
            "nano": {**nano, "feed_forward": 32},
            "selfplay": {"tasks": ["frozenlake"], "player": "random", "boards": 4, "repeats": 1},
            "sft": {"rows": "episode", "epochs": 1, "batch_size": 4},
            "rl": {**SMALL, "steps": 1, "new_tokens": 20},
        }
    )
    said = []
    made = Pipeline(recipe, tmp_path, Registry(), Silent(), said.append).run()
    card = read_card(made)
    assert [s["stage"] for s in card.stages] == [
        f"tiny-rl/{stage}" for stage in ("selfplay", "sft", "rl")
    ]
    assert card.parent == "tiny-rl-sft"
    assert read_boards(made)
    assert (tmp_path / "tiny-rl-sft" / "config.json").is_file()
    again = []
    assert Pipeline(recipe, tmp_path, Registry(), Silent(), again.append).run() == made
    assert all("already done" in line for line in again)


def test_other_inputs_than_a_stage_was_begun_with_are_refused(tmp_path):
    assert done.begin(tmp_path / "rl", ["these"])
    assert done.begin(tmp_path / "rl", ["these"])
    with pytest.raises(InputError, match="was made from other inputs"):
        done.begin(tmp_path / "rl", ["others"])
    done.finish(tmp_path / "rl", ["these"], {})
    assert not done.begin(tmp_path / "rl", ["these"])


@pytest.mark.parametrize("name", ["done.json", "begun.json"])
def test_a_record_cut_short_is_said(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(InputError, match=rf"{name}: cannot be read .* remove it"):
        done.begin(tmp_path, [])


def test_a_state_cut_short_is_said(tokenizer, task, tmp_path):
    ppo, _ = _ppo(tokenizer, task, tmp_path, _settings(steps=1))
    ppo.run()
    state = tmp_path / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"state.pt: cannot be read"):
        _ppo(tokenizer, task, tmp_path, _settings(steps=2))[0].run()


def test_the_models_own_dropout_is_off(tokenizer, tmp_path):
    made = _model(tokenizer)
    made.config.attention_dropout = 0.5
    made.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    found = checkpoint.load(str(tmp_path), dropout=False).model.train()
    ids = torch.arange(20)[None]
    assert found(input_ids=ids).logits.equal(found(input_ids=ids).logits)
    assert found.config.attention_dropout == 0.5
    as_it_is = checkpoint.load(str(tmp_path)).model.train()
    assert not as_it_is(input_ids=ids).logits.equal(as_it_is(input_ids=ids).logits)


def test_models_that_scale_their_logits_are_refused():
    config = GraniteConfig(
        vocab_size=30,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        logits_scaling=8.0,
    )
    with pytest.raises(InputError, match="GraniteForCausalLM changes its logits"):
        ActorCritic(GraniteForCausalLM(config), None)


def test_lora_trains_its_layers_alone_and_merges(trajectories, tokenizer):
    from spa_trainers.sft import Lora, lora_layers, merged

    actor = lora_layers(_model(tokenizer), Lora(rank=2))
    learner = Learner.of(ActorCritic(actor, _model(tokenizer)), _settings())
    frozen = actor.get_input_embeddings().weight.detach().clone()
    batch = collate(trajectories)
    for step in range(2):
        learner.update(batch, step)
    assert frozen.equal(actor.get_input_embeddings().weight)
    before = learner.evaluate(batch).logprobs
    whole = merged(actor)
    assert not any("lora" in name for name, _ in whole.named_parameters())
    found = ActorCritic(whole, None)(batch).logprobs.detach()
    torch.testing.assert_close(found, before, rtol=1e-4, atol=1e-4)


def test_muon_moves_inner_matrices_of_actor_and_critic(trajectories, tokenizer):
    learner = _learner(tokenizer, _settings(actor_lr=0.1, critic_lr=0.2, muon_lr=0.01))
    names = {id(p): n for n, p in learner.model.named_parameters()}
    groups = {g["lr"]: {names[id(p)] for p in g["params"]} for g in learner.optimizer.param_groups}
    inner = {n for n in names.values() if ".layers." in n and n.endswith("proj.weight")}
    assert {n.partition(".")[0] for n in inner} == {"actor", "critic"}
    assert groups == {
        0.01: inner,
        0.1: {n for n in names.values() if n.startswith("actor.")} - inner,
        0.2: {n for n in names.values() if not n.startswith("actor.")} - inner,
    }
    before = {n: p.detach().clone() for n, p in learner.model.named_parameters()}
    for step in range(2):
        learner.update(collate(trajectories), step)
    assert not any(p.equal(before[n]) for n, p in learner.model.named_parameters())


def test_muon_does_not_go_with_spread_weights(tokenizer):
    class Spread(Processes):
        def shard(self, model, blocks):
            return model

    with pytest.raises(InputError, match=r"rl\.muon_lr: .* FSDP2"):
        Learner.of(
            ActorCritic(_model(tokenizer), None, shared=True),
            _settings(critic="shared", muon_lr=0.01),
            processes=Spread(sharded=True),
        )


def test_a_shared_critic_is_a_head_on_the_actors_states(trajectories, tokenizer):
    settings = _settings(critic="shared", critic_warmup=1)
    model = ActorCritic(_model(tokenizer), None, shared=True)
    learner = Learner.of(model, settings)
    others = [n for n, _ in learner.model.named_parameters() if not n.startswith("actor.")]
    assert others == ["value.weight", "value.bias"]
    before = {n: p.detach().clone() for n, p in learner.model.named_parameters()}
    batch = collate(trajectories)
    batch.rewards[:] = torch.rand(batch.rewards.shape) * batch.mask
    learner.update(batch, 0)  # a step of warm-up: the body it shares is not touched
    for name, parameter in learner.model.named_parameters():
        assert parameter.equal(before[name]) is name.startswith("actor.")
    learner.update(batch, 1)
    assert not any(p.equal(before[n]) for n, p in learner.model.named_parameters())
