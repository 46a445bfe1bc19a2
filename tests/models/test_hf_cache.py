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


def _columns(cache: Cache) -> int:
    """Returns how many tokens fit into a row."""
    while not cache.full:
        cache.end += 1
    return cache.end
