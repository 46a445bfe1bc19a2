"""The settings of GRPO, apart from it so that reading a recipe loads no torch."""

from __future__ import annotations

from importlib.metadata import version
from typing import Literal

from pydantic import Field, model_validator

from spa_bench.errors import InputError
from spa_trainers.rl_settings import RlSettings

TESTED = "1.16"
"""The minor version of TRL whose `rollout_func` the adapter is written for."""


def check_trl() -> None:
    """Refuses any other version of TRL.

    Raises:
        InputError: if there is another.
    """
    if not version("trl").startswith(f"{TESTED}."):
        raise InputError(
            f"rl: GRPO needs trl {TESTED}, there is {version('trl')}: pip install 'trl=={TESTED}.*'"
        )


class GrpoSettings(RlSettings):
    """How TRL is to train. What both have is as in PPO.

    Attributes:
        loss: how the tokens' losses are put together. `dapo`: the mean over a step's tokens (Yu et
            al. 2025, eq. 8), as in PPO. `grpo`: the mean of the trajectories' means (Shao et al.
            2024, eq. 3), which favours short ones. `dr_grpo`: the sum over a constant (Liu et al.
            2025), the most tokens that an episode can have. `bnpo`: the mean over the tokens of a
            forward pass.
        scale_rewards: whether a reward's distance from the mean of its group is divided by the
            deviation in the `group`, by that in the whole `batch`, or by nothing (`none`).
    """

    algorithm: Literal["grpo"] = "grpo"
    learning_rate: float = Field(1e-6, ge=0)
    loss: Literal["dapo", "grpo", "dr_grpo", "bnpo"] = "dapo"
    scale_rewards: Literal["group", "batch", "none"] = "group"

    @model_validator(mode="after")
    def _whole_minibatches(self) -> GrpoSettings:
        if self.boards * self.repeats % self.minibatches:
            raise ValueError(
                f"{self.boards} boards x {self.repeats} repeats do not make {self.minibatches}"
                " minibatches of one size; change minibatches"
            )
        return self

    @property
    def how(self) -> frozenset[str]:
        # TRL takes these as means of each forward pass
        of_a_pass = self.entropy > 0 or self.loss == "bnpo"
        return super().how if of_a_pass else super().how | {"microbatch"}

    @property
    def trajectories(self) -> int:
        """Of one forward pass: the most, up to `microbatch`, that make equal parts of an update."""
        update = self.boards * self.repeats // self.minibatches
        return max(n for n in range(1, self.microbatch + 1) if update % n == 0)

    @property
    def updates(self) -> int:
        """Of one step."""
        return self.epochs * self.minibatches
