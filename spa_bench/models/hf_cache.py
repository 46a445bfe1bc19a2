"""Keys and values of a batch, with room to grow.

transformers' own dynamic cache copies everything for every token; this one writes one column,
and copies when the room is used up or when rows join and leave. Layers with a sliding window are
kept whole: their mask does the rest, and rows can be moved.

Torch is imported at module level: import this file only where a model is about to run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import cache_utils

_ROOM = 64
"""Free columns after rows were moved: tokens that are written without a copy."""


class _Layer(cache_utils.DynamicLayer):
    """One layer's keys and values, (B, heads, length, size), as views of larger buffers."""

    def __init__(self) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.buffers: list[Tensor] = []
        self.length = 0

    def hold(self, keys: Tensor, values: Tensor, length: int) -> None:
        """Keeps the first `length` columns of two buffers and treats the rest as room."""
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.buffers, self.length = [keys, values], length
        self.keys, self.values = keys[:, :, :length], values[:, :, :length]

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Appends columns, (B, heads, new, size), and returns all."""
        if not self.buffers:
            self.hold(key_states, value_states, key_states.shape[-2])
            return key_states, value_states
        end = self.length + key_states.shape[-2]
        for buffer, new in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, self.length : end] = new
        self.length = end
        keys, values = (buffer[:, :, :end] for buffer in self.buffers)
        self.keys, self.values = keys, values
        return keys, values


class Cache:
    """The cache of a batch; `native` is what transformers is handed."""

    def __init__(self) -> None:
        self.native: Any = cache_utils.Cache(layer_class_to_replicate=_Layer)

    @property
    def layers(self) -> list[_Layer]:
        """One a layer of the model, once a prompt was read."""
        return self.native.layers

    @property
    def length(self) -> int:
        """Columns in use."""
        return self.layers[0].length if self.layers else 0

    @property
    def full(self) -> bool:
        """Whether there is no room for another column."""
        return self.length >= self.layers[0].buffers[0].shape[-2]


def merge(caches: Sequence[Cache], rows: Sequence[Sequence[int]], width: int) -> Cache:
    """Returns one cache of the last `width` columns of the given rows of each cache.

    The caches are emptied layer by layer on the way, so that at no time everything is held twice.
    """
    merged = Cache()
    for index in range(len(caches[0].layers)):
        layers = [cache.layers[index] for cache in caches]
        keys, values = (_stack([x.buffers[i] for x in layers], layers, rows, width) for i in (0, 1))
        for cache in caches:
            cache.layers[index] = _Layer()
        layer = _Layer()
        layer.hold(keys, values, width)
        merged.layers.append(layer)
    return merged


def _stack(
    buffers: Sequence[Tensor], layers: Sequence[_Layer], rows: Sequence[Sequence[int]], width: int
) -> Tensor:
    """Returns (rows, heads, width + room, size), right-aligned at `width`, zero to the left."""
    _, heads, _, size = buffers[0].shape
    # Zeros, not uninitialised memory: a masked NaN is still a NaN after attention.
    out = buffers[0].new_zeros(sum(map(len, rows)), heads, width + _ROOM, size)
    done = 0
    for buffer, layer, kept in zip(buffers, layers, rows, strict=True):
        taken = min(width, layer.length)
        columns = buffer[:, :, layer.length - taken : layer.length]
        if len(kept) < len(columns):
            columns = columns[list(kept)]
        out[done : done + len(kept), :, width - taken : width] = columns
        done += len(kept)
    return out
