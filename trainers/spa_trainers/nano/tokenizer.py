"""nano's tokenizer: bytes, plus one token for each word of its tasks.

Any text can be written, byte by byte, and comes back unchanged. What stands in the tasks' own
prompts and states is much shorter: a paragraph that never changes is one token, and so is a pair
of coordinates, an action, a tag. A grid is a token a cell, or a token a row: shorter, and hundreds
of symbols to learn in place of a few that are met everywhere. Tokens are found leftmost-longest.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from spa_bench.formats.format import SEPARATOR
from spa_bench.task import Task, format_reward

TURN_END = "<|end|>"
PAD = "<|pad|>"
_ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

_STATE = "\0"
_BARRED = re.compile(r"\|[^|]*")
"""A row of a grid that is written as one line."""
_WORD = re.compile(
    r"\(\d+, \d+\)"  # a pair of coordinates
    r"|\n?[A-Za-z]+(?: [a-z]+)+:? ?"  # what stands before them
    r"|[ \n]?[^\s<>(),]+"  # a cell between blanks, any other word, with the blank before it
    r"|[(),]? "
)


def make_tokenizer(tasks: Sequence[Task], boards: int, context: int, *, rows: bool = False) -> Any:
    """Returns a transformers tokenizer whose words are those of the tasks.

    Args:
        tasks: whose prompts and states shall be short. Training boards only are looked at.
        boards: so many of each task, with every state of a short random walk.
        context: the longest text in tokens that the model will read.
        rows: whether rows of grids are tokens, beside their cells.
    """
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = [PAD, TURN_END, *_ROLES]
    vocabulary = {symbol: i for i, symbol in enumerate(alphabet)}
    inner = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    known = sorted(_words(tasks, boards, rows) - set(alphabet))
    inner.add_special_tokens([tokenizers.AddedToken(s, normalized=False) for s in special])
    inner.add_tokens([tokenizers.AddedToken(word, normalized=False) for word in known])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=PAD,
        eos_token=TURN_END,
        chat_template=CHAT_TEMPLATE,
        model_max_length=context,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def _words(tasks: Sequence[Task], boards: int, rows: bool) -> set[str]:
    found: set[str] = {f" {SEPARATOR} "}
    for task in tasks:
        for number in range(1, task.limits.actions_per_turn + 1):  # of a plan
            found.update([f"{number}. ", f" {number}. "])
        found.update(_paragraphs(task))
        found.update(re.findall(r"</?[a-z]+>", task.config.prompt.reply_format[task.config.format]))
        start = task.environment.initial_state(task.boards[0][0].seed)
        found.update(map(task.environment.format_action, task.environment.actions(start)))
        for state, reward in _walks(task, boards):
            for line in state.split("\n"):
                found.update(_WORD.findall(f"\n{line}") if " " in line else line)
                found.update(_rows(line) if rows else ())
            found.add(format_reward(reward))
    found.update([f"\n{word}" for word in found if word.startswith("<")])
    return {word for word in found if len(word.encode()) > 1}


def _rows(line: str) -> Iterator[str]:
    """Yields the rows of a grid in this line of a state; the first also with its line break."""
    rows = _BARRED.findall(line) or ([] if " " in line else [line])
    yield from rows
    yield from (f"\n{row}" for row in rows[:1])


def _paragraphs(task: Task) -> Iterator[str]:
    """Yields what prompts of a task repeat, with and without the line break before it.

    A line that changes with the turn or the actions left is a piece of its own, in all its forms;
    what stands unchanged between such lines and the state is one piece.
    """
    limits = task.limits
    yield task.config.prompt.system
    yield task.config.prompt.feedback.partition("{reward}")[0]
    lines = task.opening_message(_STATE, 1, limits.actions).split("\n")
    others = task.opening_message(_STATE, limits.turns + 1, limits.actions + 1).split("\n")
    constant = [a == b and a != _STATE for a, b in zip(lines, others, strict=True)]
    pieces = [
        "\n".join(line for line, _ in group)
        for same, group in groupby(zip(lines, constant, strict=True), key=itemgetter(1))
        if same
    ]
    for turn in range(1, limits.turns + 1):
        for left in range(1, limits.actions + 1):
            shown = task.opening_message(_STATE, turn, left).split("\n")
            pieces += [line for line, same in zip(shown, constant, strict=True) if not same]
    for piece in {*pieces} - {_STATE}:
        yield piece
        yield f"\n{piece}"


def _walks(task: Task, boards: int) -> Iterator[tuple[str, float]]:
    """Yields states of short random walks, and the reward since the walk began."""
    environment = task.environment
    rng = random.Random(0)  # words are collected, nothing is measured
    for instance in task.boards[0][:boards]:
        state, reward, over = instance.state, 0.0, False
        for _ in range(10):
            yield environment.observe(state, task.config.observation), reward
            if over:
                break
            outcomes = environment.outcomes(state, rng.choice(environment.actions(state)))
            _, state, gained, over = rng.choice(outcomes)
            reward += gained
