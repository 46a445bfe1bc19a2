"""Keys and values of many rows: what growing costs."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch

from spa_bench.models.hf_cache import Cache, Layout

PARTS, ROWS, HEADS, SIZE = 20, 16, 2, 8


def test_a_batch_grows_without_a_second_copy_of_itself() -> None:
    with torch.profiler.profile(profile_memory=True) as seen:
        cache = Cache(Layout(((HEADS, SIZE),) * PARTS, torch.float32, torch.device("cpu")), ROWS)
        cache.arrange(0, ROWS, 400)
        cache.arrange(ROWS, ROWS, 1000)
    memory: Any = seen.profiler
    events = memory.kineto_results.events()
    taken = list(accumulate(one.nbytes() for one in events if one.name() == "[memory]"))
    part = 4 * ROWS * HEADS * SIZE * _columns(cache)
    assert taken[-1] == PARTS * part
    assert max(taken) <= (PARTS + 1) * part


def test_rows_of_any_length_come_back_as_they_were() -> None:
    layout = Layout(((HEADS, SIZE), (HEADS, SIZE), (1, SIZE)), torch.float32, torch.device("cpu"))
    cache, width = Cache(layout, ROWS), 12
    cache.arrange(0, ROWS, width)
    parts = [part for block in cache._blocks.values() for part in block]
    for part in parts:
        part.normal_()
    before = [part.clone() for part in parts]
    rows, lengths = [3, 0, *range(5, 15)], [5, 12, *range(1, 11)]
    copies = cache.take(rows, lengths)

    for part in parts:
        part.fill_(float("nan"))
    less = [length - 1 for length in lengths]
    cache.put(1, [*copies, None], [*less, 0], width - 1)

    for part, old in zip(parts, before, strict=True):
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True), 1):
            known = old[row, :, width - length : width - 1]
            assert torch.equal(part[place, :, width - length : width - 1], known)
            assert not part[place, :, : width - length].any()
        assert not part[1 + len(rows), :, : width - 1].any()
        assert part[0].isnan().all()


def _columns(cache: Cache) -> int:
    """Returns how many tokens fit into a row."""
    while not cache.full:
        cache.end += 1
    return cache.end
