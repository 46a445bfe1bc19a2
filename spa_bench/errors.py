"""The errors a person sees. Everything else that escapes is a bug.

Each carries one line: what is wrong, where, and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SpaBenchError(Exception):
    """Base of all errors that are shown as one line instead of a traceback."""

    exit_code = 1


class InputError(SpaBenchError):
    """The user asked for something that cannot be: exit code 2."""

    exit_code = 2


class ModelError(SpaBenchError):
    """A model could not answer one request, for a reason that is not its own doing.

    The episode that needed the answer is recorded as `infrastructure`, is owed again, and
    is never scored as a loss.
    """


class OutOfBudgetError(ModelError):
    """A request was not sent, because it could have cost more than the run may spend."""


class ModelGoneError(ModelError):
    """The model cannot answer any request any more: the run stops and can be resumed."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns ' (did you mean a, b?)' for the known names closest to `name`, or ''."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(close)}?)" if close else ""
