"""Whole commands with vLLM: what they print, what they leave behind, how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.models.vllm.live import NEEDS_VLLM

pytestmark = NEEDS_VLLM
HURRY = 1800
"""Seconds after which something hangs; starting takes minutes on a busy machine."""


class Command:
    """A `spa-bench` command with a session of its own, as a terminal gives it."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [Path(sys.executable).with_name("spa-bench"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_until(self, condition: Callable[[], bool]) -> None:
        give_up = time.monotonic() + HURRY
        while not condition():
            assert self._process.poll() is None, self._process.communicate()
            assert time.monotonic() < give_up
            time.sleep(0.1)

    def interrupt(self) -> None:
        """Ctrl-C: all processes of the terminal get it."""
        os.killpg(self._process.pid, signal.SIGINT)

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> tuple[int, str, str]:
        output, errors = self._process.communicate(timeout=HURRY)
        return self._process.returncode, output, errors

    @property
    def processes(self) -> list[psutil.Process]:
        """All of its session."""
        found = list[psutil.Process]()
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == self._process.pid:
                    found.append(process)
            except ProcessLookupError:
                pass
        return found

    def survivors(self) -> list[psutil.Process]:
        """The processes that its end does not end; Python's own helper takes a moment."""
        return psutil.wait_procs(self.processes, timeout=60)[1]


def model(folder: Path, args: dict[str, str], **more: str) -> list[str]:
    given = ",".join(f"{key}={value}" for key, value in (args | more).items())
    return ["--model", f"vllm/{folder}", "--model-args", given, "--batch-size", "16"]


def spa_bench(*arguments: str) -> tuple[int, str, str]:
    command = Command(*arguments)
    ended = command.end()
    assert not command.survivors()
    return ended


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()]


def test_a_run_stands_beside_a_baseline(
    folder: Path, engine_args: dict[str, str], tmp_path: Path
) -> None:
    game = ["--tasks", "sokoban", "--limit", "4", "--repeats", "2", "--output-format", "json"]
    code, output, errors = spa_bench(
        "evaluate", *model(folder, engine_args), *game,
        "--log-tokens", "--output", str(tmp_path / "run"),
    )  # fmt: skip
    assert code == 0, errors
    json.loads(output)  # and nothing else is on stdout
    assert "vllm" not in errors.replace(str(tmp_path), "").lower()
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["model"]["name"] == "nano-base-sokoban"  # whose disk it lies on is nobody's business
    assert run["model"]["identity"]["engine"] == "vllm"
    turns = [turn for episode in lines(tmp_path / "run") for turn in episode["turns"]]
    assert len(lines(tmp_path / "run")) == 8
    assert all(turn["usage"]["completion_tokens"] for turn in turns)
    assert any(turn["usage"]["cached_tokens"] for turn in turns)
    baseline = ["--model", "baseline/random", "--output", str(tmp_path / "random")]
    assert spa_bench("evaluate", *baseline, *game)[0] == 0
    code, output, _ = spa_bench("compare", str(tmp_path / "run"), str(tmp_path / "random"))
    assert code == 0
    assert "nano-base-sokoban" in output
    assert "baseline/random" in output


def test_a_killed_run_leaves_no_process(
    folder: Path, engine_args: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "run" / "episodes.jsonl"
    command = Command(
        "evaluate", *model(folder, engine_args), "--output", str(log.parent),
        "--tasks", "sokoban", "--concurrency", "4",
    )  # fmt: skip
    command.wait_until(lambda: log.exists() and log.stat().st_size > 0)
    command.kill()
    assert command.end()[0] == -signal.SIGKILL
    assert not command.survivors()


def test_an_interrupted_run_keeps_its_episodes_and_leaves_no_process(
    folder: Path, engine_args: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "run" / "episodes.jsonl"
    command = Command(
        "evaluate", *model(folder, engine_args), "--output", str(log.parent),
        "--tasks", "sokoban", "--concurrency", "4",
    )  # fmt: skip
    command.wait_until(lambda: log.exists() and log.stat().st_size > 0)
    command.interrupt()
    code, output, errors = command.end()
    assert (code, output) == (130, "")
    assert "continue with --resume" in errors
    assert "Traceback" not in errors
    assert all(episode["status"] == "complete" for episode in lines(log.parent))
    assert not command.survivors()


def test_an_interrupted_start_leaves_no_process(
    folder: Path, engine_args: dict[str, str], tmp_path: Path
) -> None:
    command = Command(
        "evaluate", *model(folder, engine_args), "--output", str(tmp_path / "run"),
        "--tasks", "sokoban",
    )  # fmt: skip
    command.wait_until(lambda: len(command.processes) > 2)  # the engine's processes have begun
    command.interrupt()
    code, output, errors = command.end()
    assert (code, output) == (130, "")
    assert "Traceback" not in errors
    assert not command.survivors()


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ({"engine_args": '{"kv_cache_memory_bytes": 2000000}'}, "max_model_len="),
        ({"engine_args": '{"no_such_setting": 1}'}, "no_such_setting"),
        ({"max_model_len": "1000000"}, "max_model_len"),
    ],
)
def test_what_does_not_fit_or_does_not_exist_is_one_line(
    args: dict[str, str], told: str, folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if "kv_cache_memory_bytes" in args.get("engine_args", ""):
        monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE")
    code, output, errors = spa_bench(
        "evaluate", *model(folder, {"enforce_eager": "true"} | args),
        "--tasks", "sokoban", "--output", str(tmp_path / "run"),
    )  # fmt: skip
    assert (code, output) == (2, "")
    assert errors.startswith("error: nano-base-sokoban: vLLM cannot run it: ")
    assert told in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "run").exists()
