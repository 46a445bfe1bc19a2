"""Nobody is told what is run; a run's files tell nobody whose machine it was."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hf_tiny import save
from scripted import answer
from servers.fault_server import FaultServer, in_thread, reply, status

from spa_bench.cli import main
from spa_bench.privacy import QUIET, no_telemetry

KEY = "sk-verysecretkey1234567890"

WATCHED = """
import json, sys
asked = []
def watch(event, arguments):
    if event == "socket.getaddrinfo":
        asked.append(str(arguments[0]))
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        asked.append(str(arguments[1][0]))
sys.addaudithook(watch)
try:
    {code}
finally:
    with open(sys.argv[1], "w") as file:
        json.dump(asked, file)
"""


def contacted(tmp_path: Path, code: str, *, ok: bool = True) -> set[str]:
    """Returns the hosts that a fresh process, with a user's own settings, tries to reach."""
    told = tmp_path / "contacted.json"
    unset = {*QUIET, "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(code=code), str(told)],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k not in unset},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 or not ok, done.stderr
    return set(json.loads(told.read_text()))


def command(*arguments: str) -> str:
    return (
        f"from spa_bench.cli import main\n    try: main({list(arguments)!r})\n"
        "    except SystemExit as end: assert not end.code, end.code"
    )


PLAY = ("--tasks", "sokoban", "--limit", "1", "--repeats", "1", "--output", "run")


# -- who is told -----------------------------------------------------------------------------------


def test_the_watcher_sees_a_connection(tmp_path: Path) -> None:
    code = "import socket; socket.create_connection(('localhost', 1), timeout=5)"
    assert "localhost" in contacted(tmp_path, code, ok=False)


def test_a_baseline_contacts_nobody(tmp_path: Path) -> None:
    assert contacted(tmp_path, command("evaluate", "--model", "baseline/random", *PLAY)) == set()


def test_a_server_is_all_that_its_client_contacts(tmp_path: Path) -> None:
    with in_thread(FaultServer(default=reply(answer("Up")))) as server:
        url = ("--base-url", server.base_url)
        found = contacted(tmp_path, command("evaluate", "--model", "openai/tiny", *url, *PLAY))
    assert found == {"127.0.0.1"}


def test_fine_tuning_and_playing_a_checkpoint_contact_nobody(tmp_path: Path) -> None:
    # TRL sends a report when a trainer is made, unless it is asked not to
    save(tmp_path / "model")
    code = (
        "from pathlib import Path; from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "    from spa_trainers.sft import SftSettings, fine_tune\n"
        "    from spa_trainers.tokens import Example\n"
        "    model = AutoModelForCausalLM.from_pretrained('model')\n"
        "    tokenizer = AutoTokenizer.from_pretrained('model')\n"
        "    rows = [Example([1, 2, 3, 4], [-100, 2, 3, 4])] * 4\n"
        "    settings = SftSettings(epochs=1, batch_size=2, max_length=8)\n"
        "    fine_tune(model, tokenizer, rows, settings, Path('out'))\n"
        f"    {command('evaluate', '--model', './model', *PLAY)}"
    )
    assert contacted(tmp_path, code) == set()
    assert (tmp_path / "run" / "results.json").is_file()


def test_a_request_says_nothing_of_the_machine_it_comes_from(tmp_path: Path) -> None:
    with in_thread(FaultServer(default=reply(answer("Up")))) as server:
        url = ("--base-url", server.base_url)
        contacted(tmp_path, command("evaluate", "--model", "openai/tiny", *url, *PLAY))
    headers = {name.lower() for name in server.requests[-1].headers}
    told = {name for name in headers if name.startswith("x-stainless")}
    assert told <= {"x-stainless-retry-count"}


def test_what_a_user_has_set_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VLLM_NO_USAGE_STATS", "0")
    no_telemetry()
    assert os.environ["VLLM_NO_USAGE_STATS"] == "0"
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


# -- what files tell -------------------------------------------------------------------------------


def private() -> dict[str, str]:
    """What of this machine and its user a file might give away."""
    home = os.path.expanduser("~")
    return {
        "key": KEY,
        "host name": socket.gethostname(),
        "home": f"{home}/",
        "server": "127.0.0.1",
    }


def told_by(folder: Path) -> dict[str, list[str]]:
    contents = {p.name: p.read_text() for p in folder.iterdir() if p.is_file()}
    return {
        name: [what for what, text in private().items() if text in content]
        for name, content in contents.items()
    }


def test_a_run_on_a_server_that_fails_tells_no_key_host_or_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    faults: list[Any] = [reply(answer("Up"))] * 6 + [
        status(400, f"bad key {KEY} of {Path.home()}/x")
    ]
    plan = (*PLAY[:2], "--limit", "2", "--repeats", "2", "--output", str(tmp_path / "run"))
    with in_thread(FaultServer(faults, default=reply(answer("Up")))) as server:
        url = ("--base-url", server.base_url)
        with pytest.raises(SystemExit):
            main(["evaluate", "--model", "openai/tiny", *url, *plan])
    assert set(told_by(tmp_path / "run")) == {"run.json", "episodes.jsonl", "results.json"}
    assert not any(told_by(tmp_path / "run").values()), told_by(tmp_path / "run")
    assert "400: bad key [key] of [path]" in (tmp_path / "run" / "episodes.jsonl").read_text()


def test_a_run_of_a_local_checkpoint_tells_no_path(tmp_path: Path) -> None:
    save(tmp_path / "model")
    with pytest.raises(SystemExit):
        main(["evaluate", "--model", str(tmp_path / "model"), *PLAY[:-1], str(tmp_path / "run")])
    for path in (tmp_path / "run").iterdir():
        assert str(tmp_path) not in path.read_text(), path.name
