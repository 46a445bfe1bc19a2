"""Training: every row of self-play is true, and loss stands where it should and nowhere else."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from benchmarks.claims.claim import Claim, Measured
from spa_bench.registry import Registry
from spa_bench.run import Silent
from spa_bench.runner.log import RunFolder
from spa_trainers import selfplay
from spa_trainers.players import RandomPlayer
from spa_trainers.rows import Row
from spa_trainers.selfplay import SelfPlaySettings

TASKS = ["sokoban_wm", "frozenlake_wm", "frozenlake_slippery_wm", "sudoku_wm"]
_BOARDS = 160
_REPEATS = 8


def rows_are_true() -> Measured:
    """The paper's 1280 episodes of each world, by random actions; each row against a fresh world.

    A row's own text is all that is believed: the board is made again from its seed, the actions
    are read out of the row's answers and executed, and observation and prediction are compared,
    character by character, with the states so reached. Where the ice slips, what happened is
    read from the log.
    """
    settings = SelfPlaySettings(
        tasks=TASKS, player="random", boards=_BOARDS, repeats=_REPEATS, leave_out=[]
    )
    registry = Registry()
    tasks = selfplay.training_tasks(settings, registry)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        asyncio.run(selfplay.play(RandomPlayer("random"), settings, tasks, folder, Silent()))
        rows, kept = selfplay.make_rows(settings, tasks, folder, registry)
        drawn = {
            (e.task.rstrip("*"), e.instance, e.repeat): [list(t.outcomes) for t in e.turns]
            for e in RunFolder(folder).episodes(lambda _: None)
        }
    worlds = {task.config.task: task for task in tasks}
    wrong = sum(
        not _is_true(row, worlds[row.task], drawn[row.task, row.instance, row.repeat])
        for row in rows
    )
    turns = sum(counts.turns for counts in kept.values())
    return Measured(
        f"{len(rows) - wrong:,} of {len(rows):,} rows true",
        wrong == 0 and len(rows) > 0,
        f"{len(TASKS)} worlds x {_BOARDS} boards x {_REPEATS}; {turns:,} turns played",
    )


def _is_true(row: Row, task: object, drawn: list[list[int]]) -> bool:
    environment = task.environment  # type: ignore[attr-defined]
    state = environment.initial_state(int(row.instance.rpartition("/")[2]))
    said = [text for role, text in (*row.messages, ("assistant", row.reply)) if role == "assistant"]
    for turn, reply in enumerate(said):
        if _between(reply, "observation") != environment.observe(state, "grid+coordinates"):
            return False
        words = _between(reply, "answer").split(" || ")
        for word, index in zip(words, drawn[turn], strict=False):
            state = environment.outcomes(state, environment.parse_action(word))[index].state
        if _between(reply, "prediction") != environment.observe(state, "grid+coordinates"):
            return False
    return True


def _between(text: str, tag: str) -> str:
    return text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0].strip("\n")


def labels_stand_right() -> Measured:
    """Rows of every world with nano's tokenizer and with a byte-level one, decoded and read."""
    from spa_bench.models.hf_template import Template
    from spa_trainers.nano.tokenizer import make_tokenizer
    from spa_trainers.tokens import IGNORED, Encoder

    settings = SelfPlaySettings(tasks=TASKS, player="random", boards=20, repeats=1, leave_out=[])
    registry = Registry()
    tasks = selfplay.training_tasks(settings, registry)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        asyncio.run(selfplay.play(RandomPlayer("random"), settings, tasks, folder, Silent()))
        rows, _ = selfplay.make_rows(settings, tasks, folder, registry)
    user, state, tokens = 0, 0, 0
    # with and without words of its own: a token a row of the grid, and a token a byte
    for words in (tasks, tasks[:1]):
        tokenizer = make_tokenizer(words, 20, 4096)
        template = Template(tokenizer)
        for row in rows:
            shown = {row.reply[slice(*row.spans[p])].strip() for p in ("observation", "prediction")}
            for labels in ("paper", "masked"):
                example = Encoder(tokenizer, template, "<think>", labels).encode(row)
                prompt = len(template.encode(_messages(row), "<think>"))
                tokens += sum(label != IGNORED for label in example.labels)
                user += sum(label != IGNORED for label in example.labels[:prompt])
                if labels == "masked":
                    said = tokenizer.decode([t for t in example.labels if t != IGNORED])
                    lines = {line for text in shown for line in text.split("\n")}
                    state += sum(line in said.split("\n") for line in lines)
    return Measured(
        f"{user} user tokens, {state} lines of a state",
        user == 0 and state == 0 and tokens > 0,
        f"{len(rows):,} rows, {tokens:,} tokens with loss, two tokenizers",
    )


def _messages(row: Row) -> list[object]:
    from spa_bench.models.model import Message

    return [Message(role, text) for role, text in row.messages]  # type: ignore[arg-type]


CLAIMS = [
    Claim(
        "rows-are-true",
        "training",
        "self-play rows replayed in a fresh world: every observation and prediction is the truth",
        "all",
        rows_are_true,
    ),
    Claim(
        "labels-stand-right",
        "training",
        "tokens of the user that carry loss, and lines of a state that do under `masked`",
        "none",
        labels_stand_right,
    ),
]
