"""Takes out of a run what is nobody else's business: keys, local paths, names of machines."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from spa_bench.privacy import names_secret

_SECRET_NAME = re.compile(r"(key|token|secret|password|passwd|credential)s?$", re.IGNORECASE)
"""How variables are called that hold keys."""

_SHORTEST_SECRET = 8

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    # the shapes in which the usual services hand out keys
    (
        "[key]",
        re.compile(r"\b(?:sk|rk|pk|hf|gsk|xai|r8|ghp|gho|ghs|glpat|github_pat)[-_][\w-]{8,}"),
    ),
    ("[key]", re.compile(r"\b(?:AKIA|ASIA|AIza)[A-Za-z0-9_-]{12,}")),
    ("[key]", re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+")),
    ("[key]", re.compile(r"(?i)(?<=bearer )\s*[\w.~+/=-]{4,}")),
    ("[key]", re.compile(r"(?i)(?<=key=)[^\s&\"']+|(?<=token=)[^\s&\"']+")),
    ("[server]", re.compile(r"(?i)\b(?:https?|wss?|ftp|file|unix)://[^\s\"'<>)\]]+")),
    ("[server]", re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b")),
    ("[server]", re.compile(r"\[?\b(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F:]*\]?(?::\d+)?")),
    ("[server]", re.compile(r"(?i)\blocalhost(?::\d+)?\b")),
    ("[server]", re.compile(r"(?i)\b[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:local|lan|internal|corp)\b")),
    ("[path]", re.compile(r"(?<![\w.:/<-])~?(?:/[\w.@+~-]+){2,}/?|(?<![\w/])~/[^\s\"',;)]*")),
    ("[path]", re.compile(r"\b[A-Za-z]:\\[^\s\"',;)]*|\\\\[\w.-]+\\[^\s\"',;)]*")),
)


@dataclass(frozen=True)
class Scrubber:
    """Knows what to take out: shapes of secrets, and what this machine's own are.

    Attributes:
        variables: of the process; those that are named like keys hold secrets.
        hosts: names of this machine.
        home: the home folder, whose last part is somebody's name.
    """

    variables: Mapping[str, str]
    hosts: tuple[str, ...]
    home: str

    @classmethod
    def of_this_machine(cls) -> Scrubber:
        """Returns one that knows this process's variables and this machine's names."""
        name = socket.gethostname()
        return cls(dict(os.environ), (name,), os.path.expanduser("~"))

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """The values of this process's variables that are named like keys."""
        return tuple(
            value
            for name, value in self.variables.items()
            if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET
        )

    @cached_property
    def _patterns(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        """All patterns: this process's secrets, the longest first; shapes; this machine's names."""
        secrets = sorted(self.secrets, key=len, reverse=True)
        own = [("[key]", re.compile(re.escape(secret))) for secret in secrets]
        names: list[tuple[str, re.Pattern[str]]] = []
        if self.home.count("/") > 1:  # one right below / is nobody's, and its name a common word
            names.append(("[path]", re.compile(rf"{re.escape(self.home)}[^\s\"',;)]*")))
            names.append(("[user]", _word(os.path.basename(self.home))))
        names += [("[server]", _word(host)) for host in self.hosts if len(host) > 2]
        return (*own, *names[:1], *_PATTERNS, *names[1:])

    def text(self, text: str) -> str:
        """Returns the text with `[key]`, `[server]`, `[path]` and `[user]` in place of such."""
        for mark, pattern in self._patterns:
            text = pattern.sub(mark, text)
        return text

    def value(self, value: Any) -> Any:
        """Returns plain data with every text scrubbed, and without settings that hold keys."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            pairs = cast(Mapping[str, Any], value).items()
            return {self.text(str(k)): self.value(v) for k, v in pairs if not names_secret(str(k))}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in cast(list[Any], value)]
        return value

    def holds_secret(self, text: str) -> bool:
        """Returns whether the text holds one of this process's secrets, to the letter."""
        return any(secret in text for secret in self.secrets)


def _word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
