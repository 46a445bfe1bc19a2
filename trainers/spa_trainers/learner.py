"""What PPO learns from a step's trajectories: advantages, losses, and steps of the optimizer."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from spa_bench.errors import InputError
from spa_trainers.actor_critic import ActorCritic, Evaluated
from spa_trainers.advantages import gae, returns_at_end, turn_gae, whiten
from spa_trainers.losses import kl_to, policy_loss, value_loss
from spa_trainers.muon import MuonAndAdamW, inner_matrices
from spa_trainers.ppo_settings import PpoSettings
from spa_trainers.processes import Processes, whole_norm
from spa_trainers.trajectories import Batch


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
    return whiten(found, batch.learnt), returns


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
            "entropy": float(old.entropy[batch.sampled].mean()),
            "value": float(old.values[batch.mask].mean()),
            "return": float(returns[batch.mask].mean()),
            "logprob_gap": float(gap.max()),
            "explained_variance": _explained(old.values, returns, batch.mask),
        }
        sums = {"policy_loss": 0.0, "value_loss": 0.0, "clipped": 0.0, "kl": 0.0}
        updates, skipped = 0, 0
        for rows in self._minibatches(len(batch), step):
            norms = self._backward(batch, rows, targets, sums, actor=step >= s.critic_warmup)
            told["actor_gradient"], told["critic_gradient"] = norms
            if all(map(math.isfinite, norms)):
                self.optimizer.step()
            else:
                skipped += 1
            self.optimizer.zero_grad(set_to_none=True)
            updates += 1
        told |= self._averaged(sums, batch)
        told |= {"updates": updates, "skipped": skipped, "logprob_seconds": seconds}
        return told

    def _minibatches(self, count: int, step: int) -> Iterator[Tensor]:
        """Yields the rows of each gradient step, shuffled anew in every epoch."""
        generator = generator_of(self.settings.seed, step)
        for _ in range(self.settings.epochs):
            order = torch.randperm(count, generator=generator)
            yield from filter(len, order.tensor_split(self.settings.minibatches))

    def _backward(
        self, batch: Batch, rows: Tensor, targets: Targets, sums: dict[str, float], *, actor: bool
    ) -> tuple[float, float]:
        """Leaves the clipped gradients of the mean loss of some rows; returns their norms."""
        tokens = int(batch.mask[rows].sum())
        weights = [tokens / max(1, int(of[rows].sum())) for of in (batch.learnt, batch.sampled)]
        for index, counts in self._microbatches(batch, rows):
            part = batch.rows(index)
            aims = targets.rows(index, part.mask.shape[1])
            loss = self._loss(part, aims, sums if counts else dict(sums), *weights, actor=actor)
            (loss * counts / tokens).backward()
        self.processes.sum_gradients(self.model.parameters())
        if not actor:  # the critic's loss may have reached a shared body
            for parameter in _parts(self.model)[0]:
                parameter.grad = None
        return self._clip()

    def _averaged(self, sums: dict[str, float], batch: Batch) -> dict[str, float]:
        """Returns sums over all processes and gradient steps, divided by the tokens they are of."""
        of = {"policy_loss": batch.learnt, "clipped": batch.learnt}
        of |= {"value_loss": batch.mask, "kl": batch.sampled}
        totals = torch.tensor(list(sums.values()), dtype=torch.float64, device=batch.ids.device)
        totals = self.processes.sum(totals).tolist()
        return {
            name: total / (max(1, int(of[name].sum())) * self.settings.epochs)
            for name, total in zip(sums, totals, strict=True)
        }

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
        weight: float,
        kl_weight: float,
        *,
        actor: bool,
    ) -> Tensor:
        """Returns the loss summed over the tokens of a part.

        `weight` is that of a token that the policy learns from, `kl_weight` that of one that was
        sampled, so that either count as much as if they were all. The divergence is estimated on
        sampled tokens, and on others it would be none.
        """
        s, mask, learnt = self.settings, part.mask, part.learnt
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
        )[learnt].sum()
        loss = weight * (policy - s.entropy * now.entropy[learnt].sum()) + value
        if aims.reference is not None:
            divergence = kl_to(now.logprobs, aims.reference)[part.sampled].sum()
            sums["kl"] += float(divergence.detach())
            loss = loss + s.kl * kl_weight * divergence
        ratio = (now.logprobs - aims.logprobs).detach().exp()[learnt]
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


def generator_of(seed: int, step: int) -> torch.Generator:
    """Returns the generator of a step, for what is drawn outside of episodes."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def _explained(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """Returns the share of the returns' variance that the critic explains; 0 if they have none."""
    variance = float(returns[mask].var(correction=0))
    return 1 - float((returns - values)[mask].var(correction=0)) / variance if variance else 0.0
