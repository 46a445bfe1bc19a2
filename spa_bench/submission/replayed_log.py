"""The log of a submission beside its plan, every episode made again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from spa_bench.runner.plan import Plan
from spa_bench.runner.record import Episode
from spa_bench.runner.rollout import EpisodeSpec
from spa_bench.submission.differences import Differences, EnoughError
from spa_bench.submission.flags import Transcripts
from spa_bench.submission.folder import EPISODES, MB, MOST_BYTES, SubmissionFolder
from spa_bench.submission.order import Order
from spa_bench.submission.recompute import recompute


class ReplayedLog:
    """Reads the log beside the plan: the same episodes, in the same order, each once.

    Broken episodes may stand before the complete one of the same board and repeat.

    Args:
        capabilities: of the backend: whether it could begin the assistant's messages (`prefill`),
            and whether it was shown the state (`privileged`).
        found: takes what differs.

    Attributes:
        count, turns: complete episodes and turns so far.
        lacking: whether episodes are missing.
        transcripts: of the complete episodes.
    """

    def __init__(
        self,
        folder: SubmissionFolder,
        plan: Plan,
        capabilities: Mapping[str, bool],
        found: Differences,
    ) -> None:
        self.count = 0
        self.turns = 0
        self.lacking = False
        self.transcripts = Transcripts()
        self._folder = folder
        self._plan = plan
        self._prefills = capabilities.get("prefill", False)
        self._privileged = capabilities.get("privileged", False)
        self._found = found
        self._broken_left = plan.total + 1000
        self._order = Order(plan)

    def episodes(self) -> Iterator[Episode]:
        """Yields the episodes as they must have been, with the times they claim.

        Raises:
            InputError: at a line that is no episode.
            EnoughError: if nobody needs to know more.
        """
        expected = 0
        most_bytes = min(MOST_BYTES, self._plan.total * MB)
        for number, logged in self._folder.episodes(most_bytes):
            where = f"{EPISODES}:{number}: {logged.instance:.100} repeat {logged.repeat}"
            planned = self._order.place(logged)
            if planned is None:
                self._found.add(where, f"no episode of this run's tasks ({logged.task:.80})")
                continue
            place, spec = planned
            if place < expected:
                self._found.add(where, "is there twice, or not in its place")
                continue
            if place > expected:
                self._lacks(where, place - expected, "before this line")
                expected = place
            made = self._made_again(where, spec, logged)
            expected += made.status == "complete"
            yield made
        if expected < self._plan.total:
            self._lacks(EPISODES, self._plan.total - expected, "at the end")

    def _made_again(self, where: str, spec: EpisodeSpec, logged: Episode) -> Episode:
        prefill = spec.task.format.prefill if self._prefills else ""
        made, differences = recompute(spec, logged, prefill, privileged=self._privileged)
        for difference in differences:
            self._found.add(where, difference)
        self.turns += len(made.turns)
        if made.status == "complete":
            self.count += 1
            self.transcripts.add(made)
        else:
            self._broken_left -= 1
            if self._broken_left < 0:
                self._found.add(where, "more episodes broke than a run can have")
                raise EnoughError
        return replace(made, started=logged.started, seconds=logged.seconds)

    def _lacks(self, where: str, count: int, there: str) -> None:
        self.lacking = True
        self._found.add(where, f"{count:,} episode(s) missing {there}")
