"""Muon for the matrices between a model's layers, AdamW for all else, as one optimizer.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) moves a matrix along its
orthogonalised momentum. Embeddings, the output layer and norms are not its business: they stay
with AdamW. torch's own Muon computes in bfloat16, which takes CPUs that have none of it many times
as long as all the rest of a small model's step; this one keeps the gradients' type, and takes
matrices of one shape together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
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
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        mean = state["momentum_buffer"]
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
    """Muon and torch's AdamW as one optimizer; each has groups of parameters of its own.

    Args:
        matrices: that Muon moves. muon_lr, momentum, weight_decay: of these alone.
        groups: of parameters, each with its `lr`; but for the matrices they are AdamW's, without
            decay. betas: of all of them.
    """

    def __init__(
        self,
        matrices: Sequence[Tensor],
        groups: Sequence[dict[str, Any]],
        *,
        muon_lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        momentum: float = 0.95,
    ) -> None:
        self._parts: list[Optimizer] = []
        if matrices:
            self._parts.append(
                Muon(matrices, lr=muon_lr, momentum=momentum, weight_decay=weight_decay)
            )
        inner = set(map(id, matrices))
        others = [
            {**group, "params": [p for p in group["params"] if id(p) not in inner]}
            for group in groups
        ]
        if any(group["params"] for group in others):
            self._parts.append(AdamW(others, betas=betas, weight_decay=0.0))
        super().__init__(
            [
                {**group, "part": number}
                for number, part in enumerate(self._parts)
                for group in part.param_groups
            ],
            defaults={},
        )

    @classmethod
    def of(cls, model: Any, *, learning_rate: float, **settings: Any) -> MuonAndAdamW:
        """Returns an optimizer of all that learns in a model of transformers.

        Args:
            learning_rate: AdamW's. settings: the others.
        """
        learning = [p for p in model.parameters() if p.requires_grad]
        return cls(inner_matrices(model), [{"params": learning, "lr": learning_rate}], **settings)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Updates all parameters; returns the closure's loss, if there is one."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for number, part in enumerate(self._parts):
            part.state = self.state
            part.param_groups = [g for g in self.param_groups if g["part"] == number]
            part.step()
        return loss


def inner_matrices(model: Any) -> list[Tensor]:
    """Returns the matrices of a model of transformers that learn, but for its embeddings."""
    ends = [one for one in model.modules() if isinstance(one, torch.nn.Embedding)]
    if (last := model.get_output_embeddings()) is not None:
        ends.append(last)
    outer = {id(layer.weight) for layer in ends}
    return [p for p in model.parameters() if p.requires_grad and p.ndim == 2 and id(p) not in outer]
