"""Self-play: a model plays training boards, and what it wrote becomes rows to learn from.

The episodes are played by the harness's own loop into an ordinary run folder, so that an
interrupted self-play goes on where it stopped. The dataset beside it is Parquet with a card, and
`datasets.load_dataset(folder)` reads it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from spa_bench.checkpoint import short_key, world_of
from spa_bench.errors import InputError, SpaBenchError, nearest
from spa_bench.models.model import Model
from spa_bench.registry import Registry
from spa_bench.results.shown import counted
from spa_bench.run import Evaluation, Progress, play_owed
from spa_bench.runner.log import RunFolder
from spa_bench.task import Task
from spa_trainers.boards import TRAINING_SEEDS, Seeds, boards_left, evaluated_boards, training_task
from spa_trainers.players import Expected, Source
from spa_trainers.rows import UNFORMATTED, Beliefs, Coordinates, Kept, Row, RowMaker
from spa_trainers.settings import Settings


class SelfPlaySettings(Settings):
    """What to play, and what to make of it. The defaults are the paper's.

    Attributes:
        tasks: names; their worlds, formats and limits, on training boards.
        boards: of each task; repeats: episodes a board. The paper's 1280 episodes are 160 x 8.
        boards_of: task -> boards, where a task needs another number than the others.
        seeds: which boards; of these only boards of the split `train` are played.
        player: `model`, or `random` actions in the format (an ablation, and nano's beginning).
        actions_a_turn: how many actions the random player names, drawn from these.
        expects: what the random player writes as its prediction: the state it was `shown`, always
            the `same`, in which the first training board begins, or `any` in which one begins.
        beliefs: `truth` replaces them, `own` keeps what the player wrote (an ablation).
        coordinates: `true`, or `random` ones (an ablation).
        observation: in place of the tasks' own; `grid` leaves coordinates out (an ablation).
        filtered: keeps only turns in the format, once each.
        leave_out: tasks whose boards are not trained on, although their split may be `train`; nor
            are those of `tasks` themselves, unless they are all of split `train`.
        salt: keys the luck of the episodes.
    """

    tasks: list[str] = Field(min_length=1)
    boards: int = Field(160, ge=1)
    boards_of: dict[str, int] = Field({})
    repeats: int = Field(8, ge=1)
    seeds: Seeds = TRAINING_SEEDS
    player: Source = "model"
    actions_a_turn: list[PositiveInt] = Field([1, 2, 3], min_length=1)
    expects: Expected = "shown"
    beliefs: Beliefs = "truth"
    coordinates: Coordinates = "true"
    observation: Literal["grid", "grid+coordinates"] | None = None
    filtered: bool = True
    leave_out: list[str] = Field(["paper"])
    salt: str = "selfplay"

    @model_validator(mode="after")
    def _what_is_said_is_of_use(self) -> SelfPlaySettings:
        fields = type(self).model_fields
        for name in ("actions_a_turn", "expects"):
            if self.player == "model" and getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} is for player: random; beside player: model leave it out")
        if self.beliefs == "truth" and self.expects != "shown":
            raise ValueError(
                "expects is for beliefs: own; with beliefs: truth what was expected is replaced"
            )
        return self


def training_tasks(settings: SelfPlaySettings, registry: Registry) -> list[Task]:
    """Returns the tasks of a self-play on their training boards.

    Raises:
        InputError: for names of no task, and for beliefs that a format does not have.
    """
    tasks = registry.resolve(settings.tasks)
    for task in tasks:
        if settings.coordinates == "random" and task.config.observation == "grid":
            raise InputError(f"selfplay: {task.name} shows no coordinates that could be random")
    names = [task.config.task for task in tasks]
    for name, boards in settings.boards_of.items():
        if name not in names:
            raise InputError(f"selfplay: boards_of: {name} is not played{nearest(name, names)}")
        if boards < 1:
            raise InputError(f"selfplay: boards_of: {name}: {boards} boards; give 1 or more")
    return [
        training_task(
            task,
            seeds=settings.seeds,
            boards=settings.boards_of.get(task.config.task, settings.boards),
            observation=settings.observation,
        )
        for task in tasks
    ]


async def play(
    model: Model,
    settings: SelfPlaySettings,
    tasks: Sequence[Task],
    folder: Path,
    progress: Progress,
) -> None:
    """Plays what a self-play owes into the run folder `folder`.

    Raises:
        SpaBenchError: if episodes broke; the same call plays them again.
    """
    evaluation = Evaluation(
        model, tasks, folder, repeats=settings.repeats, salt=settings.salt, resume=True
    )
    played = await play_owed(evaluation, progress)
    if played.owed:
        owed = counted(played.owed, "episode")
        raise SpaBenchError(f"selfplay: {owed} broke; the same command plays what is missing")


def make_rows(
    settings: SelfPlaySettings, tasks: Sequence[Task], played: Path, registry: Registry
) -> tuple[list[Row], dict[str, Kept]]:
    """Returns the rows of a played folder, task by task and board by board, and what was kept.

    Raises:
        InputError: if no row is left.
    """
    left_out = evaluated_boards(settings.leave_out, settings.tasks, registry)
    makers: dict[str, RowMaker] = {}
    for task in tasks:
        boards = {instance.id: instance.state for instance in task.boards[0]}
        makers[task.hash] = RowMaker(
            task,
            boards.__getitem__,
            beliefs=settings.beliefs,
            coordinates=settings.coordinates,
            filtered=settings.filtered,
            leave_out=left_out,
        )
    # The log's order is that of time; a dataset must not depend on it, nor which of equal rows is
    # kept. So episodes are found first, and read again in the order of the tasks and boards.
    folder, order = RunFolder(played), {task.hash: i for i, task in enumerate(tasks)}
    rows: list[Row] = []
    for episode in sorted(
        (one for one in folder.episodes(lambda _: None) if one.task_hash in makers),
        key=lambda one: (order[one.task_hash], one.instance, one.repeat),
    ):
        rows += makers[episode.task_hash].rows([episode])
    kept = {task.config.task: makers[task.hash].kept for task in tasks}
    if not rows:
        raise InputError(f"{played}: no turn can be learnt from: {'; '.join(explain(kept))}")
    return rows, kept


def expected_states(
    settings: SelfPlaySettings, tasks: Sequence[Task], registry: Registry
) -> dict[Any, list[Any]] | None:
    """Returns for each environment the states of which a random player expects one.

    They are those in which training boards begin: the first board's where it expects always the
    `same`, all of them where it expects `any`. None if it expects what it was shown.

    Raises:
        InputError: if a task has no board that is not left out.
    """
    if settings.expects == "shown":
        return None
    left_out = evaluated_boards(settings.leave_out, settings.tasks, registry)
    found = dict[Any, list[Any]]()
    for task in tasks:
        states = [board.state for board in boards_left(task, left_out)]
        if not states:
            raise InputError(f"selfplay: no training board of {task.config.task} is left")
        found[task.environment] = states[:1] if settings.expects == "same" else states
    return found


def explain(kept: Mapping[str, Kept]) -> list[str]:
    """Returns what was kept of each task and why the rest was not, and what to try, as lines."""
    lines: list[str] = []
    for task, counts in kept.items():
        why = ", ".join(f"{reason} {n}" for reason, n in counts.why.most_common())
        lines.append(f"{task}: {counts.rows} of {counts.turns} turns kept ({counts.rate:.1%})")
        lines[-1] += f", dropped: {why}" if why else ""
    reasons = sum((counts.why for counts in kept.values()), Counter[str]())
    unformatted = sum(reasons[why] for why in UNFORMATTED)
    if unformatted > sum(counts.rows for counts in kept.values()):
        lines.append(
            "most replies do not follow the format: try a model tuned to follow instructions, more"
            " boards, or `player: random`"
        )
    return lines


_CARD = """---
configs:
- config_name: default
  data_files: rows.parquet
---
# World-model rows of spa-bench

{rows} turns of self-play, one per row. `messages` is the conversation up to the turn, `reply` is
what the assistant should say, and `spans` gives the characters of `reply` that hold the
observation, the prediction and the answer. Beliefs: {beliefs}. Boards: training split only, none
of {leave_out}.

| task | turns played | kept |
|---|---|---|
{table}

Settings:

```json
{settings}
```
"""


def write_dataset(
    rows: Sequence[Row], kept: dict[str, Kept], settings: SelfPlaySettings, folder: Path
) -> None:
    """Writes `rows.parquet`, `kept.json` and a card."""
    import pyarrow
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    message = pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
    span = pyarrow.struct([("start", pyarrow.int32()), ("end", pyarrow.int32())])
    schema = pyarrow.schema(
        [
            ("task", pyarrow.string()),
            ("instance", pyarrow.string()),
            ("board_key", pyarrow.string()),
            ("repeat", pyarrow.int32()),
            ("turn", pyarrow.int32()),
            ("success", pyarrow.bool_()),
            ("messages", pyarrow.list_(message)),
            ("reply", pyarrow.string()),
            *((part, span) for part in ("observation", "prediction", "answer")),
        ]
    )
    with parquet.ParquetWriter(folder / "rows.parquet", schema, compression="zstd") as writer:
        for start in range(0, len(rows), 10_000):
            part = [_as_record(row) for row in rows[start : start + 10_000]]
            writer.write_table(pyarrow.Table.from_pylist(part, schema))
    counts = {
        task: {"turns": k.turns, "rows": k.rows, "why": dict(k.why)} for task, k in kept.items()
    }
    (folder / "kept.json").write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
    table = "\n".join(f"| {t} | {k.turns} | {k.rows} ({k.rate:.1%}) |" for t, k in kept.items())
    card = _CARD.format(
        rows=len(rows),
        beliefs="the truth" if settings.beliefs == "truth" else "as the player wrote them",
        leave_out=", ".join(settings.leave_out) or "none left out",
        table=table,
        settings=settings.model_dump_json(indent=2),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def read_dataset(folder: Path) -> Iterator[Row]:
    """Yields the rows of a dataset folder in order.

    Raises:
        InputError: if it is none.
    """
    import pyarrow
    from pyarrow import parquet

    if not (folder / "rows.parquet").is_file():
        raise InputError(f"{folder}: no dataset of rows; `spa-bench train selfplay ..` makes it")
    try:
        with parquet.ParquetFile(folder / "rows.parquet") as file:
            for batch in file.iter_batches(batch_size=4096):
                for record in batch.to_pylist():
                    yield _as_row(record)
    except (OSError, pyarrow.ArrowException, KeyError, TypeError) as error:
        raise InputError(f"{folder}: no dataset of rows: {error}") from None


def board_keys(rows: Sequence[Row]) -> dict[str, frozenset[str]]:
    """Returns the boards of rows as a manifest keeps them: world -> short keys."""
    return short_keys((row.instance, row.board_key) for row in rows)


def short_keys(boards: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Returns boards, given as (instance id, board key), as a manifest keeps them."""
    found: dict[str, set[str]] = {}
    for instance, key in boards:
        found.setdefault(world_of(instance), set()).add(short_key(key))
    return {world: frozenset(keys) for world, keys in found.items()}


def _as_record(row: Row) -> dict[str, Any]:
    record = {name: getattr(row, name) for name in Row.__slots__ if name != "spans"}
    record["messages"] = [{"role": role, "content": text} for role, text in row.messages]
    for part, (start, end) in row.spans.items():
        record[part] = {"start": start, "end": end}
    return record


def _as_row(record: dict[str, Any]) -> Row:
    spans = {
        part: (record[part]["start"], record[part]["end"])
        for part in ("observation", "prediction", "answer")
        if record[part] is not None
    }
    messages = tuple((message["role"], message["content"]) for message in record["messages"])
    plain = {name: record[name] for name in Row.__slots__ if name not in ("messages", "spans")}
    return Row(**plain, messages=messages, spans=spans)
