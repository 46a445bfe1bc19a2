"""`evaluate --max-cost` on the command line: the table, what is owed, and exit code 1."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripted import answer

from spa_bench.cli import main
from tests.servers.fault_server import FaultServer, in_thread, reply


def test_a_spent_budget_ends_in_a_table_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "run")
    asked = ["--model", "openai/tiny", "--tasks", "frozenlake", "--limit", "4", "--price", "10/40"]
    with in_thread(FaultServer(default=reply(answer("Up")))) as server:
        where = ["--base-url", server.base_url, "--output", folder]
        with pytest.raises(SystemExit) as exited:
            main(["evaluate", *asked, *where, "--max-cost", "0.1"])
        first = capsys.readouterr()
        with pytest.raises(SystemExit) as resumed:
            main(["evaluate", *asked, *where, "--max-cost", "9", "--resume"])
    assert exited.value.code == 1
    assert first.out.splitlines()[-1].startswith("frozenlake")
    assert "stopped at the budget: the run has spent" in first.err
    assert "; the rest needs a larger --max-cost\n" in first.err
    assert f"continue with --resume --output {folder}" in first.err
    assert resumed.value.code == 0


def test_a_budget_too_small_for_the_first_call_spends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--model", "openai/tiny", "--tasks", "frozenlake", "--limit", "4"]
    with in_thread(FaultServer(default=reply(answer("Up")))) as server:
        where = ["--base-url", server.base_url, "--output", str(tmp_path / "run")]
        with pytest.raises(SystemExit) as exited:
            main(["evaluate", *asked, *where, "--max-tokens-total", "5"])
        assert server.requests == []
    assert exited.value.code == 2
    assert "the budget is too small to ask openai/tiny anything" in capsys.readouterr().err


def test_a_run_that_has_spent_its_budget_asks_nothing_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--model", "openai/tiny", "--tasks", "frozenlake", "--limit", "4", "--price", "10/40"]
    with in_thread(FaultServer(default=reply(answer("Up")))) as server:
        where = ["--base-url", server.base_url, "--output", str(tmp_path / "run")]
        with pytest.raises(SystemExit):
            main(["evaluate", *asked, *where, "--max-cost", "0.1"])
        before = len(server.requests)
        with pytest.raises(SystemExit) as resumed:
            main(["evaluate", *asked, *where, "--max-cost", "0.01", "--resume"])
        assert len(server.requests) == before
    assert resumed.value.code == 2
    assert "the budget is too small to ask openai/tiny anything" in capsys.readouterr().err
