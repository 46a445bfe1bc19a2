"""GRPO (Shao et al. 2024): TRL's trainer on episodes of the harness's own loop. An adapter.

TRL asks `Grpo.rollout` for a step's episodes, through its `rollout_func`, and does the rest:
advantages within groups, losses, optimizer, states to resume from. What it hands over is
experimental in TRL and may change without notice, so it is checked, and TRL's version is pinned:

    prompts          one a trajectory, each `num_generations` times in a row; here they are numbers
                     of groups, counted over the whole training
    prompt_ids       up to the first sampled token
    completion_ids   the rest, what the environment said in between included
    logprobs         of the completion's tokens when they were sampled
    env_mask         1 where the model wrote, 0 where the environment did
    whatever else    reaches the reward functions, one value a trajectory; None is not learnt from
"""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from spa_bench.errors import InputError
from spa_bench.models.hf_load import merged
from spa_bench.privacy import no_telemetry
from spa_trainers import step_log
from spa_trainers.disk import check_room_for_states, writing
from spa_trainers.errors import TrainingError
from spa_trainers.groups import differ
from spa_trainers.grpo_settings import TESTED, GrpoSettings, check_trl
from spa_trainers.launcher import launched
from spa_trainers.memory import explained, state_bytes
from spa_trainers.play import Player, rollout_facts
from spa_trainers.sft import (
    MOST_SKIPPED,
    checkpointing,
    gradient_guard,
    known_targets,
    last_checkpoint,
    last_good,
    lora_config,
    optimizer,
)
from spa_trainers.step_log import StepLog
from spa_trainers.trajectories import Trajectory

_COMPARED = 8
"""Trajectories of a step whose log-probabilities are computed again, to see who played."""


@dataclasses.dataclass
class Grpo:
    """A training in a folder: `log.jsonl`, a line a step; `trl.jsonl`, all that TRL says;
    `checkpoints/`, TRL's own, to go on from.

    Args:
        model: what training begins with; it is trained in place.
    """

    settings: GrpoSettings
    model: Any
    player: Player
    folder: Path
    say: Callable[[str], None]
    _told: dict[str, float] | None = dataclasses.field(default=None, init=False)
    _rolled_out: float = dataclasses.field(default=0.0, init=False)
    _skipped: int = dataclasses.field(default=0, init=False)

    def run(self) -> tuple[Any, dict[str, Any]]:
        """Trains; returns the model, LoRA layers merged into it, and a report.

        Raises:
            InputError: if TRL's version is another, the template is not append-only, no board is
                left to train on, or the disk has no room for states to resume from.
            TrainingError: if gradients are no numbers three updates in a row, a state cannot be
                written, or TRL does not do with the episodes what it did when this was written.
        """
        with closing(self.player):
            return self._run()

    def _run(self) -> tuple[Any, dict[str, Any]]:
        s = self.settings
        self.player.check()
        (last, updates), log = last_checkpoint(self._checkpoints), self._log
        trained = (p for p in self.policy.parameters() if p.requires_grad)
        check_room_for_states(self.folder, state_bytes(trained), Path(last) if last else None)
        if last is None:
            log.clear()
            log.write({"step": 0, **self.player.evaluate(self.policy)})
        else:
            log.cut(updates // s.updates)
        step_log.cut(self._trl_log, updates)

        def tell(update: int, logs: Mapping[str, float]) -> None:
            told = self._after(update, logs)
            if told is not None:
                log.write(told)

        for callback in (self._guard, _OnLog(tell)):
            self.trainer.add_callback(callback)
        if s.steps:
            with explained(s), writing(self.folder):
                self.trainer.train(resume_from_checkpoint=last)
        log.close()
        if self._guard.in_a_row >= MOST_SKIPPED:
            raise TrainingError(
                f"rl: {MOST_SKIPPED} updates in a row had gradients that are no numbers; a smaller"
                f" learning_rate may help, in another --output. {last_good(self._checkpoints)}"
            )
        model: Any = self.trainer.model
        if s.lora is not None:
            model = merged(model)
        vars(model).pop("forward", None)  # TRL's own, which cannot be copied
        return model, {"steps": s.steps, **log.totals()}

    @property
    def boards_seen(self) -> set[tuple[str, str]]:
        """The boards of all steps, as (instance id, board key)."""
        return {
            (spec.instance.id, spec.instance.board_key)
            for step in range(self.settings.steps)
            for spec in self.player.specs(step)
        }

    @property
    def policy(self) -> Any:
        """The model that plays: the trained one, with its LoRA layers in it."""
        model: Any = self.trainer.model
        return model if self.settings.lora is None else model.get_base_model()

    # -- what TRL asks for -----------------------------------------------------------------------

    def rollout(self, prompts: Sequence[str], trainer: Any) -> dict[str, list[Any]]:
        """Plays a step; what TRL calls a `rollout_func`."""
        s, started = self.settings, time.monotonic()
        step = int(prompts[0]) // s.boards
        groups = range(step * s.boards, (step + 1) * s.boards)
        if list(map(int, prompts)) != [group for group in groups for _ in range(s.repeats)]:
            raise TrainingError(
                "rl: TRL did not ask for the whole step, group by group, as trl"
                f" {TESTED} does; there is trl {version('trl')}"
            )
        trajectories = self.player.rollouts(self.policy, self.player.specs(step))
        played = [t for t in trajectories if t is not None]
        self._rolled_out = time.monotonic()
        self._told = rollout_facts(played) | {"rollout_seconds": self._rolled_out - started}
        members = [trajectories[i : i + s.repeats] for i in range(0, len(prompts), s.repeats)]
        self._told["kept"] = fmean(differ([t for t in group if t]) for group in members)
        if s.engine != "transformers":  # which plays the very weights
            self._told["logprob_gap"] = self._gap(played[:_COMPARED])
        padding = trainer.processing_class.pad_token_id
        rows = [as_trl(t, padding) for t in trajectories]
        return {name: [row[name] for row in rows] for name in rows[0]}

    @torch.no_grad()
    def _gap(self, played: Sequence[Trajectory]) -> float:
        """Returns the most that a sampled token's log-probability and its own of now differ by."""
        policy, most = self.policy, 0.0
        half = self.settings.dtype == "bfloat16"
        for t in played:
            ids = torch.tensor([t.ids], device=policy.device)
            with torch.autocast(policy.device.type, torch.bfloat16, enabled=half):
                logits = policy(input_ids=ids).logits[0]
            places = torch.tensor([p for span in t.turns for p in range(*span)])
            now = logits[places - 1].float().log_softmax(-1).cpu()
            now = now.gather(1, ids[0].cpu()[places][:, None])[:, 0]
            most = max(most, float((now - torch.tensor(t.logprobs)).abs().max()))
        return most

    def _after(self, update: int, logs: Mapping[str, float]) -> dict[str, float] | None:
        """Returns what a step's line says after an update; None if no step has ended."""
        s, told = self.settings, self._told
        if told is None:
            return None
        self._told = None
        sampled = told["tokens"] / (s.boards * s.repeats)
        if abs(logs["completions/mean_length"] - sampled) > 1e-3 * sampled:
            raise TrainingError(
                f"rl: TRL trains on {logs['completions/mean_length']:.1f} tokens a trajectory,"
                f" {sampled:.1f} were sampled: it does not heed env_mask. Install trl {TESTED}"
            )
        told["policy_loss"] = logs["loss"]  # where no entropy is taken off, TRL says it once
        told |= {ours: logs[theirs] for ours, theirs in _NAMES.items() if theirs in logs}
        told |= {"updates": s.updates, "skipped": self._guard.skipped - self._skipped}
        self._skipped = self._guard.skipped
        told["update_seconds"] = time.monotonic() - self._rolled_out
        step = update // s.updates
        if step % s.evaluate_every == 0 or step == s.steps:
            told |= self.player.evaluate(self.policy)
        return {"step": step, **told}

    # -- the trainer -----------------------------------------------------------------------------

    @cached_property
    def trainer(self) -> GRPOTrainer:
        """TRL's trainer, told what the settings say."""
        check_trl()
        if launched() > 1:
            raise InputError("rl: GRPO runs in one process; in several, train with algorithm: ppo")
        s, cuda = self.settings, torch.cuda.is_available()
        _check_padding(self.model)
        episodes = s.boards * s.repeats
        accumulate = episodes // s.minibatches // s.trajectories
        limits = [task.config.limits for task in self.player.tasks]
        with warnings.catch_warnings(), known_targets("rl"):
            warnings.filterwarnings("ignore", message="You are using 'rollout_func'")
            no_telemetry()  # a trainer of TRL's reports home when it is made
            trainer = GRPOTrainer(
                model=self.model,
                reward_funcs=trajectory_reward,
                rollout_func=self.rollout,
                processing_class=self.player.tokenizer,
                peft_config=None if s.lora is None else lora_config(s.lora),
                train_dataset=Dataset.from_dict(
                    {"prompt": [str(group) for group in range(max(1, s.steps) * s.boards)]}
                ),
                args=GRPOConfig(
                    output_dir=str(self._checkpoints),
                    max_steps=max(1, s.steps) * s.updates,
                    shuffle_dataset=False,
                    num_generations=s.repeats,
                    per_device_train_batch_size=s.trajectories,
                    gradient_accumulation_steps=accumulate,
                    steps_per_generation=accumulate * s.minibatches,
                    num_iterations=s.epochs,
                    max_completion_length=max(
                        most.turns * (s.new_tokens or most.new_tokens) for most in limits
                    ),
                    mask_truncated_completions=False,
                    loss_type=s.loss,
                    scale_rewards=s.scale_rewards,
                    epsilon=s.clip_low,
                    epsilon_high=s.clip_high,
                    entropy_coef=s.entropy,
                    beta=s.kl,
                    learning_rate=s.learning_rate,
                    **_schedule(s),
                    adam_beta1=s.betas[0],
                    adam_beta2=s.betas[1],
                    weight_decay=0.0,
                    max_grad_norm=s.clip_gradients,
                    **checkpointing(s.gradient_checkpointing),
                    bf16=s.dtype == "bfloat16",
                    use_cpu=not cuda,
                    dataloader_pin_memory=cuda,
                    save_strategy="steps",
                    save_steps=s.save_every * s.updates,
                    save_total_limit=1,
                    logging_steps=s.updates,
                    report_to="none",
                    disable_tqdm=True,
                    seed=s.seed,
                    data_seed=s.seed,
                ),
            )
        trainer.optimizer_cls_and_kwargs = optimizer(s, 0.0)
        trainer.remove_callback(PrinterCallback)
        return trainer

    @cached_property
    def _guard(self) -> Any:
        return gradient_guard(self._trl_log)

    @cached_property
    def _log(self) -> StepLog:
        s = self.settings
        return StepLog(self.folder, self.say, s.tracker, s.model_dump())

    @property
    def _checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def _trl_log(self) -> Path:
        return self.folder / "trl.jsonl"


_NAMES = {
    "entropy": "entropy",
    "kl": "kl",
    "policy_loss": "policy_loss",
    "clipped": "clip_ratio/region_mean",
    "actor_gradient": "grad_norm",
}
"""How TRL calls what a line of the log says after an update."""


@torch.no_grad()
def _check_padding(model: Any) -> None:
    """Refuses a model that reads a prompt otherwise where padding stands before it.

    TRL pads on the left and names no positions, which models that have learnt theirs need.

    Raises:
        InputError: for such a model.
    """
    ids = torch.tensor([[5, 7, 9, 5, 7, 9, 5]], device=model.device)
    seen = (torch.arange(7, device=model.device) >= 3).long()[None]
    training = model.training
    model.eval()
    plain = model(input_ids=ids[:, 3:]).logits[0, -1].float()
    padded = model(input_ids=ids, attention_mask=seen).logits[0, -1].float()
    model.train(training)
    if (plain - padded).abs().max() > 0.05 * plain.abs().max():
        raise InputError(
            "rl: this model's positions are counted from the padding that TRL puts before a prompt;"
            " train it with algorithm: ppo"
        )


def _schedule(s: GrpoSettings) -> dict[str, Any]:
    """Returns transformers' scheduler with the rates of `RlSettings.rate`, update by update."""
    if not s.decay_steps:
        return {"lr_scheduler_type": "constant"}
    falling = {"num_decay_steps": s.decay_steps * s.updates, "decay_type": "linear"}
    return {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": falling}


def as_trl(t: Trajectory | None, padding: int) -> dict[str, Any]:
    """Returns a trajectory as TRL has it, from the first prompt to the last sampled token.

    Where there is none, a token that nothing is learnt from stands in its place.
    """
    if t is None:
        nothing = {"prompt_ids": [padding], "completion_ids": [padding], "logprobs": [0.0]}
        return nothing | {"env_mask": [0], "reward": None}
    spans = [(start, end) for start, end in t.turns if end > start]
    begin, stop = spans[0][0], spans[-1][1]
    mask, logprobs = [0] * (stop - begin), [0.0] * (stop - begin)
    sampled = iter(t.logprobs)
    for start, end in spans:
        for place in range(start - begin, end - begin):
            mask[place], logprobs[place] = 1, next(sampled)
    return {
        "prompt_ids": list(t.ids[:begin]),
        "completion_ids": list(t.ids[begin:stop]),
        "logprobs": logprobs,
        "env_mask": mask,
        "reward": t.reward,
    }


def trajectory_reward(reward: list[float | None], **_: Any) -> list[float | None]:
    """Returns the rewards that came with the trajectories; what TRL calls a reward function."""
    return reward


class _OnLog(TrainerCallback):
    """Hands on what TRL logs."""

    def __init__(self, tell: Callable[[int, Mapping[str, float]], None]) -> None:
        self._tell = tell

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self._tell(state.global_step, logs or {})
