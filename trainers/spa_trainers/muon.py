"""Muon for the matrices between a model's layers, AdamW for all else, as one optimizer.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; torch's implementation) moves a
matrix along its orthogonalised momentum. Embeddings, the output layer and norms are not its
business: they stay with AdamW.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
from torch.optim import AdamW, Muon, Optimizer


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
