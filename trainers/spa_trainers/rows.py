"""From played episodes to training rows: beliefs replaced by the truth, one row a turn.

A belief is replaced where the format's parser found it, character by character: no pattern is
ever built from a state's text. Earlier turns of a row are corrected too, so the model learns to
continue a conversation in which everything said about the world was true.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from spa_bench.canonical import sha256_hex
from spa_bench.formats.format import ParsedReply, Span
from spa_bench.runner.record import Episode
from spa_bench.runner.replay import replay
from spa_bench.task import Task

Beliefs = Literal["truth", "own"]
Coordinates = Literal["true", "random"]

PARTS = ("observation", "prediction", "answer")

UNFORMATTED = (
    "no readable answer",
    "no valid action",
    "an action that does not exist",
    "a belief is missing",
    "prediction before observation",
    "tags repeated",
)
"""Why a turn is no example of its format."""


@dataclass(frozen=True, slots=True)
class Row:
    """One turn to learn from.

    Attributes:
        task, instance, repeat, turn: where it was played.
        board_key: of the board, so that splits can be checked.
        success: whether the episode succeeded.
        messages: the conversation up to this turn as (role, content), the user's message last.
        reply: what the assistant should have said, prefill included.
        spans: for `observation`, `prediction` and `answer`, the characters [start, end) of
            `reply` between the tags; absent where the reply has no such part.
    """

    task: str
    instance: str
    board_key: str
    repeat: int
    turn: int
    success: bool
    messages: tuple[tuple[str, str], ...]
    reply: str
    spans: dict[str, tuple[int, int]]


@dataclass
class Kept:
    """What became of the turns of a dataset.

    Attributes:
        turns: played. rows: kept. why: reason -> turns that were dropped for it.
    """

    turns: int = 0
    rows: int = 0
    why: Counter[str] = field(default_factory=Counter[str])

    @property
    def rate(self) -> float:
        """The share of turns that were kept; 0 where none was played."""
        return self.rows / self.turns if self.turns else 0.0


@dataclass(frozen=True)
class RowMaker:
    """Turns episodes of one task into rows.

    Args:
        task: the task they were played on.
        board: returns the first state of an instance, by its id.
        beliefs: `truth` replaces what the model wrote; `own` keeps it (an ablation).
        coordinates: `random` draws those that are written wherever the state is shown (an
            ablation).
        filtered: drops turns that do not follow the format, and repetitions.
        leave_out: board keys that must not be trained on, such as those of the evaluation.
    """

    task: Task
    board: Callable[[str], Any]
    beliefs: Beliefs = "truth"
    coordinates: Coordinates = "true"
    filtered: bool = True
    leave_out: frozenset[str] = frozenset()
    kept: Kept = field(default_factory=Kept)
    _seen: set[bytes] = field(default_factory=set[bytes])

    def rows(self, episodes: Iterable[Episode]) -> Iterator[Row]:
        """Yields the rows of episodes, in their order.

        A turn whose reply does not follow the format ends the rows of its episode: later turns
        would have it in their history. Unfiltered, every turn is a row.
        """
        for episode in episodes:
            if episode.status != "complete":
                continue
            if episode.board_key in self.leave_out:
                self._drop("board is evaluated on", len(episode.turns))
                continue
            yield from self._episode(episode)

    def _episode(self, episode: Episode) -> Iterator[Row]:
        task, format_ = self.task, self.task.format
        conversation = [("system", task.config.prompt.system)]
        played = list(replay(task, self.board(episode.instance), episode))
        left = task.limits.actions
        for index, here in enumerate(played):
            shown = self._shown(episode, index, here.before)
            if index == 0:
                user = task.opening_message(shown, 1, left)
            else:
                reward = played[index - 1].turn.reward
                user = task.later_message(shown, index + 1, left, reward)
            left -= here.turn.executed
            conversation.append(("user", user))
            parsed = format_.parse(here.turn.reply, task.config.parse)
            problem = self._problem(here.turn.reply, here.turn.parse, parsed)
            if problem and self.filtered:
                self._drop(problem, 1)
                self._drop("after a turn that was dropped", len(played) - index - 1)
                return
            reply = here.turn.reply
            if self.beliefs == "truth":
                # only what was executed is what the prediction is about
                after = self._shown(episode, index + 1, here.after)
                reply = corrected(reply, parsed, shown, after)
                parsed = format_.parse(reply, task.config.parse)
            messages = tuple(conversation)
            conversation.append(("assistant", reply))
            if self.filtered and self._repeats(messages, reply):
                self._drop("repeats another row", 1)
                continue
            self.kept.turns += 1
            self.kept.rows += 1
            yield Row(
                task=task.config.task,
                instance=episode.instance,
                board_key=episode.board_key,
                repeat=episode.repeat,
                turn=index,
                success=episode.success,
                messages=messages,
                reply=reply,
                spans={
                    part: (span.start, span.end)
                    for part in PARTS
                    if (span := getattr(parsed, part)) is not None
                },
            )

    def _problem(self, reply: str, status: str, parsed: ParsedReply) -> str | None:
        """Returns what is wrong with a reply as an example of its format; None if nothing is."""
        no_answer, invalid, partial, missing, reversed_, repeated = UNFORMATTED
        if status != "ok":
            return {"format": no_answer, "invalid": invalid, "partial": partial}[status]
        if not self.task.format.believes:
            return None
        seen, expected = parsed.observation, parsed.prediction
        if seen is None or expected is None:
            return missing
        if seen.end > expected.start:
            return reversed_
        tags = ("<observation>", "<prediction>", "<answer>", "</think>")
        return repeated if any(reply.count(tag) > 1 for tag in tags) else None

    def _shown(self, episode: Episode, index: int, state: Any) -> str:
        environment, observation = self.task.environment, self.task.config.observation
        text = environment.observe(state, observation)
        if self.coordinates == "true" or observation == "grid":
            return text
        grid = environment.render(state)
        key = sha256_hex([episode.instance, episode.repeat, index])
        return f"{grid}\n{_elsewhere(environment.describe(state), grid, random.Random(key))}"

    def _repeats(self, messages: tuple[tuple[str, str], ...], reply: str) -> bool:
        digest = bytes.fromhex(sha256_hex([messages, reply])[:32])
        known = digest in self._seen
        self._seen.add(digest)
        return known

    def _drop(self, why: str, turns: int) -> None:
        if turns:
            self.kept.turns += turns
            self.kept.why[why] += turns


def corrected(reply: str, parsed: ParsedReply, before: str, after: str) -> str:
    """Returns the reply with its observation and its prediction replaced by true states."""
    changes = [
        (span, f"\n{state}\n")
        for span, state in ((parsed.observation, before), (parsed.prediction, after))
        if span is not None
    ]
    for span, text in sorted(changes, key=_start, reverse=True):
        reply = reply[: span.start] + text + reply[span.end :]
    return reply


def _start(change: tuple[Span, str]) -> int:
    return change[0].start


_PAIR = re.compile(r"\((\d+), (\d+)\)")


def _elsewhere(described: str, grid: str, rng: random.Random) -> str:
    """Returns a description with every pair of coordinates drawn anew, within the same ranges."""
    highest = max((int(n) for pair in _PAIR.findall(described) for n in pair), default=0)
    highest = max(highest, grid.count("\n"))
    lowest = 1 if "positions" in described else 0
    return _PAIR.sub(
        lambda _: f"({rng.randint(lowest, highest)}, {rng.randint(lowest, highest)})", described
    )
