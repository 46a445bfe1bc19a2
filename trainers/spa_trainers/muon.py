"""Muon for the matrices between a model's layers, AdamW for all else, as one optimizer.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) moves a matrix along its
orthogonalised momentum. Embeddings, the output layer and norms are not its business: they stay
with AdamW. torch's own Muon computes in bfloat16, which takes CPUs that have none of it many times
as long as all the rest of a small model's step; this one keeps the gradients' type, and takes
matrices of one shape together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic that brings all singular values near 1 soonest (Jordan et al. 2024)."""


class Muon(Optimizer):
    """Nesterov momentum, orthogonalised.

    Args:
        params: matrices, [m, n] each.
        lr: of square matrices; tall ones move sqrt(m / n) times as far.
        momentum: of the running mean of gradients. weight_decay: decoupled, times `lr`.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float, weight_decay: float
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Moves every matrix that has a gradient; returns the closure's loss, if there is one."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            alike: dict[Any, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape, parameter.device, parameter.dtype].append(parameter)
            for parameters in alike.values():
                moves = orthogonal(torch.stack([self._mean(group, p) for p in parameters]))
                rows, columns = parameters[0].shape
                for parameter, move in zip(parameters, moves, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(move, alpha=-group["lr"] * max(1, rows / columns) ** 0.5)
        return loss

    def _mean(self, group: dict[str, Any], parameter: Tensor) -> Tensor:
        """Returns the mean of gradients a step ahead, [m, n]."""
        gradient = parameter.grad
        assert gradient is not None
        state = self.state[parameter]
        mean = state.setdefault("momentum_buffer", torch.zeros_like(gradient))
        mean.lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(mean, group["momentum"])


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Returns matrices [k, m, n] with singular values near 1 and the same singular vectors.

    Newton-Schulz iteration (Jordan et al. 2024): values end between about 0.7 and 1.2.
    """
    tall = matrices.size(1) > matrices.size(2)
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(steps):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


class MuonAndAdamW(Optimizer):
    """Two optimizers of torch's that step together.

    Learning rates are those of their parameter groups, so that one schedule scales both.

    Args:
        model: of transformers; its parameters are shared out.
        muon_lr, momentum: of the matrices. learning_rate, betas: of the others.
        weight_decay: of the matrices alone.
    """

    def __init__(
        self,
        model: Any,
        *,
        muon_lr: float,
        learning_rate: float,
        betas: tuple[float, float],
        weight_decay: float,
        momentum: float = 0.95,
    ) -> None:
        outer = {id(e.weight) for e in _embeddings(model)}
        matrices, others = list[Any](), list[Any]()
        for parameter in model.parameters():
            if parameter.requires_grad:
                inner = parameter.ndim == 2 and id(parameter) not in outer
                (matrices if inner else others).append(parameter)
        self._parts: list[Optimizer] = []
        if matrices:
            self._parts.append(
                Muon(matrices, lr=muon_lr, momentum=momentum, weight_decay=weight_decay)
            )
        if others:
            self._parts.append(AdamW(others, lr=learning_rate, betas=betas, weight_decay=0.0))
        super().__init__(
            [group for part in self._parts for group in part.param_groups], defaults={}
        )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of both, the very dictionaries they use."""
        return list(chain.from_iterable(part.param_groups for part in self._parts))

    @param_groups.setter
    def param_groups(self, _: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Does nothing: the groups are those of the parts."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Does nothing: the parts have all parameters."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Updates all parameters; returns the closure's loss, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Returns the states of both, in their order."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from what `state_dict` returned."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)


def _embeddings(model: Any) -> Iterator[Any]:
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        if layer is not None:
            yield layer
