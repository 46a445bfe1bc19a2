"""The settings of PPO, apart from it so that reading a recipe loads no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from spa_trainers.rl_settings import RlSettings


class PpoSettings(RlSettings):
    """How to train. The defaults are the paper's.

    Attributes:
        keep: the share of groups, those whose rewards spread most, that is learnt from.
        advantages: `trajectory` puts all reward on the last token; `turn` leaves it at the end of
            each turn; `bilevel` is VAGEN's, in two levels.
        baseline: what rewards are measured from, beside the critic, which tells only the rest:
            nothing; the mean of the `group`, all tries at one board, off a whole trajectory's; or,
            where every turn has a reward, the group's mean of what comes from a `turn` on.
        shuffle_rewards: a control, from which nothing should be learnt: rewards change places
            between the trajectories of a group.
        gamma, lam: a token; turn_gamma, turn_lam: a turn, in `bilevel`.
        dual_clip: the most that a negative advantage counts, times its size.
        value_clip: how far the critic may move from what it said before the update.
        loss_on: what the policy learns from: `reply`, all that the model sampled; of each reply
            the `answer` alone, which is the other way to read the paper's mask of "answer tokens";
            or `all`, what the environment said after the first reply as well (the public code also
            learns what it says before). Critic and `kl` see whole replies in any case.
        critic: `own`, a model beside the actor; `shared`, a value head on the actor's hidden
            states, which halves the cost of an update.
        value_weight: of the critic's loss beside the actor's.
        microbatch_tokens: of one forward pass at most, padding included; a trajectory that is
            longer goes alone.
        critic_warmup: steps in which only the critic learns.
    """

    algorithm: Literal["ppo"] = "ppo"
    keep: float = Field(0.25, gt=0, le=1)
    advantages: Literal["trajectory", "turn", "bilevel"] = "trajectory"
    baseline: Literal["none", "group", "turn"] = "none"
    shuffle_rewards: bool = False
    gamma: float = Field(1.0, gt=0, le=1)
    lam: float = Field(1.0, ge=0, le=1)
    turn_gamma: float = Field(1.0, gt=0, le=1)
    turn_lam: float = Field(1.0, ge=0, le=1)
    actor_lr: float = Field(1e-6, ge=0)
    critic_lr: float = Field(1e-5, ge=0)
    dual_clip: float = Field(3.0, gt=1)
    value_clip: float = Field(0.5, gt=0)
    loss_on: Literal["reply", "answer", "all"] = "reply"
    critic: Literal["own", "shared"] = "own"
    value_weight: float = Field(1.0, gt=0)
    microbatch_tokens: int = Field(65_536, ge=1)
    critic_warmup: int = Field(0, ge=0)

    @property
    def how(self) -> frozenset[str]:
        return super().how | {"microbatch", "microbatch_tokens", "save_every"}

    @model_validator(mode="after")
    def _turns_are_discounted_in_two_levels(self) -> PpoSettings:
        if self.advantages != "bilevel" and (self.turn_gamma, self.turn_lam) != (1, 1):
            raise ValueError(
                f"turn_gamma and turn_lam are for advantages: bilevel; beside advantages:"
                f" {self.advantages} leave them out"
            )
        return self

    @model_validator(mode="after")
    def _baseline_goes_with_the_rewards(self) -> PpoSettings:
        if self.baseline == "group" and self.reward.beliefs > 0:
            raise ValueError(
                "baseline: group takes the mean of whole trajectories off the last reward; where"
                " beliefs are rewarded in every turn, use baseline: turn"
            )
        if self.baseline == "group" and self.advantages == "bilevel" and self.turn_gamma < 1:
            raise ValueError(
                "baseline: group is of rewards that no turn discounts; beside turn_gamma use"
                " baseline: turn"
            )
        if self.baseline != "none" and self.gamma < 1:
            raise ValueError(
                f"baseline: {self.baseline} is of rewards that no token discounts; gamma must be 1"
                " beside it (turn_gamma discounts turns)"
            )
        return self
