"""From rows to token ids and labels: which tokens carry loss.

A row's tokens are the tokens an evaluation would send and sample: the template encodes the prompt,
prefill included, and the reply goes on from there. The prefill is sent, not sampled, so it carries
no loss; nor does anything the user or the system says, in any mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from spa_bench.models.hf_template import Template
from spa_bench.models.model import Message
from spa_trainers.rows import Row

Labels = Literal["paper", "masked", "state_only", "action_only"]
"""paper: the whole reply; masked: all of it but the states (the paper's failing ablation);
state_only: the states alone; action_only: the answer's actions alone."""

Merge = Literal["turn", "episode"]
"""turn: one sequence a row, loss on its last reply, as published. episode: rows that extend one
another become one sequence with loss on every reply: the same tokens trained, each once, with one
forward pass instead of one a turn."""

IGNORED = -100
"""The label of a token that carries no loss, as torch's cross entropy and TRL have it."""


@dataclass(frozen=True, slots=True)
class Example:
    """One sequence: ids, and for each the label that it should be predicted as, or `IGNORED`.

    `rows` is how many rows are learnt from in it.
    """

    input_ids: list[int]
    labels: list[int]
    rows: int = 1

    def only_from(self, start: int) -> Example:
        """Returns the same tokens with loss only from `start` on."""
        return Example(self.input_ids, [IGNORED] * start + self.labels[start:])


@dataclass(frozen=True)
class Encoder:
    """Writes rows as token ids.

    Args:
        tokenizer: a fast tokenizer of transformers.
        prefill: how each reply begins, as the format has it.
        labels: what carries loss.
    """

    tokenizer: Any
    template: Template
    prefill: str
    labels: Labels

    def examples(self, rows: Iterable[Row], merge: Merge, max_length: int) -> Iterator[Example]:
        """Yields sequences of at most `max_length` tokens; longer rows are left out.

        Rows that continue one another, as those of an episode do, must stand next to each other.
        """
        grows = self.template.append_only
        if not grows:
            merge = "turn"
        chain: Example | None = None
        last: Row | None = None
        for row in rows:
            extends = grows and last is not None and _extends(row, last)
            extended = self.encode(row, chain if extends else None)
            if merge == "turn":
                if len(extended.input_ids) <= max_length:
                    yield extended.only_from(len(chain.input_ids) if extends and chain else 0)
            elif len(extended.input_ids) > max_length:
                continue
            elif chain is not None and not extends:
                yield chain
            chain, last = extended, row
        if merge == "episode" and chain is not None:
            yield chain

    def encode(self, row: Row, earlier: Example | None = None) -> Example:
        """Returns one row; `earlier` is the same conversation up to its previous reply.

        With a template that is append-only the row's tokens then extend those of `earlier`, as
        they do when an episode is played.
        """
        messages = [Message(role, content) for role, content in row.messages]  # pyright: ignore[reportArgumentType]
        if not self.template.append_only:
            earlier = None
        before = None if earlier is None else earlier.input_ids
        prompt = list(self.template.encode(messages, self.prefill, before))
        said = row.reply.removeprefix(self.prefill)
        found = self.tokenizer(said, add_special_tokens=False, return_offsets_mapping=True)
        ids, places = list(found.input_ids), found.offset_mapping
        skipped = len(row.reply) - len(said)
        trained = [self._trained(row, start + skipped, end + skipped) for start, end in places]
        if self.template.end_id is not None:
            ids.append(self.template.end_id)
            trained.append(self.labels in ("paper", "masked"))
        labels = [token if train else IGNORED for token, train in zip(ids, trained, strict=True)]
        known = [] if earlier is None else earlier.labels
        labels = known + [IGNORED] * (len(prompt) - len(known)) + labels
        return Example(prompt + ids, labels, 1 if earlier is None else earlier.rows + 1)

    def _trained(self, row: Row, start: int, end: int) -> bool:
        if self.labels == "paper":
            return True
        if self.labels == "action_only":
            return _overlap(row, ("answer",), start, end)
        in_state = _overlap(row, ("observation", "prediction"), start, end)
        return in_state == (self.labels == "state_only")


def _extends(row: Row, last: Row) -> bool:
    """Returns whether a row continues the conversation of the row before it."""
    return row.messages[: len(last.messages) + 1] == (
        *last.messages,
        ("assistant", last.reply),
    ) and (len(row.messages) == len(last.messages) + 2)


def _overlap(row: Row, parts: Sequence[str], start: int, end: int) -> bool:
    """Returns whether characters [start, end) of the reply touch the text of one of the parts.

    White space at the edges of a part belongs to its tags.
    """
    for part in parts:
        if part not in row.spans:
            continue
        left, right = row.spans[part]
        text = row.reply[left:right]
        left += len(text) - len(text.lstrip())
        right -= len(text) - len(text.rstrip())
        if start < right and end > left:
            return True
    return False
