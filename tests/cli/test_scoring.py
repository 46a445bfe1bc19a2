"""`perplexity` and `foresight`: what cannot be is said first, and what was measured is kept."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from scripted import Scripted

from spa_bench import plugins
from spa_bench.cli import main
from spa_bench.errors import ModelGoneError
from spa_bench.models.model import Message, ModelOptions, ScoredToken
from spa_bench.task_file import builtin_tasks_folder

COMMANDS = ("perplexity", "foresight")
GONE = ModelGoneError("out of memory")


class Scoring(Scripted):
    """Finds all texts equally likely, until it has scored so many and raises."""

    def __init__(self, texts: float = math.inf, error: Exception = GONE) -> None:
        super().__init__([AssertionError("asked to write")])
        self.left = texts
        self._error = error

    async def score_text(
        self, messages: Sequence[Message], prefill: str, text: str
    ) -> tuple[ScoredToken, ...]:
        self.left -= 1
        if self.left < 0:
            raise self._error
        return (ScoredToken(text, -1.0),)


Spa = Callable[..., tuple[int, str, str]]


@pytest.fixture
def spa(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spa:
    """Runs a command with a model in an empty folder; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(model: Scoring, command: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(plugins, "make_model", lambda *_: model)
        with pytest.raises(SystemExit) as exited:
            main([command, "--model", "openai/x", "--limit", "1", *arguments])
        assert isinstance(exited.value.code, int)
        return (exited.value.code, *capsys.readouterr())

    return run


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--output", "folder"), "--output folder: is a folder; name a file"),
        (("--output", "nowhere/x.json"), "no folder nowhere"),
        (("--output", ""), "'--output': the path is empty"),
        (("--tasks", ""), "no tasks to evaluate"),
        (("--tasks", " , "), "no tasks to evaluate"),
        (("--include-path", "folder", "--tasks", "none"), "task 'none' has no boards"),
        (("--tasks", "frozenlake_transition"), "frozenlake_transition"),
    ],
    ids=["a folder", "no folder", "empty", "no tasks", "blank tasks", "no boards", "a probe"],
)
def test_what_cannot_be_is_one_line_before_any_text_is_scored(
    spa: Spa, tmp_path: Path, command: str, arguments: tuple[str, ...], told: str
) -> None:
    (tmp_path / "folder").mkdir()
    include = builtin_tasks_folder() / "sokoban" / "_sokoban.yaml"
    (tmp_path / "folder" / "none.yaml").write_text(
        f"task: none\ninclude: {include}\ninstances: {{split: test, seeds: 124}}\n"
        "format: world_model\n"
    )
    code, out, err = spa(Scoring(0), command, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert told in err


@pytest.mark.parametrize("command", COMMANDS)
def test_the_model_is_made_with_its_adapter(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adapters: list[str | None] = []

    def make(options: ModelOptions, _: str) -> Scoring:
        adapters.append(options.adapter)
        return Scoring(0)

    monkeypatch.setattr(plugins, "make_model", make)
    with pytest.raises(SystemExit):
        main([command, "--model", "hf/x", "--limit", "1", "--adapter", "./lora"])
    assert adapters == ["./lora"]


@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_a_model_raises_is_one_line_that_says_where(spa: Spa, command: str) -> None:
    task = {"perplexity": "sokoban", "foresight": "sokoban_wm"}[command]
    code, _, err = spa(Scoring(0, ConnectionResetError(104, "reset")), command, "--tasks", task)
    assert code == 1
    assert err.startswith(
        f"error: {command} of model 'scripted/model' raised ConnectionResetError: [Errno 104] reset"
        " (test_scoring.py:"
    )


def test_a_task_named_twice_is_measured_once(spa: Spa) -> None:
    code, out, _ = spa(Scoring(), "perplexity", "--tasks", "sokoban, sokoban")
    assert code == 0
    assert out.count("\nsokoban ") == 1


def test_an_error_in_a_later_task_loses_no_earlier_one(spa: Spa, tmp_path: Path) -> None:
    tasks = ("--tasks", "sokoban,frozenlake", "--output", "found.json")
    code, out, err = spa(Scoring(2), "perplexity", *tasks)
    assert (code, err) == (1, "error: out of memory\n")
    assert out.splitlines()[-1].startswith("sokoban ")
    (task,) = json.loads((tmp_path / "found.json").read_text())["tasks"]
    assert task["task"] == "sokoban"


def test_a_table_is_printed_where_its_file_cannot_be_written(
    spa: Spa, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    code, out, err = spa(Scoring(), "perplexity", "--tasks", "sokoban", "--output", "found.json")
    assert code == 1
    assert out.splitlines()[-1].startswith("sokoban ")
    assert "No space left" in err


def test_a_figure_that_is_no_number_is_told_and_not_written(spa: Spa, tmp_path: Path) -> None:
    class Sure(Scoring):
        async def score_text(
            self, messages: Sequence[Message], prefill: str, text: str
        ) -> tuple[ScoredToken, ...]:
            return (ScoredToken(text, -math.inf),)

    code, out, err = spa(Sure(), "perplexity", "--tasks", "sokoban", "--output", "found.json")
    assert (code, out) == (1, "")
    assert err == "error: a log-probability is no finite number\n"
    assert not (tmp_path / "found.json").exists()
