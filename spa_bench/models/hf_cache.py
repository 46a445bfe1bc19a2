"""Keys and values of many rows in one piece of memory that is kept and filled again.

Rows stand right-aligned: all end in the same column, and what stands left of a row is masked and
zero. So a step writes one column for everybody, a new row is written into place without moving
the others, and rows move only to close gaps and when the last column is reached. A row can be
copied out and put back later. Layers with a sliding window are kept whole: their mask does the
rest.

Torch is imported at module level: import this file only where a model is about to run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from transformers import cache_utils

from spa_bench.models.hf_forward import growing_cache

_ROOM = 64
"""Free columns, at least, once rows were moved: tokens that are written without a move."""
_ALIGNED = 64
"""Columns come in multiples of this, as attention on a GPU wants them."""
_TOGETHER = 8
"""Rows that are copied out or put back at a time. One by one each takes a few calls a layer, which
cost a GPU more than the copying; all at once would take as much memory again."""


@dataclass(frozen=True)
class Layout:
    """What a model keeps of each token.

    Attributes:
        shapes: (heads, size) of each layer's keys and of its values, in turn.
        dtype, device: of all of them.
    """

    shapes: tuple[tuple[int, int], ...]
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, model: Any, device: torch.device) -> Layout:
        """Finds out by reading one token.

        Raises:
            ValueError: for a model that keeps none.
        """
        native = growing_cache()
        token = torch.zeros(1, 1, dtype=torch.int64, device=device)
        model(input_ids=token, past_key_values=native, use_cache=True, logits_to_keep=1)
        parts = [part for layer in native.layers for part in (layer.keys, layer.values)]
        if not parts or any(part is None for part in parts):
            raise ValueError("it keeps no keys and values of earlier tokens")
        shapes = tuple((part.shape[1], part.shape[3]) for part in parts)
        return cls(shapes, parts[0].dtype, device)

    def memory(self, shape: tuple[int, int], rows: int, columns: int) -> Tensor:
        """Returns memory of any content for one part: (rows, heads, columns, size)."""
        heads, size = shape
        return torch.empty(rows, heads, columns, size, dtype=self.dtype, device=self.device)


Row = list[Tensor]
"""A row by itself: of each shape of a layout, (parts, heads, tokens, size)."""


class _Layer(cache_utils.DynamicLayer):
    """One layer's keys and values as a model sees them: a window of rows and columns.

    Args:
        keys, values: (rows, heads, columns, size).
    """

    def __init__(self, keys: Tensor, values: Tensor, rows: slice, start: int, end: int) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.buffers = [buffer[rows, :, start:] for buffer in (keys, values)]
        self.length = end - start

    def get_seq_length(self) -> int:
        return self.length

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Appends columns, (B, heads, new, size), and returns all."""
        begin, self.length = self.length, self.length + key_states.shape[-2]
        for buffer, new in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, begin : self.length] = new
        self.keys, self.values = (buffer[:, :, : self.length] for buffer in self.buffers)
        return self.keys, self.values


class _Fixed(cache_utils.DynamicLayer):
    """One layer's keys and values as a pass sees them whose tensors stay where they are.

    Args:
        keys, values: (rows, heads, columns, size).
        column: where the token that is read belongs, int64 (1,).
    """

    def __init__(self, keys: Tensor, values: Tensor, column: Tensor) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.whole, self.column = (keys, values), column

    def get_seq_length(self) -> int:
        return self.whole[0].shape[2] - 1

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Writes one column, (B, heads, 1, size), and returns all, whatever lies in them."""
        for part, new in zip(self.whole, (key_states, value_states), strict=True):
            part.index_copy_(2, self.column, new)
        return self.whole


class Cache:
    """Rows of keys and values; the caller knows how long each row is.

    Columns beyond the last are zero, for passes that look at them through a mask.

    Args:
        layout: of the model.
        most: rows there may ever be.

    Attributes:
        end: the column after the last of every row.
        rows, columns: that there is room for.
        moves: how often the memory has become another.
    """

    def __init__(self, layout: Layout, most: int) -> None:
        self.end: int = 0
        self.rows: int = 0
        self.columns: int = 0
        self.moves: int = 0
        self._layout = layout
        self._most = most
        self._blocks: dict[tuple[int, int], list[Tensor]] = {}  # of each shape its parts
        for shape in layout.shapes:
            self._blocks.setdefault(shape, []).append(layout.memory(shape, 0, 0))

    @property
    def full(self) -> bool:
        """Whether there is no room for another column."""
        return self.end >= self.columns

    def window(self, rows: slice, start: int, end: int) -> Any:
        """Returns some rows and columns as transformers wants them; what it appends stays here."""
        return cache_utils.Cache([_Layer(k, v, rows, start, end) for k, v in self._layers()])

    def fixed(self, rows: int, columns: int, column: Tensor) -> Any:
        """Returns the first rows and columns, for a pass that fills one column (int64, (1,))."""
        whole = slice(rows), slice(None), slice(columns)
        return cache_utils.Cache([_Fixed(k[whole], v[whole], column) for k, v in self._layers()])

    def _layers(self) -> list[tuple[Tensor, Tensor]]:
        seen: Counter[tuple[int, int]] = Counter()
        parts: list[Tensor] = []
        for shape in self._layout.shapes:
            parts.append(self._blocks[shape][seen[shape]])
            seen[shape] += 1
        return list(zip(parts[::2], parts[1::2], strict=True))

    def arrange(self, used: int, rows: int, width: int) -> None:
        """Moves the first `used` rows so that there are `rows` of up to `width` tokens, and room.

        Args:
            used: rows that are kept.
            rows: how many there will be, those included.
            width: the longest of them, those included.
        """
        kept = min(self.end, width)
        if rows <= self.rows and width + _ROOM <= self.columns:
            for part in chain.from_iterable(self._blocks.values()):
                moved = part[:used, :, self.end - kept : self.end].clone()  # of one part at a time
                part[:used, :, width - kept : width] = moved
                part[:used, :, : width - kept] = 0
                part[:, :, width : self.end] = 0  # beyond it is
        else:
            if rows > self.rows:
                self.rows = max(rows, min(2 * self.rows, self._most))
            self.columns = -(-(width + max(_ROOM, width // 2)) // _ALIGNED) * _ALIGNED
            self.moves += 1
            for shape, block in self._blocks.items():
                for number, part in enumerate(block):  # each is let go before the next
                    new = self._layout.memory(shape, self.rows, self.columns).zero_()
                    new[:used, :, width - kept : width] = part[:used, :, self.end - kept : self.end]
                    block[number] = new
        self.end = width

    def fits(self, rows: int, width: int) -> bool:
        """Whether so many rows of such a width find place without a move, and another column."""
        return rows <= self.rows and width <= self.end < self.columns

    def close_gaps(self, kept: Sequence[int]) -> list[int]:
        """Moves rows from the end into the places of rows that are gone.

        Args:
            kept: the rows to keep, ascending.

        Returns:
            Which row stands in each place now.
        """
        order = list(range(len(kept)))
        gaps = sorted(set(order) - set(kept))
        if gaps:
            moved = list(kept[len(kept) - len(gaps) :])
            for gap, row in zip(gaps, moved, strict=True):
                order[gap] = row
            to, of = (torch.tensor(rows, device=self._layout.device) for rows in (gaps, moved))
            for part in chain.from_iterable(self._blocks.values()):
                part[to, :, : self.end] = part[of, :, : self.end]
        return order

    def take(self, rows: Sequence[int], lengths: Sequence[int]) -> list[Row]:
        """Returns copies of the last columns of some rows, so many of each."""
        taken: list[Row] = [[] for _ in rows]
        for block in self._blocks.values():
            for some in _pieces(len(rows)):
                width = max(lengths[number] for number in some)
                index = torch.tensor([rows[number] for number in some], device=self._layout.device)
                columns = (part[index, :, self.end - width : self.end] for part in block)
                for number, one in zip(some, torch.stack(list(columns), 1), strict=True):
                    taken[number].append(one[:, :, width - lengths[number] :].clone())
        return taken

    def put(self, first: int, rows: Sequence[Row | None], lengths: Sequence[int], end: int) -> None:
        """Fills places from `first` on: the first tokens of each row, ending before column `end`.

        Args:
            first: the first place.
            rows: what `take` returned, or None for a row of which nothing is known.
            lengths: how many tokens of each; 0 where nothing is known.
            end: the column after their last.
        """
        for index, (shape, block) in enumerate(self._blocks.items()):
            for some in _pieces(len(rows)):
                width = max(lengths[number] for number in some)
                flat = self._layout.memory(shape, len(block) * len(some), width)
                together = flat.view(len(block), len(some), *flat.shape[1:])
                for place, number in enumerate(some):
                    row, length = rows[number], lengths[number]
                    # Not what was there before: a masked NaN is still a NaN after attention.
                    together[:, place, :, : width - length] = 0
                    if row is not None:
                        together[:, place, :, width - length :] = row[index][:, :, :length]
                places = slice(first + some.start, first + some.stop)
                for part, new in zip(block, together, strict=True):
                    part[places, :, : end - width] = 0
                    part[places, :, end - width : end] = new


def _pieces(count: int) -> Iterator[range]:
    return (range(at, min(at + _TOGETHER, count)) for at in range(0, count, _TOGETHER))
