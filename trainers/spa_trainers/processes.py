"""Processes that train one model, as `torchrun` or `accelerate launch` starts them; usually one.

Every process plays its share of the episodes, knows all trajectories of a step, and takes its share
of their rows through the model.
What each finds is added up, so that gradients are those of one process with all rows; nothing else
depends on how many there are. Under FSDP2 weights and optimizer are spread over the processes too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from spa_trainers.launcher import launched

T = TypeVar("T")

_PATIENCE = timedelta(days=1)
"""So long a process waits for the others: one may have longer episodes, or a state to save."""


@dataclass(frozen=True)
class Processes:
    """This process among its like.

    Attributes:
        rank: from 0, which is the main process: it alone logs and saves.
        count: how many there are.
        accelerator: accelerate's; None in one process.
        sharded: whether weights are spread over the processes (FSDP2).
    """

    rank: int = 0
    count: int = 1
    accelerator: Any = None
    sharded: bool = False

    @classmethod
    def started(cls) -> Processes:
        """Returns the processes that a launcher started, connected; or the one there is."""
        if launched() == 1:
            return cls()
        from accelerate import Accelerator, FullyShardedDataParallelPlugin, InitProcessGroupKwargs

        sharded = os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"
        plugin = FullyShardedDataParallelPlugin() if sharded else None
        accelerator = Accelerator(
            cpu=not torch.cuda.is_available(),
            fsdp_plugin=plugin,
            kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
        )
        if plugin is not None:
            accelerator.state.fsdp_plugin = plugin  # accelerate keeps it on GPUs only
        return cls(accelerator.process_index, accelerator.num_processes, accelerator, sharded)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that speaks for all."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Returns this process's items; those of all together are all, each once."""
        return items[self.rank :: self.count]

    def gather(self, share: list[T]) -> list[T]:
        """Returns all items from the shares of all, in the order they had before `share`."""
        if self.count == 1:
            return share
        parts: list[list[T]] = [[] for _ in range(self.count)]
        dist.all_gather_object(parts, share)
        whole: list[Any] = [None] * sum(map(len, parts))
        for rank, part in enumerate(parts):
            whole[rank :: self.count] = part
        return whole

    def wait(self) -> None:
        """Returns when all processes have come here."""
        if self.count > 1:
            dist.barrier()

    def end(self) -> None:
        """Takes leave of the others, when all have come here."""
        if self.count > 1:
            dist.barrier()
            dist.destroy_process_group()

    def sum(self, tensor: Tensor) -> Tensor:
        """Returns the sum of the processes' tensors, in place."""
        if self.count > 1:
            dist.all_reduce(tensor)
        return tensor

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Adds up the gradients that the processes found, in place."""
        if self.count == 1:
            return
        for parameter in parameters:
            gradient = parameter.grad
            if isinstance(gradient, DTensor):
                gradient.mul_(self.count)  # FSDP2 has averaged them in the backward pass
            elif gradient is not None:
                dist.all_reduce(gradient)

    # -- a model that is spread over processes ---------------------------------------------------

    def shard(self, model: Any, blocks: Iterable[str]) -> Any:
        """Returns a model spread over the processes, if that was asked for.

        Args:
            model: whole, the same in every process; it is changed in place.
            blocks: names of the classes whose weights are gathered and let go one at a time.
        """
        if not self.sharded:
            return model
        from accelerate.utils import fsdp2_prepare_model

        model._no_split_modules = list(blocks)
        return fsdp2_prepare_model(self.accelerator, model)

    def copy(self, model: Any, whole: Any) -> None:
        """Copies the weights of a spread model into a whole one. All processes take part."""
        with torch.no_grad():
            for source, target in zip(model.parameters(), whole.parameters(), strict=True):
                target.copy_(_whole(source))

    def whole(self, state: Any) -> Any:
        """Returns a state dictionary with whole tensors, in the main process and there only.

        All processes take part, a tensor at a time, so that no device holds them all.
        """
        if not self.sharded:
            return state
        if isinstance(state, Mapping):
            return {key: self.whole(value) for key, value in state.items()}
        if isinstance(state, Tensor):
            found = _whole(state)
            return found.cpu() if self.is_main else None
        return state


def load(learner_model: Any, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Loads whole states into a model and its optimizer, spread or not.

    Args:
        state: `model` and `optimizer`, as their `state_dict` said in one process.
    """
    own = learner_model.state_dict()
    learner_model.load_state_dict(
        {name: _placed(value, own[name]) for name, value in state["model"].items()}
    )
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    kept = {
        number: {key: _placed(value, parameters[number]) for key, value in entry.items()}
        for number, entry in state["optimizer"]["state"].items()
    }
    optimizer.load_state_dict({**state["optimizer"], "state": kept})


def whole_norm(norm: Tensor) -> float:
    """Returns a norm as a number, also where it is that of spread gradients."""
    return float(_whole(norm))


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _placed(value: Any, like: Tensor) -> Any:
    """Returns a whole tensor spread as another one is; what has another shape stays whole."""
    if isinstance(like, DTensor) and isinstance(value, Tensor) and value.shape == like.shape:
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return value
