"""A plug-in that raises or hangs costs its own episodes and nothing else."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from scripted import Scripted, answer
from worlds import SLIPPERY, TableWorld, table_task

from spa_bench import plugins
from spa_bench.environments.environment import Outcome
from spa_bench.errors import InputError, ModelGoneError, PluginError, SpaBenchError, plugin_code
from spa_bench.evaluation import evaluate_async
from spa_bench.models.baselines import Baseline, OracleBaseline, RandomBaseline
from spa_bench.models.model import Reply, Request
from spa_bench.results.bounds import board_bounds
from spa_bench.results.results import Results
from spa_bench.run import Silent
from spa_bench.runner import watchdog as dogs
from spa_bench.runner.episode import EpisodeSpec
from spa_bench.runner.log import EpisodeWriter, RunFolder
from spa_bench.runner.record import Episode
from spa_bench.runner.scheduler import play_all
from spa_bench.runner.watchdog import HangError, watchdog
from spa_bench.task import Task


@dataclass(frozen=True)
class Bad(TableWorld):
    """A world that cannot be shown in one of its states, which luck alone leads to."""

    name: ClassVar[str] = "bad"
    fault: str = "raises"

    def render(self, state: int) -> str:
        if state == 1:
            commit(self.fault)
        return super().render(state)


def commit(fault: str) -> None:
    if fault == "raises":
        raise KeyError("no such piece")
    while fault == "loops":
        try:
            sum(range(1000))
        except Exception:
            continue
    if fault == "waits":
        threading.Event().wait(3600)


def bad_task(fault: str = "raises", **changes: Any) -> Task:
    world = Bad(SLIPPERY.table, SLIPPERY.goals, SLIPPERY.holes, fault=fault)
    return table_task(world, task="bad", **changes)


def model(action: str = "a") -> Scripted:
    return Scripted([answer(action)])


def run(folder: Path, model: Any, tasks: Sequence[Task], **options: Any) -> Results:
    return asyncio.run(evaluate_async(model, tasks, output=folder, **options))


class Watcher(Silent):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def broken(folder: Path) -> list[Episode]:
    return [e for e in RunFolder(folder).episodes() if e.status == "infrastructure"]


# -- a world that raises ---------------------------------------------------------------------------


def test_a_world_that_raises_breaks_its_episode_and_the_others_are_played(tmp_path: Path) -> None:
    results = run(tmp_path / "run", model(), [bad_task(), table_task()], repeats=8)
    by_name = {task.task: task for task in results.tasks}
    assert by_name["table"].owed == 0
    assert 0 < by_name["bad"].infrastructure == by_name["bad"].owed < 32
    assert by_name["bad"].episodes + by_name["bad"].owed == 32


def test_what_broke_says_in_which_task_and_line_and_shows_no_path(tmp_path: Path) -> None:
    run(tmp_path / "run", model(), [bad_task()], repeats=8)
    error = broken(tmp_path / "run")[0].error
    assert error is not None
    assert error.startswith("task 'bad' broke: its world or its format raised KeyError: 'no such")
    assert "(test_plugin_faults.py:" in error
    assert str(Path(__file__).parent) not in error


def test_a_mended_world_is_played_to_the_end(tmp_path: Path) -> None:
    folder, mended = tmp_path / "run", Bad(SLIPPERY.table, SLIPPERY.goals, SLIPPERY.holes, fault="")
    run(folder, model(), [bad_task()], repeats=8)
    task = replace(bad_task(), environment=mended)
    assert run(folder, model(), [task], repeats=8, resume=True).owed == 0


def test_a_world_that_always_raises_ends_the_run(tmp_path: Path) -> None:
    slow_and_sure = model("b")  # it never falls into the hole, so every episode comes by state 1
    with pytest.raises(ModelGoneError, match=r"in a row broke: task 'bad'"):
        run(tmp_path / "run", slow_and_sure, [bad_task(limits={"turns": 20})], repeats=100)


def test_the_reason_is_told_once(tmp_path: Path) -> None:
    watcher = Watcher()
    run(tmp_path / "run", model(), [bad_task()], repeats=8, progress=watcher)
    assert (
        len([note for note in watcher.notes if "an episode broke and is owed: task 'bad'" in note])
        == 1
    )


@dataclass(frozen=True)
class Boundless(TableWorld):
    """A world whose third action, which nobody takes, cannot be computed."""

    def outcomes(self, state: int, action: str) -> tuple[Outcome[int], ...]:
        if action == "c":
            raise KeyError(action)
        return super().outcomes(state, action)


def boundless_task() -> Task:
    return table_task(Boundless(SLIPPERY.table, SLIPPERY.goals, SLIPPERY.holes))


def test_bounds_of_a_world_that_raises_are_one_error(tmp_path: Path) -> None:
    task = boundless_task()
    with pytest.raises(PluginError, match=r"bounds of table/.*raised KeyError"):
        board_bounds(task, task.boards[0])


def test_a_run_whose_bounds_fail_keeps_every_episode(tmp_path: Path) -> None:
    with pytest.raises(PluginError):
        run(tmp_path / "run", model("b"), [boundless_task()])
    assert len(list(RunFolder(tmp_path / "run").episodes())) == 8


def test_a_world_that_cannot_make_a_board_is_named_with_the_seed() -> None:
    @dataclass(frozen=True)
    class NoBoards(TableWorld):
        def initial_state(self, seed: int) -> int:
            return 1 // (seed - 4)

    task = table_task(NoBoards(SLIPPERY.table, SLIPPERY.goals, SLIPPERY.holes))
    with pytest.raises(PluginError, match=r"'table'.* at seed 4, raised ZeroDivisionError"):
        _ = task.boards


@pytest.mark.parametrize("baseline", [RandomBaseline, OracleBaseline])
def test_a_world_that_raises_for_a_baseline_is_blamed(
    tmp_path: Path, baseline: type[Baseline]
) -> None:
    @dataclass(frozen=True)
    class Silenced(TableWorld):
        def format_action(self, action: str) -> str:
            raise KeyError(action)

    task = table_task(Silenced(SLIPPERY.table, SLIPPERY.goals, SLIPPERY.holes))
    run(tmp_path / "run", baseline("baseline/mine"), [task])
    error = broken(tmp_path / "run")[0].error
    assert error is not None
    assert error.startswith("environment 'table' or its format raised KeyError")


@dataclass(frozen=True)
class Unhashed:
    on: list[int]


def test_what_raises_is_the_last_line_that_is_not_ours_nor_pythons() -> None:
    here = r"\(test_plugin_faults.py:"
    with pytest.raises(PluginError, match=f"'list' {here}"), plugin_code("a world"):
        hash(Unhashed([1]))
    with pytest.raises(PluginError, match=f"JSONDecodeError: .* {here}"), plugin_code("a world"):
        json.loads("{")


# -- a world that hangs ----------------------------------------------------------------------------


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second in place of five minutes."""
    monkeypatch.setattr(dogs, "_TICK", 0.01)
    monkeypatch.setattr(dogs, "PATIENCE", 50)


@pytest.mark.usefixtures("short_patience")
@pytest.mark.parametrize("fault", ["loops", "waits"])
def test_a_world_that_does_not_come_back_breaks_its_episode(tmp_path: Path, fault: str) -> None:
    task = bad_task(fault, instances={"seeds": "0-1"})
    results = run(tmp_path / "run", model(), [task], repeats=4)
    assert 0 < results.owed == results.tasks[0].infrastructure < 4
    episode = broken(tmp_path / "run")[0]
    assert episode.error is not None
    assert episode.error.startswith("task 'bad' did not come back for 50 s (")


@pytest.mark.usefixtures("short_patience")
def test_a_world_that_hangs_before_the_first_turn_ends_the_run_in_one_line(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Stuck(TableWorld):
        def is_success(self, state: int) -> bool:
            threading.Event().wait(3600)
            return False

    task = table_task(Stuck(SLIPPERY.table, SLIPPERY.goals, SLIPPERY.holes), task="stuck")
    with pytest.raises(PluginError, match="task 'stuck' did not come back for 50 s"):
        run(tmp_path / "run", model(), [task])


@pytest.mark.usefixtures("short_patience")
def test_a_loop_that_turns_is_left_alone() -> None:
    async def long() -> int:
        with watchdog():
            for _ in range(100):  # a second in all: twice what a hang may last
                await asyncio.sleep(0.01)
        return 7

    assert asyncio.run(long()) == 7


@pytest.mark.usefixtures("short_patience")
def test_a_slow_disk_hangs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = EpisodeWriter.write

    def slow(self: EpisodeWriter, episode: Episode) -> None:
        time.sleep(1)  # twice what a hang may last
        write(self, episode)

    monkeypatch.setattr(EpisodeWriter, "write", slow)
    assert run(tmp_path / "run", model(), [table_task()], repeats=2).owed == 0


@pytest.mark.usefixtures("short_patience")
def test_a_hang_between_episodes_is_one_line() -> None:
    def stuck() -> Iterator[EpisodeSpec]:
        threading.Event().wait(3600)
        yield EpisodeSpec(table_task(), table_task().boards[0][0], 0, "0")

    with pytest.raises(ModelGoneError, match="the event loop did not come back for 50 s"):
        asyncio.run(play_all(stuck(), model(), 2, lambda _: None))


@pytest.mark.usefixtures("short_patience")
def test_the_alarm_is_given_back() -> None:
    async def hang() -> None:
        with watchdog():
            while True:
                threading.Event().wait(0.01)

    with pytest.raises(HangError, match=r"did not come back for 50 s \(threading\.py:\d+\)"):
        asyncio.run(hang())
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


@pytest.mark.usefixtures("short_patience")
def test_an_alarm_that_somebody_else_uses_is_not_touched() -> None:
    def own(*_: object) -> None: ...

    async def watched() -> Any:
        with watchdog():
            return signal.getsignal(signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, own)
    try:
        assert asyncio.run(watched()) is own
    finally:
        signal.signal(signal.SIGALRM, before)


# -- a model that raises ---------------------------------------------------------------------------


class Faulty(Scripted):
    """A model that raises in the method `at`: in `generate`, at the third call."""

    def __init__(self, fault: BaseException, at: str = "generate") -> None:
        replies = [answer("a"), answer("a"), fault, answer("a")]
        super().__init__(replies if at == "generate" else [answer("a")], name="mine/model")
        self._fault, self._at = fault, at

    def identity(self) -> Mapping[str, Any]:
        self._commit("identity")
        return super().identity()

    async def start(self) -> None:
        self._commit("start")

    async def close(self) -> None:
        self._commit("close")

    def _commit(self, at: str) -> None:
        if at == self._at:
            raise self._fault


RAISED = [IndexError("index out of range"), ConnectionResetError(104, "reset"), SystemExit(3)]


@pytest.mark.parametrize("error", RAISED)
def test_a_model_that_raises_breaks_its_episode_and_says_where(
    tmp_path: Path, error: BaseException
) -> None:
    results = run(tmp_path / "run", Faulty(error), [table_task()], repeats=4)
    assert (results.owed, results.tasks[0].infrastructure) == (1, 1)
    said = broken(tmp_path / "run")[0].error
    assert said is not None
    assert said.startswith(f"model 'mine/model' raised {type(error).__name__}: ")
    assert said.endswith(")")
    assert "(scripted.py:" in said


def test_a_mended_model_plays_what_it_owes(tmp_path: Path) -> None:
    run(tmp_path / "run", Faulty(KeyError("odd")), [table_task()], repeats=4)
    mended = Scripted([answer("a")], name="mine/model")
    assert run(tmp_path / "run", mended, [table_task()], repeats=4, resume=True).owed == 0


def test_a_model_that_always_raises_ends_the_run(tmp_path: Path) -> None:
    always = Scripted([KeyError("odd")], name="mine/model")
    with pytest.raises(ModelGoneError, match=r"in a row broke: model 'mine/model' raised KeyErr"):
        run(tmp_path / "run", always, [table_task()], repeats=10)


NO_REPLIES = {
    "None, which is no Reply": None,
    "'Up', which is no Reply": "Up",
    "a Reply whose text is None": Reply(cast(Any, None), "stop"),
    "a Reply whose stop_reason is 'eos', which is none of stop, length, content_filter": Reply(
        "Up", cast(Any, "eos")
    ),
}


@pytest.mark.parametrize("what", NO_REPLIES)
def test_a_model_that_returns_no_reply_breaks_its_episode(tmp_path: Path, what: str) -> None:
    class Odd(Scripted):
        async def generate(self, request: Request) -> Reply:
            return cast(Reply, NO_REPLIES[what])

    results = run(tmp_path / "run", Odd([], name="mine/model"), [table_task()], limit=1, repeats=1)
    assert results.owed == 1
    assert broken(tmp_path / "run")[0].error == f"model 'mine/model' returned {what}"


@pytest.mark.parametrize("at", ["start", "identity"])
def test_a_model_that_cannot_start_is_one_line(tmp_path: Path, at: str) -> None:
    faulty = Faulty(ConnectionResetError(104, "reset by peer"), at)
    with pytest.raises(PluginError) as refused:
        run(tmp_path / "run", faulty, [table_task()])
    assert str(refused.value).startswith(
        "model 'mine/model' raised ConnectionResetError: [Errno 104] reset by peer (test_plugin_"
    )


def test_a_model_that_cannot_be_closed_is_told_and_costs_nothing(tmp_path: Path) -> None:
    watcher = Watcher()
    results = run(
        tmp_path / "run", Faulty(KeyError("socket"), "close"), [table_task()], progress=watcher
    )
    assert results.owed == 0
    assert [note for note in watcher.notes if "'mine/model' raised KeyError: 'socket'" in note]


def test_a_model_that_cannot_be_closed_does_not_hide_why_it_could_not_start(
    tmp_path: Path,
) -> None:
    class Neither(Faulty):
        async def start(self) -> None:
            raise InputError("no server")

    with pytest.raises(InputError, match="no server"):
        run(tmp_path / "run", Neither(KeyError("socket"), "close"), [table_task()])


def test_a_model_that_raises_ends_in_one_line_that_says_how_to_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from spa_bench.cli import main

    found, load = plugins.plugins, plugins.load_plugin
    entry = EntryPoint("mine", "mine:load", "spa_bench.models")
    models = [Faulty(KeyError("odd")), Faulty(ConnectionResetError(104, "reset"), "start")]
    monkeypatch.setattr(
        plugins, "plugins", lambda kind: {"mine": entry} if kind == "models" else found(kind)
    )
    monkeypatch.setattr(
        plugins,
        "load_plugin",
        lambda kind, name: (lambda _: models.pop(0)) if kind == "models" else load(kind, name),
    )
    folder = str(tmp_path / "run")
    for more in ([], ["--resume"]):
        arguments = ["--tasks", "frozenlake", "--limit", "4", "--repeats", "1", "--output", folder]
        with pytest.raises(SystemExit, match="1"):
            main(["evaluate", "--model", "mine/model", *arguments, *more])
        assert len(list(RunFolder(tmp_path / "run").episodes())) == 4
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: model 'mine/model' raised ConnectionResetError: [Errno 104] re")
    assert line.endswith(f"; continue with --resume --output {folder}")


# -- a plug-in that cannot be imported -------------------------------------------------------------


@pytest.mark.parametrize(
    "source", ["raise ValueError('too old')", "def (", "import sys; sys.exit(3)", "import nowhere"]
)
def test_whatever_importing_a_plugin_does_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    (tmp_path / "bad_plugin_module.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = EntryPoint("bad", "bad_plugin_module:World", "spa_bench.environments")
    monkeypatch.setattr(plugins, "plugins", lambda kind: {"bad": entry})
    with pytest.raises(InputError, match=r"environment 'bad' cannot be loaded: .+") as caught:
        plugins.load_plugin("environments", "bad")
    assert "\n" not in str(caught.value)


def test_one_broken_plugin_hides_no_other_from_the_list(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from spa_bench.cli import main

    found = plugins.plugins
    bad = EntryPoint("bad", "no_such_module_anywhere:World", "spa_bench.environments")
    monkeypatch.setattr(plugins, "plugins", lambda kind: {**found(kind), "bad": bad})
    with pytest.raises(SystemExit):
        main(["list", "environments"])
    shown = capsys.readouterr().out
    assert "sokoban" in shown
    assert "'bad' cannot be loaded" in shown


def test_a_format_that_lacks_a_part_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare:
        name = "bare"

        def parse(self) -> None: ...

    monkeypatch.setattr(plugins, "load_plugin", lambda kind, name: Bare)
    with pytest.raises(InputError) as refused:
        plugins.make_format("bare")
    assert str(refused.value) == (
        "format 'bare' is no `Format`: Bare has no prefill, believes, compose"
        " (spa_bench/formats/format.py)"
    )


@pytest.mark.parametrize("value", [object(), float("nan"), b"bytes"])
def test_an_identity_that_is_no_json_is_one_line(tmp_path: Path, value: object) -> None:
    odd = Scripted([answer("b")], identity={"dtype": value})
    with pytest.raises(InputError, match=r"scripted/model: identity\(\) is to be plain JSON"):
        run(tmp_path / "run", odd, [table_task()])
    assert odd.closed == 1


def test_a_world_that_is_no_data_class_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "load_plugin", lambda kind, name: object)
    with pytest.raises(InputError, match="environment 'x' is no class with @dataclass"):
        plugins.make_environment({"name": "x"})


def test_a_world_whose_making_raises_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Unmade(TableWorld):
        def __post_init__(self) -> None:
            raise LookupError("no licence")

    monkeypatch.setattr(plugins, "load_plugin", lambda kind, name: Unmade)
    with pytest.raises(SpaBenchError, match="environment 'x' cannot be made: LookupError: no li"):
        plugins.make_environment({"name": "x", "table": [[[[1, 0]]]]})
