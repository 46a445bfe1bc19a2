"""The errors a person sees. Everything else that escapes is a bug.

Each carries one line: what is wrong, where, and what to do about it.
"""

from __future__ import annotations

import difflib
import sys
import traceback
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pydantic


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


class PluginError(SpaBenchError):
    """A world, a format or a model, most likely somebody's plug-in, broke its protocol."""


@contextmanager
def plugin_code(what: str, *expected: type[Exception]) -> Generator[None]:
    """Turns whatever the code within raises into one line that says where it was raised.

    Args:
        what: whose code it is, such as `environment 'chess'`.
        expected: exceptions that belong to its protocol; these pass.

    Raises:
        PluginError: for any other exception that is none of ours.
    """
    try:
        yield
    except (SpaBenchError, *expected):
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{what} raised {told(error)}") from error


def told(error: BaseException) -> str:
    """Returns an exception as one line: its type, what it says, and the line that raised it.

    That is the last line of code that is neither ours nor Python's own, if there is one: it is most
    likely the line to mend.
    """
    lines = [
        (frame.f_code.co_filename, number, str(frame.f_globals.get("__name__")))
        for frame, number in traceback.walk_tb(error.__traceback__)
    ]
    others = [
        line
        for line in lines
        if not line[0].startswith("<")  # made by dataclasses, or frozen into Python
        and line[2].partition(".")[0] not in {"spa_bench", *sys.stdlib_module_names}
    ]
    where = "".join(f" ({Path(file).name}:{n})" for file, n, _ in (others or lines)[-1:])
    says = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}{': ' if says else ''}{says}{where}"


def complaint(detail: Mapping[str, Any]) -> str:
    """Returns what one error of pydantic says, without the words that it puts before ours."""
    return str(detail["msg"]).removeprefix("Value error, ")


def first_complaint(error: pydantic.ValidationError) -> str:
    """Returns the first of pydantic's errors as one line: which key, and what is wrong with it."""
    detail = error.errors(include_url=False, include_input=False)[0]
    key = ".".join(map(str, detail["loc"]))
    return f"{key}: {complaint(detail)}" if key else complaint(detail)


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns ' (did you mean a, b?)' for the known names closest to `name`, or ''."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(close)}?)" if close else ""
