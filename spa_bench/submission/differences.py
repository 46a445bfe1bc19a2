"""What a verifier found to be otherwise than a submission says, up to a number of lines."""

from __future__ import annotations

from dataclasses import dataclass, field

from spa_bench.submission.shown import shown

MOST_DIFFERENCES = 100
"""After so many, a verifier stops looking."""


class EnoughError(Exception):
    """So many differences that nobody reads more."""


@dataclass
class Differences:
    """The lines, each with where it was found."""

    lines: list[str] = field(default_factory=list[str])

    def add(self, where: str, what: str) -> None:
        """Adds a line.

        Raises:
            EnoughError: if there are enough already.
        """
        if len(self.lines) >= MOST_DIFFERENCES:
            raise EnoughError
        self.lines.append(shown(f"{where}: {what}", 500))
