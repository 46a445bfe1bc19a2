"""Multi-turn PPO with a critic. Read from top to bottom: settings, one step, the run.

A step: play `boards` x `repeats` episodes with the harness's own loop; keep the groups whose
rewards differ most; compute advantages over the sampled tokens; update actor and critic.
Nothing random is left to global generators: boards, luck and tokens of a step are keyed by the
seed and the step's number, so a resumed run goes on exactly where it stopped.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spa_bench.errors import InputError
from spa_bench.task import Task
from spa_trainers.actor_critic import ActorCritic, Evaluated
from spa_trainers.advantages import gae, returns_at_end, turn_gae, whiten
from spa_trainers.groups import (
    groups_kept,
    less_group_mean,
    less_turn_means,
    shuffled_rewards,
)
from spa_trainers.losses import kl_to, policy_loss, value_loss
from spa_trainers.memory import explained
from spa_trainers.muon import MuonAndAdamW, inner_matrices
from spa_trainers.play import Player, rollout_facts
from spa_trainers.ppo_settings import PpoSettings
from spa_trainers.processes import Processes, load, whole_norm
from spa_trainers.sft import TrainingError
from spa_trainers.step_log import StepLog
from spa_trainers.trajectories import Batch, Trajectory, collate

# -- one step -------------------------------------------------------------------------------------


def advantages_of(batch: Batch, values: Tensor, s: PpoSettings) -> tuple[Tensor, Tensor]:
    """Returns whitened advantages, and returns for the critic, float (B, M)."""
    if s.advantages == "bilevel":
        found, returns = turn_gae(
            batch.rewards,
            values,
            batch.mask,
            batch.turn,
            gamma=s.gamma,
            lam=s.lam,
            turn_gamma=s.turn_gamma,
            turn_lam=s.turn_lam,
        )
    else:
        rewards = batch.rewards
        if s.advantages == "trajectory":
            rewards = returns_at_end(rewards, batch.mask)
        found, returns = gae(rewards, values, batch.mask, s.gamma, s.lam)
    return whiten(found, batch.mask), returns


class Targets(NamedTuple):
    """What an update of a batch aims at; float32 (B, M).

    Attributes:
        logprobs, values: before the update. reference: log-probabilities of the model that
            training began with, where its divergence is weighed.
    """

    logprobs: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor
    reference: Tensor | None

    def rows(self, index: Tensor, width: int) -> Targets:
        """Returns some rows, cut to `width` columns."""
        return Targets(*(None if t is None else t[index][:, :width] for t in self))  # pyright: ignore[reportArgumentType]


@dataclasses.dataclass
class Learner:
    """Actor, critic and their optimizer.

    Attributes:
        processes: that learn together; each goes through its share of the rows.
        whole: a copy of the actor to play with, where the actor is spread over processes.
    """

    model: ActorCritic
    settings: PpoSettings
    optimizer: torch.optim.Optimizer
    reference: ActorCritic | None = None
    processes: Processes = dataclasses.field(default_factory=Processes)
    whole: Any = None

    def __post_init__(self) -> None:
        self._rates = [group["lr"] for group in self.optimizer.param_groups]

    @classmethod
    def of(
        cls,
        model: ActorCritic,
        settings: PpoSettings,
        reference: ActorCritic | None = None,
        processes: Processes | None = None,
    ) -> Learner:
        """Returns a learner with a fresh optimizer."""
        processes = processes or Processes()
        whole = copy.deepcopy(model.actor) if processes.sharded else None
        model = processes.shard(model, model.actor._no_split_modules or ())
        model.train()  # only in training mode are activations let go and made again
        if settings.muon_lr is not None and processes.sharded:
            raise InputError(
                "rl.muon_lr: Muon needs whole matrices, which FSDP2 spreads; leave it out"
            )
        optimizer = _optimizer(model, settings)
        return cls(model, settings, optimizer, reference, processes, whole)

    def policy(self) -> Any:
        """Returns the actor as it is now, whole, to play with."""
        if self.whole is None:
            return self.model.actor
        self.processes.copy(self.model.actor, self.whole)
        return self.whole

    def evaluate(self, batch: Batch, model: ActorCritic | None = None) -> Evaluated:
        """Returns what actor and critic say now, without gradients."""
        with torch.no_grad():
            parts = [
                (index, counts, self._forward(batch.rows(index), model))
                for index, counts in self._microbatches(batch)
            ]
        logprobs, entropy, values = (torch.zeros(batch.mask.shape) for _ in range(3))
        for index, counts, found in parts:
            if not counts:
                continue
            width = found.logprobs.shape[1]
            logprobs[index, :width] = found.logprobs.cpu()
            entropy[index, :width] = found.entropy.cpu()
            if found.values is not None:
                values[index, :width] = found.values.cpu()
        device = batch.ids.device
        logprobs, entropy, values = (
            self.processes.sum(share.to(device)) for share in (logprobs, entropy, values)
        )
        return Evaluated(logprobs, entropy, values)

    def adjust_rates(self, step: int) -> None:
        """Gives every group of the optimizer its learning rate of a step."""
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * self.settings.rate(step)

    def update(self, batch: Batch, step: int) -> dict[str, float]:
        """Learns from a step's trajectories; returns what happened, averaged over tokens."""
        s = self.settings
        started = time.monotonic()
        self.adjust_rates(step)
        old = self.evaluate(batch)
        reference = None
        if self.reference is not None:
            reference = self.evaluate(batch, self.reference).logprobs
        assert old.values is not None
        advantages, returns = advantages_of(batch, old.values, s)
        targets = Targets(old.logprobs, old.values, advantages, returns, reference)
        seconds = time.monotonic() - started
        gap = (old.logprobs - batch.sampled_logprobs).abs()[batch.sampled]
        told: dict[str, float] = {
            "entropy": float(old.entropy[batch.mask].mean()),
            "value": float(old.values[batch.mask].mean()),
            "return": float(returns[batch.mask].mean()),
            "logprob_gap": float(gap.max()),
            "explained_variance": _explained(old.values, returns, batch.mask),
        }
        sums = {"policy_loss": 0.0, "value_loss": 0.0, "clipped": 0.0, "kl": 0.0}
        updates, skipped = 0, 0
        generator = _generator(s.seed, step)
        for _ in range(s.epochs):
            order = torch.randperm(len(batch), generator=generator)
            for rows in order.tensor_split(s.minibatches):
                if len(rows) == 0:
                    continue
                tokens = int(batch.mask[rows].sum())
                for index, counts in self._microbatches(batch, rows):
                    part = batch.rows(index)
                    aims = targets.rows(index, part.mask.shape[1])
                    into = sums if counts else dict(sums)
                    loss = self._loss(part, aims, into, actor=step >= s.critic_warmup)
                    (loss * counts / tokens).backward()
                self.processes.sum_gradients(self.model.parameters())
                if step < s.critic_warmup:  # the critic's loss may have reached a shared body
                    for parameter in _parts(self.model)[0]:
                        parameter.grad = None
                norms = self._clip()
                told["actor_gradient"], told["critic_gradient"] = norms
                if all(map(math.isfinite, norms)):
                    self.optimizer.step()
                else:
                    skipped += 1
                self.optimizer.zero_grad(set_to_none=True)
                updates += 1
        seen = int(batch.mask.sum()) * s.epochs
        totals = torch.tensor(list(sums.values()), dtype=torch.float64, device=batch.ids.device)
        totals = self.processes.sum(totals).tolist()
        told |= {name: total / seen for name, total in zip(sums, totals, strict=True)}
        told |= {"updates": updates, "skipped": skipped, "logprob_seconds": seconds}
        return told

    def _microbatches(
        self, batch: Batch, rows: Tensor | None = None
    ) -> Iterator[tuple[Tensor, bool]]:
        """Yields this process's row numbers, rows of like length together: little is padding, and
        few long rows go forward at a time.

        All processes go forward equally often, as a model that is spread over them needs. One
        that has no rows left goes through a row that does not count.
        """
        s, among = self.settings, self.processes
        rows = torch.arange(len(batch)) if rows is None else rows
        lengths = batch.attention.sum(1).cpu()[rows]
        order = lengths.argsort(stable=True)
        rows, longest = rows[order], lengths[order].tolist()
        start = 0
        while start < len(rows):
            each = 1  # rows of every process
            while each < s.microbatch and start + each * among.count < len(rows):
                last = min(start + (each + 1) * among.count, len(rows)) - 1
                if (each + 1) * longest[last] > s.microbatch_tokens:
                    break
                each += 1
            part = rows[start : start + each * among.count]
            mine = part[among.rank :: among.count]
            yield (mine, True) if len(mine) else (part[:1], False)
            start += each * among.count

    def _forward(self, part: Batch, model: ActorCritic | None = None) -> Evaluated:
        autocast = self.settings.dtype == "bfloat16"
        with torch.autocast(part.ids.device.type, torch.bfloat16, enabled=autocast):
            return (model or self.model)(part)

    def _loss(
        self,
        part: Batch,
        aims: Targets,
        sums: dict[str, float],
        *,
        actor: bool,
    ) -> Tensor:
        """Returns the loss summed over the sampled tokens of a part."""
        s, mask = self.settings, part.mask
        now = self._forward(part)
        assert now.values is not None
        value = value_loss(now.values, aims.values, aims.returns, s.value_clip)[mask].sum()
        sums["value_loss"] += float(value.detach())
        value = s.value_weight * value
        if not actor:
            return value
        policy = policy_loss(
            now.logprobs,
            aims.logprobs,
            aims.advantages,
            clip_low=s.clip_low,
            clip_high=s.clip_high,
            dual_clip=s.dual_clip,
        )[mask].sum()
        loss = policy + value - s.entropy * now.entropy[mask].sum()
        if aims.reference is not None:
            divergence = kl_to(now.logprobs, aims.reference)[mask].sum()
            sums["kl"] += float(divergence.detach())
            loss = loss + s.kl * divergence
        ratio = (now.logprobs - aims.logprobs).detach().exp()[mask]
        sums["clipped"] += float(((ratio < 1 - s.clip_low) | (ratio > 1 + s.clip_high)).sum())
        sums["policy_loss"] += float(policy.detach())
        return loss

    def _clip(self) -> tuple[float, float]:
        """Clips actor and critic apart, so that neither drowns the other; returns their norms."""
        most = self.settings.clip_gradients
        return tuple(  # pyright: ignore[reportReturnType]
            whole_norm(torch.nn.utils.clip_grad_norm_(some, most)) for some in _parts(self.model)
        )


def _parts(model: ActorCritic) -> tuple[list[Tensor], list[Tensor]]:
    """Returns what learns of the actor, and of the critic."""
    actor, critic = list[Tensor](), list[Tensor]()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (actor if name.startswith("actor.") else critic).append(parameter)
    return actor, critic


def _optimizer(model: ActorCritic, s: PpoSettings) -> torch.optim.Optimizer:
    actor, critic = _parts(model)
    groups = [{"params": actor, "lr": s.actor_lr}, {"params": critic, "lr": s.critic_lr}]
    if s.muon_lr is None:
        return torch.optim.Adam(groups, betas=s.betas)
    matrices = [m for part in (model.actor, model.critic) if part for m in inner_matrices(part)]
    return MuonAndAdamW(matrices, groups, muon_lr=s.muon_lr, betas=s.betas, weight_decay=0.0)


def _generator(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def _explained(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """Returns the share of the returns' variance that the critic explains; 0 if they have none."""
    variance = float(returns[mask].var(correction=0))
    return 1 - float((returns - values)[mask].var(correction=0)) / variance if variance else 0.0


# -- the run --------------------------------------------------------------------------------------


@dataclasses.dataclass
class Ppo:
    """A training in a folder: `log.jsonl`, a line a step, and `state.pt` to go on from.

    Args:
        tasks: on training boards. held_out: the same tasks on validation boards.
        left_out: keys of boards that are not trained on.
    """

    settings: PpoSettings
    learner: Learner
    tokenizer: Any
    tasks: Sequence[Task]
    held_out: Sequence[Task]
    left_out: frozenset[str]
    folder: Path
    say: Callable[[str], None]
    boards_seen: set[tuple[str, str]] = dataclasses.field(default_factory=set[tuple[str, str]])

    def run(self) -> dict[str, Any]:
        """Trains; returns a report.

        Raises:
            InputError: if the template is not append-only, or no board is left to train on.
            TrainingError: if gradients are no numbers three steps in a row, or memory runs out.
        """
        with closing(self._player):
            return self._run()

    def _run(self) -> dict[str, Any]:
        s = self.settings
        self._player.check()
        self.folder.mkdir(parents=True, exist_ok=True)
        step, bad = self._resume(), 0
        if step == 0:
            self._tell({"step": 0, **self.evaluate()})
        while step < s.steps:
            told = self.step(step)
            step += 1
            bad = bad + 1 if told.get("skipped") else 0
            if bad >= 3:
                state = self.folder / "state.pt"
                raise TrainingError(
                    f"rl: 3 steps in a row had gradients that are no numbers (step {step}); a"
                    " smaller actor_lr may help."
                    + (f" The last good state is in {state}" if state.is_file() else "")
                )
            if step % s.evaluate_every == 0 or step == s.steps:
                told |= self.evaluate()
            self._tell({"step": step, **told})
            if (step % s.save_every == 0 or step == s.steps) and not bad:
                self._save(step)
        self._log.close()
        return {"steps": step, **self._log.totals()}

    def step(self, step: int) -> dict[str, float]:
        """Plays and learns once; returns what happened."""
        started = time.monotonic()
        played = self.rollouts(step)
        rolled = time.monotonic() - started
        told = rollout_facts(played) | {"rollout_seconds": rolled}
        if self.settings.shuffle_rewards:
            played = shuffled_rewards(played, _generator(self.settings.seed, step))
        kept = groups_kept(played, self.settings.keep)
        told["kept"] = len(kept) / len(played)
        if kept:
            began = time.monotonic()
            if self.settings.baseline == "group":
                kept = less_group_mean(kept)
            elif self.settings.baseline == "turn":
                two_levels = self.settings.advantages == "bilevel"
                kept = less_turn_means(kept, self.settings.turn_gamma if two_levels else 1.0)
            batch = collate(kept, self._device, mask_context=self.settings.mask_context)
            with explained(self.settings):
                told |= self.learner.update(batch, step)
            told["update_seconds"] = time.monotonic() - began
        return told

    def rollouts(self, step: int) -> list[Trajectory]:
        """Returns the step's trajectories, in a fixed order."""
        specs = self._player.specs(step)
        self.boards_seen |= {(spec.instance.id, spec.instance.board_key) for spec in specs}
        among = self.learner.processes
        share = self._player.rollouts(self.learner.policy(), among.share(specs))
        return [t for t in among.gather(share) if t is not None]

    def evaluate(self) -> dict[str, float]:
        """Plays held-out boards; returns what came of it in the main process, nothing elsewhere."""
        policy = self.learner.policy()
        return self._player.evaluate(policy) if self.learner.processes.is_main else {}

    @cached_property
    def _player(self) -> Player:
        boards = self.tasks, self.held_out, self.left_out
        return Player(self.settings, self.tokenizer, *boards, self.folder)

    @property
    def _device(self) -> Any:
        return self.learner.model.actor.device

    # -- what is kept ------------------------------------------------------------------------------

    @cached_property
    def _log(self) -> StepLog:
        s = self.settings
        return StepLog(self.folder, self.say, s.tracker, s.model_dump())

    def _tell(self, told: dict[str, Any]) -> None:
        if self.learner.processes.is_main:
            self._log.write(told)

    def _save(self, step: int) -> None:
        among = self.learner.processes
        state = {
            "step": step,
            "model": among.whole(self.learner.model.state_dict()),
            "optimizer": among.whole(self.learner.optimizer.state_dict()),
            "boards": sorted(self.boards_seen),
        }
        if not among.is_main:
            return
        partial = self.folder / "state.pt.partial"
        torch.save(state, partial)
        partial.replace(self.folder / "state.pt")

    def _resume(self) -> int:
        path, is_main = self.folder / "state.pt", self.learner.processes.is_main
        if not path.is_file():
            if is_main:
                self._log.clear()
            return 0
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
            raise InputError(
                f"{path}: cannot be read ({str(error).splitlines()[0]}); remove it, and training"
                " begins anew"
            ) from None
        load(self.learner.model, self.learner.optimizer, state)
        self.boards_seen = {(i, k) for i, k in state["boards"]}
        if is_main:
            self._log.cut(state["step"])
        return state["step"]
