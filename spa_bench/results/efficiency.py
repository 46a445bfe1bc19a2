"""How well a run kept its model at work: from the times in the log, and from nothing else."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field

import numpy as np

from spa_bench.results.schema import Number, ResultModel
from spa_bench.runner.record import Episode

_PAUSE = 1.0
"""Seconds without any episode that are still the run's own: from one episode to the next. A longer
time is one in which nobody ran it."""


class Efficiency(ResultModel):
    """Where a run's time went; all times in seconds.

    Attributes:
        wall: while episodes were under way, all starts of the run together.
        concurrency: the most episodes under way at a time.
        calls: answered model calls of complete episodes.
        calls_in_flight: of these, at work at a time, on average over the wall time.
        busy: `calls_in_flight` as a share of `concurrency`: below 1 for what episodes do between
            calls, and because towards the end fewer episodes are left.
        overhead: of an episode, per call: whatever is not waiting for the model.
        tokens_per_second: written, reasoning included, by wall time; null if nobody counted.
        prefix_reuse: share of the prompt tokens that were served from a cache, over the calls whose
            backend tells.
        longest_episode: of the complete ones.
        drain: from the beginning of the last episode to the end of all: the price of stragglers.
    """

    wall: Number
    concurrency: int
    calls: int
    calls_in_flight: Number
    busy: Number
    overhead: Number
    tokens_per_second: Number
    prefix_reuse: Number
    longest_episode: Number
    drain: Number


@dataclass
class EfficiencyTally:
    """Running sums over a log; sixteen bytes an episode."""

    starts: array[float] = field(default_factory=lambda: array("d"))
    ends: array[float] = field(default_factory=lambda: array("d"))
    episode_seconds: float = 0.0
    longest: float = 0.0
    calls: int = 0
    call_seconds: float = 0.0
    written: int | None = None
    cached: int = 0
    cacheable: int = 0

    def add(self, episode: Episode, *, scored: bool) -> None:
        """Counts an episode of the log; one that is not scored took its time all the same."""
        if episode.started is None or episode.seconds is None:
            return  # logged by a version that did not write times
        self.starts.append(episode.started)
        self.ends.append(episode.started + episode.seconds)
        if not scored:
            return
        self.episode_seconds += episode.seconds
        self.longest = max(self.longest, episode.seconds)
        for turn in episode.turns:
            usage = turn.usage
            self.calls += 1
            self.call_seconds += turn.seconds
            if usage.completion_tokens is not None:
                self.written = (self.written or 0) + usage.completion_tokens
            if usage.cached_tokens is not None and usage.prompt_tokens is not None:
                self.cached += usage.cached_tokens
                self.cacheable += usage.prompt_tokens

    def result(self) -> Efficiency | None:
        """Returns the figures; None where the log has no times."""
        if not self.starts:
            return None
        starts, ends = (np.sort(np.frombuffer(times)) for times in (self.starts, self.ends))
        # before the k-th start, k - 1 episodes began: nobody was at work if all had ended by then
        pauses = starts[1:] - ends[:-1]
        wall = float(ends[-1] - starts[0] - pauses[pauses > _PAUSE].sum())
        under_way = np.arange(1, len(starts) + 1) - np.searchsorted(ends, starts, side="right")
        concurrency = max(1, int(under_way.max()))
        in_flight = _ratio(self.call_seconds, wall)
        return Efficiency(
            wall=wall,
            concurrency=concurrency,
            calls=self.calls,
            calls_in_flight=in_flight,
            busy=in_flight / concurrency,
            overhead=_ratio(max(0.0, self.episode_seconds - self.call_seconds), self.calls),
            tokens_per_second=math.nan if self.written is None else _ratio(self.written, wall),
            prefix_reuse=_ratio(self.cached, self.cacheable),
            longest_episode=self.longest if self.calls else math.nan,
            drain=float(ends[-1] - starts[-1]),
        )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan
