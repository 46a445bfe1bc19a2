"""A task: what its YAML may say, and the resolved object that everything else works with."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from spa_bench.canonical import sha256_hex
from spa_bench.environments.contract import unhashable
from spa_bench.environments.environment import AnyEnvironment, NoBoardError
from spa_bench.environments.limits import Limits
from spa_bench.errors import InputError, PluginError, nearest, plugin_code
from spa_bench.formats.format import SEPARATOR, Format, ParseMode
from spa_bench.matching import Matching

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_MEANT = re.compile(r"\{\s*([A-Za-z_]\w*)\s*(?:![a-z])?(?::[^{}]*)?\}")
"""What is a placeholder, or was to be one."""

MOST_REPEATS = 100_000
"""Episodes of one board at most."""

_MOST_BOARDS = 1_000_000

_PATIENCE = 5_000
"""Seeds in a row without a board: a world with so few boards may have none of a split at all."""

SPLITS = ("test", "validation", *["train"] * 8)
"""The split of a board, by the SHA-256 of its board key modulo 10."""

_PLACEHOLDERS = {
    "system": frozenset[str](),
    "instruction": frozenset({"turns", "actions", "actions_per_turn", "separator"}),
    "feedback": frozenset({"reward"}),
    "turn": frozenset(
        {"turn", "turns", "state", "actions_left", "actions_per_turn", "reply_format"}
        | {"new_tokens", "separator"}
    ),
    "reply_format": frozenset({"separator", "actions_per_turn"}),
}
"""What each prompt text may use, beside what the environment offers to `instruction`."""


TaskName: TypeAlias = Annotated[
    str, Matching(r"^[a-z0-9][a-z0-9_]*$", "a name is made of a-z, 0-9 and _, with no _ first")
]
Metric: TypeAlias = Annotated[
    str,
    Matching(
        r"^(pass[@^][1-9]\d{0,4}|belief|accuracy)$",
        "a metric is pass@1, pass@8 and so on, pass^8 and so on, belief, or accuracy",
    ),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskLimits(_Strict):
    """How much a model may do in one episode; `new_tokens` a turn."""

    turns: int = Field(ge=1, le=1000)
    actions_per_turn: int = Field(ge=1, le=100)
    actions: int = Field(ge=1, le=10_000)
    new_tokens: int = Field(ge=1, le=1_000_000)


class TaskSampling(_Strict):
    """How replies are sampled."""

    temperature: float = Field(1.0, ge=0, le=10)
    top_p: float = Field(1.0, gt=0, le=1)


class TaskInstances(_Strict):
    """Which boards: seeds such as `123-250` or `1,5,10-20`, those of one split, at most `count`."""

    split: Literal["paper", "train", "validation", "test", "all"]
    seeds: str
    count: int | None = Field(None, ge=1)

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds_are_ranges(cls, value: Any) -> str:
        if isinstance(value, list):
            raise ValueError('must be one text, such as "1,2,3" or 123-250, and no list')
        text = str(value)
        ranges: list[tuple[int, int]] = []
        for part in text.split(","):
            match = re.fullmatch(r"\s*(\d{1,10})(?:\s*-\s*(\d{1,10}))?\s*", part)
            if match is None:
                raise ValueError(f"{part!r} is not a seed or a range such as 123-250")
            low, high = int(match[1]), int(match[2] or match[1])
            if high < low:
                raise ValueError(f"the range {part.strip()} is empty")
            if high >= 2**32:
                raise ValueError(f"seeds must be below 2**32, not {high}")
            ranges.append((low, high))
        ranges.sort()
        for (_, last), (first, _) in pairwise(ranges):
            if first <= last:
                raise ValueError(f"the seed {first} is given twice")
        return text

    @model_validator(mode="after")
    def _ends_some_day(self) -> TaskInstances:
        number = sum(map(len, self._ranges()))
        if self.count is None and number > _MOST_BOARDS:
            raise ValueError(f"{number} seeds are too many without a `count` of boards")
        return self

    def seed_list(self) -> Iterator[int]:
        """Yields the seeds in the order written."""
        for seeds in self._ranges():
            yield from seeds

    def _ranges(self) -> Iterator[range]:
        for part in self.seeds.split(","):
            low, _, high = part.partition("-")
            yield range(int(low), int(high or low) + 1)


class TaskPrompt(_Strict):
    """The text of every message, with named placeholders in braces.

    The first user message is `instruction` and `turn`, each later one `feedback` and `turn`,
    with an empty line between. `reply_format` holds a text for each format.
    """

    system: str
    instruction: str
    turn: str
    feedback: str
    reply_format: dict[str, str]


class TaskConfig(_Strict):
    """A task file after its includes are merged."""

    task: TaskName
    version: int = Field(ge=1)
    kind: Literal["episode", "probe"]
    description: str = ""
    environment: dict[str, Any]
    probe: dict[str, Any] | None = None
    observation: Literal["grid", "grid+coordinates", "coordinates"]
    format: str
    parse: ParseMode
    limits: TaskLimits
    instances: TaskInstances
    sampling: TaskSampling
    history: Literal["full"] | int = "full"
    repeats: int = Field(ge=1, le=MOST_REPEATS)
    metrics: list[Metric] = Field(min_length=1)
    tag: list[str] = []
    prompt: TaskPrompt

    @field_validator("history", mode="before")
    @classmethod
    def _history_is_a_window(cls, value: Any) -> Any:
        # one validator and not a union of two types, so that there is one complaint
        if value != "full" and not (type(value) is int and value >= 1):
            raise ValueError(f"must be `full` or a number of turns, not {value!r}")
        return value

    @model_validator(mode="after")
    def _kind_has_its_settings(self) -> TaskConfig:
        limits = self.limits
        if self.kind == "episode":
            if self.probe is not None:
                raise ValueError("`probe` is a setting of kind: probe")
            if self.observation == "coordinates":
                raise ValueError("observation: coordinates alone are for kind: probe")
            if "accuracy" in self.metrics:
                raise ValueError("metrics: accuracy is for kind: probe; an episode has pass@1")
        elif self.probe is None:
            raise ValueError("kind: probe needs `probe` with a name and a question")
        elif max(limits.turns, limits.actions_per_turn, limits.actions) > 1:
            raise ValueError("limits: a probe has one turn, one action_per_turn and one action")
        elif "belief" in self.metrics:
            raise ValueError("metrics: belief is for kind: episode")
        return self

    @model_validator(mode="after")
    def _format_has_its_text(self) -> TaskConfig:
        if self.format not in self.prompt.reply_format:
            known = nearest(self.format, self.prompt.reply_format)
            raise ValueError(f"prompt.reply_format has no text for format {self.format!r}{known}")
        return self


UNMEASURED = frozenset({"version", "description", "tag", "metrics", "repeats"})
"""What a task's file says beside its name that does not change what is measured: its hash leaves
these out, and so do the differences that are told between two tasks."""


class GroupConfig(_Strict):
    """A group file: a name for several tasks, groups or tags."""

    group: TaskName
    description: str = ""
    tasks: list[str]


@dataclass(frozen=True)
class Instance:
    """One board of a task."""

    id: str
    seed: int
    state: Any
    board_key: str


@dataclass(frozen=True)
class Skipped:
    """A seed without a board, and why."""

    seed: int
    reason: str


Boards = tuple[tuple[Instance, ...], tuple[Skipped, ...]]
"""Boards in order, and the seeds that have none."""


@dataclass(frozen=True)
class Task:
    """A task ready to be played.

    Attributes:
        name: as shown; ends in `*` where an option changed the task's own settings.
    """

    name: str
    config: TaskConfig
    environment: AnyEnvironment
    format: Format

    @cached_property
    def hash(self) -> str:
        """The identity of what is measured: 64 hexadecimal digits.

        Covers environment, observation, format, all prompt text, limits, parse, history,
        instances and sampling; not its name, and what is `UNMEASURED`.
        """
        config = self.config
        return sha256_hex(
            {
                "environment": [self.environment.environment_id, self.environment.shown_as()],
                "observation": config.observation,
                "format": config.format,
                "prompt": {
                    **config.prompt.model_dump(exclude={"reply_format"}),
                    "reply_format": config.prompt.reply_format[config.format],
                },
                "limits": config.limits.model_dump(),
                "parse": config.parse,
                "history": config.history,
                "instances": config.instances.model_dump(),
                "sampling": config.sampling.model_dump(),
            }
        )

    @property
    def limits(self) -> Limits:
        """The limits that bound what any policy can do."""
        own = self.config.limits
        return Limits(own.turns, own.actions_per_turn, own.actions)

    @property
    def boards(self) -> Boards:
        """The task's boards in order, and the seeds that were asked for and have none."""
        return self.first_boards(None)

    def check_boards(self, limit: int | None) -> None:
        """Makes sure that there are boards among the first `limit`.

        Raises:
            InputError: if there are none.
        """
        boards, skipped = self.first_boards(limit)
        if not boards:
            raise InputError(f"task {self.name!r} has no boards: {why_none(skipped)}")

    def first_boards(self, limit: int | None) -> Boards:
        """Returns the first boards, and the seeds tried for them that have none; None is all.

        No others are made: the questions about one board can take a while.
        """
        bounds = [most for most in (limit, self.config.instances.count) if most is not None]
        most = min(bounds, default=None)
        if most not in self._boards:
            self._boards[most] = self._find_boards(most)
        return self._boards[most]

    @cached_property
    def _boards(self) -> dict[int | None, Boards]:
        return {}

    def _find_boards(self, most: int | None) -> Boards:
        wanted = self.config.instances
        found: list[Instance] = []
        skipped: list[Skipped] = []
        fruitless = 0
        for seed in wanted.seed_list():
            if most is not None and len(found) >= most:
                break
            if fruitless == _PATIENCE:
                raise InputError(
                    f"task {self.name!r}: {_PATIENCE:,} seeds in a row give no board of the split"
                    f" {wanted.split!r}; a world with few boards that differ by more than a"
                    " symmetry may have none there"
                )
            fruitless += 1
            try:
                with plugin_code(
                    f"task {self.name!r}: its environment, at seed {seed},", NoBoardError
                ):
                    for name, state in self.environment.instances(seed):
                        if wrong := unhashable(state):
                            raise PluginError(f"environment {self.environment.name!r}: {wrong}")
                        key = self.environment.board_key(state)
                        if wanted.split not in ("paper", "all") and split_of(key) != wanted.split:
                            break
                        found.append(Instance(name, seed, state, key))
                        fruitless = 0
            except NoBoardError as error:
                skipped.append(Skipped(seed, str(error)))
        return tuple(found[:most]), tuple(skipped)

    def opening_message(self, state: str, turn: int, actions_left: int) -> str:
        """Returns the user message that opens a conversation: normally that of turn 1."""
        return f"{self._instruction}\n\n{self._turn_text(state, turn, actions_left)}"

    def later_message(self, state: str, turn: int, actions_left: int, reward: float) -> str:
        """Returns the user message of a later turn, which begins with the last turn's reward."""
        feedback = fill(self.config.prompt.feedback, {"reward": format_reward(reward)})
        return f"{feedback}\n\n{self._turn_text(state, turn, actions_left)}"

    def _turn_text(self, state: str, turn: int, actions_left: int) -> str:
        changing = {"turn": str(turn), "state": state, "actions_left": str(actions_left)}
        return fill(self.config.prompt.turn, self._turn_fields | changing)

    # what is the same in every message is filled once

    @cached_property
    def _fixed_fields(self) -> dict[str, str]:
        limits = self.config.limits
        return {
            "turns": str(limits.turns),
            "actions": str(limits.actions),
            "actions_per_turn": str(limits.actions_per_turn),
            "new_tokens": str(limits.new_tokens),
            "separator": SEPARATOR,
        }

    @cached_property
    def _instruction(self) -> str:
        fields = {**self.environment.prompt_fields(), **self._fixed_fields}
        return fill(self.config.prompt.instruction, fields)

    @cached_property
    def _turn_fields(self) -> dict[str, str]:
        reply_format = self.config.prompt.reply_format[self.config.format]
        return {**self._fixed_fields, "reply_format": fill(reply_format, self._fixed_fields)}


def split_of(board_key: str) -> str:
    """Returns the split of a board, `train`, `validation` or `test`, from its key alone."""
    return SPLITS[int(sha256_hex(board_key), 16) % 10]


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replaces each `{name}` by its value, once; values are never searched for placeholders."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def why_none(skipped: Sequence[Skipped]) -> str:
    """Returns why a task has no boards, given its seeds that have none."""
    of_split = "none of its seeds gives one of its split"
    return f"{of_split} ({skipped[0].reason})" if skipped else of_split


def misspelt(text: str, known: Collection[str]) -> Iterator[str]:
    """Yields what stands in braces and fills nothing: `stat` of `{stat}`, and `State!r` of
    `{State!r}`, which would be known without its capital and the rest. Other braces are text."""
    for match in _MEANT.finditer(text):
        written, name = match[0][1:-1], match[1]
        plain = _PLACEHOLDER.fullmatch(match[0]) is not None
        if (plain and name not in known) or (not plain and name.lower() in known):
            yield written


def format_reward(reward: float) -> str:
    """Returns a reward to the millionth, without the noise of binary fractions, as `-0.3`.

    Never `-0`, and never with an exponent: a model is to be able to read it, and to write it.
    """
    return f"{round(reward, 6) + 0.0:.6f}".rstrip("0").rstrip(".")


def unknown_placeholders(
    config: TaskConfig, environment: AnyEnvironment
) -> Iterator[tuple[tuple[str, ...], str, frozenset[str]]]:
    """Yields key path, name and the known names for each placeholder that nothing fills."""
    prompt = config.prompt
    with plugin_code(f"task {config.task!r}: its environment"):
        offered = frozenset(environment.prompt_fields())
    texts: list[tuple[tuple[str, ...], str, frozenset[str]]] = [
        (("prompt", "system"), prompt.system, _PLACEHOLDERS["system"]),
        (("prompt", "instruction"), prompt.instruction, _PLACEHOLDERS["instruction"] | offered),
        (("prompt", "turn"), prompt.turn, _PLACEHOLDERS["turn"]),
        (("prompt", "feedback"), prompt.feedback, _PLACEHOLDERS["feedback"]),
    ]
    for name, text in prompt.reply_format.items():
        texts.append((("prompt", "reply_format", name), text, _PLACEHOLDERS["reply_format"]))
    for key, text, known in texts:
        for name in misspelt(text, known):
            yield key, name, known
