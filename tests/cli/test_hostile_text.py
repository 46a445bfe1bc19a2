"""What models, servers, task files and logs say is shown, and never obeyed by the terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers.fault_server import FaultServer, in_thread, reply, status
from test_terminal import gives_orders

from spa_bench.cli import main

ORDERS = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\b\x00\u202e\u2066[/bold][link=x]<b>"
YAML = json.dumps(ORDERS).replace("\\u0000", "\\0")

Show = Callable[..., str]


@pytest.fixture
def shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Show:
    """Runs a command and returns all that it printed, once that has given no orders."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit):
            main(arguments)
        out, err = capsys.readouterr()
        assert not gives_orders(out), out
        assert not gives_orders(err), err
        return out + err

    return run


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A folder with a task whose every text is hostile, and a file that is no task."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "hostile.yaml").write_text(
        "task: hostile\nversion: 1\nkind: episode\n"
        f"description: {YAML}\ntag: [{YAML}]\n"
        "environment: {name: sokoban, rows: 6, cols: 6, boxes: 1, generator: ragen}\n"
        "observation: grid+coordinates\nformat: think\nparse: strict\n"
        "limits: {turns: 5, actions_per_turn: 5, actions: 10, new_tokens: 400}\n"
        "instances: {split: paper, seeds: 123-124}\nsampling: {temperature: 1.0, top_p: 1.0}\n"
        "repeats: 1\nmetrics: [pass@1]\n"
        f"prompt:\n  system: {YAML}\n  instruction: {YAML}\n  feedback: {YAML}\n"
        f"  turn: 'state {{state}}'\n  reply_format: {{think: {YAML}}}\n"
    )
    return folder


def run_folder(tmp_path: Path, **log: Any) -> Path:
    """Plays a run, then has every text of its log and of run.json say something hostile."""
    folder = tmp_path / "played"
    played = ("--limit", "2", "--repeats", "2", "--output", str(folder))
    with pytest.raises(SystemExit):
        main(["evaluate", "--model", "baseline/random", "--tasks", "sokoban", *played])
    path = folder / "episodes.jsonl"
    episodes = [json.loads(line) for line in path.read_text().splitlines()]
    for episode in episodes:
        episode |= {"failure": ORDERS, "success": False}
        for turn in episode["turns"]:
            turn |= {"reply": ORDERS, "stop_reason": ORDERS, "reasoning": ORDERS}
    junk = [ORDERS, json.dumps({ORDERS: 1}), json.dumps(episodes[0] | {"status": ORDERS})]
    lines = [*map(json.dumps, episodes), *junk]
    path.write_text("\n".join(lines) + "\n")
    info = json.loads((folder / "run.json").read_text())
    info["model"]["name"] = ORDERS
    info["versions"][ORDERS] = ORDERS
    (folder / "run.json").write_text(json.dumps(info))
    return folder


@pytest.mark.parametrize(
    "command",
    [("list", "tasks"), ("show", "hostile"), ("show", ORDERS), ("evaluate", "--tasks", "no\7")],
    ids=["list", "show", "a name", "evaluate"],
)
def test_texts_of_a_task_file(shown: Show, tasks: Path, command: tuple[str, ...]) -> None:
    more = ("--model", "baseline/random") if command[0] == "evaluate" else ()
    said = shown(*command, *more, "--include-path", str(tasks))
    assert r"\u0007" in said or r"\x07" in said


def test_a_person_plays_a_hostile_task(
    shown: Show, tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"p\n{ORDERS}\nUp\nu\nd\nl\nr\n"))
    said = shown("play", "hostile", "--include-path", str(tasks))
    assert r"\u0007" in said
    assert "[/bold][link=x]" in said


def test_bad_yaml_is_quoted(shown: Show, tasks: Path) -> None:
    (tasks / "bad.yaml").write_text(f"task: bad\n{YAML}: 1\n{YAML}: 2\n")
    assert r"\x07" in shown("validate", str(tasks))  # as Python quotes it


def test_a_reply_format_of_no_format(shown: Show, tmp_path: Path, tasks: Path) -> None:
    path = tasks / "hostile.yaml"
    path.write_text(path.read_text().replace("{think:", f"{{{YAML}: 1, think:"))
    assert r"\u0007" in shown("validate", str(path))


def test_a_manifest_of_somebody_else(shown: Show, tmp_path: Path) -> None:
    chosen = ("--tasks", "frozenlake", "--folder", str(tmp_path / "made"))
    shown("instances", "make", *chosen)
    (path,) = (tmp_path / "made").iterdir()
    manifest = json.loads(path.read_text())
    manifest["boards"][0][1] = ORDERS
    path.write_text(json.dumps(manifest))
    assert r"\u0007" in shown("instances", "check", *chosen)


def test_a_log_with_a_key_of_orders_is_merged(shown: Show, tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    info = json.loads((folder / "run.json").read_text())
    info["model"]["name"], info["versions"] = "baseline/random", {}
    (folder / "run.json").write_text(json.dumps(info))
    log = folder / "episodes.jsonl"
    first, *others = log.read_text().splitlines()
    episode = json.loads(first)
    episode["turns"][0]["facts_observed"] = {ORDERS: [[[0, 0], ORDERS]]}
    log.write_text("\n".join([json.dumps(episode), *others]) + "\n")
    shown()
    assert r"\u0007" in shown("merge", str(folder), "--output", "merged")


def test_a_server_that_refuses_in_colour(shown: Show) -> None:
    with in_thread(FaultServer(default=status(400, f"you may not {ORDERS}"))) as server:
        said = shown(
            *("evaluate", "--model", "openai/tiny", "--base-url", server.base_url),
            *("--tasks", "sokoban", "--limit", "1", "--repeats", "1"),
        )
    assert "you may not" in said


def test_a_model_that_replies_with_orders(shown: Show, tmp_path: Path) -> None:
    with in_thread(FaultServer(default=reply(ORDERS))) as server:
        shown(
            *("evaluate", "--model", "openai/tiny", "--base-url", server.base_url),
            *("--tasks", "sokoban", "--limit", "1", "--repeats", "1", "--output", "run"),
        )
    turn = json.loads((tmp_path / "run" / "episodes.jsonl").read_text())["turns"][0]
    assert ORDERS in turn["reply"]  # what was said stays as it was said


def test_two_hostile_runs_are_compared(shown: Show, tmp_path: Path) -> None:
    folder = str(run_folder(tmp_path))
    shown()  # forget what playing it printed
    assert r"\u0007" in shown("compare", folder, folder)


@pytest.mark.parametrize("style", ["table", "markdown", "csv", "json"])
def test_the_results_of_a_hostile_log_in_every_format(
    capsys: pytest.CaptureFixture[str], shown: Show, tmp_path: Path, style: str
) -> None:
    folder = run_folder(tmp_path)
    info = json.loads((folder / "run.json").read_text())
    info["model"]["name"] = "baseline/random"
    (folder / "run.json").write_text(json.dumps(info))
    shown()
    resume = ("--resume", "--output", str(folder), "--output-format", style)
    tasks = ("--model", "baseline/random", "--tasks", "sokoban", "--limit", "2", "--repeats", "2")
    said = shown("evaluate", *resume, *tasks)
    assert "skipped 3 line(s)" in said
    assert style == "csv" or r"\u0007" in said


@pytest.mark.parametrize(
    "command",
    [
        ("merge", "{}", "--output", "merged"),
        ("view", "{}", "--output", "page.html"),
        ("leaderboard", "pack", "{}", "--output", "packed"),
        ("lm-eval-export", "{}", "--output", "exported"),
        ("evaluate", "--resume", "--output", "{}", "--model", "baseline/random"),
    ],
    ids=lambda command: command[0],
)
def test_whatever_reads_a_hostile_run(
    shown: Show, tmp_path: Path, command: tuple[str, ...]
) -> None:
    folder = str(run_folder(tmp_path))
    shown()
    assert shown(*(part.format(folder) for part in command))
