"""The errors of a training that a person sees, beside those of the harness."""

from __future__ import annotations

from spa_bench.errors import SpaBenchError


class TrainingError(SpaBenchError):
    """A training that cannot go on."""

    exit_code = 1
