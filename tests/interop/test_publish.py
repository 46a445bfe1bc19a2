"""Publishing, against stand-ins on this machine that record what arrives: a Hub and a GitHub."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from spa_bench.errors import InputError, SpaBenchError
from spa_bench.interop import publish
from spa_bench.interop.publish import Delivery, Target, prepare, send
from spa_bench.submission.folder import SubmissionFolder


def delivery(folder: SubmissionFolder, to: str, **options: Any) -> Delivery:
    return prepare(folder, folder.submission(), folder.results(), Target.parse(to), **options)


# -- what is sent ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [("github:a/b", "github"), ("hf:a/b", "model"), ("hf:datasets/a/b.c-d", "dataset")],
)
def test_targets_are_read(text: str, kind: str) -> None:
    assert Target.parse(text).kind == kind


@pytest.mark.parametrize("text", ["", "a/b", "hf:a", "github:-x/y", "hf:a/b/c", "github:a/b;ls"])
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="write github:OWNER/NAME"):
        Target.parse(text)


def test_a_repository_gets_the_folder_without_any_verification(folder: SubmissionFolder) -> None:
    files = delivery(folder, "github:a/b").files
    names = ["README.md", "checksums.txt", "episodes.jsonl.gz", "results.json", "submission.json"]
    assert list(files) == [f"leaderboard/submissions/tiny/{name}" for name in names]


def test_a_model_gets_its_rows_alone(folder: SubmissionFolder) -> None:
    files = delivery(folder, "hf:a/b", benchmark="c/d").files
    assert list(files) == [".eval_results/spa-bench-tiny.yaml"]


def test_a_model_needs_a_benchmark(folder: SubmissionFolder) -> None:
    with pytest.raises(InputError, match="--benchmark"):
        delivery(folder, "hf:a/b")


# -- the Hub ---------------------------------------------------------------------------------------


class _Hub(BaseHTTPRequestHandler):
    """The two calls of the Hub's API that a commit of small files makes."""

    received: list[tuple[str, list[dict[str, Any]]]]
    refuses = False

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.refuses:
            return self._answer(403, {"error": "You cannot write here"})
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            modes = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files
            ]
            return self._answer(200, {"files": modes})
        lines = [json.loads(line) for line in body.splitlines()]
        self.received.append((self.path, lines))
        url = f"http://{self.headers['Host']}"
        made = {"commitOid": "0" * 40, "commitUrl": f"{url}/a/b/commit/0", "hookOutput": ""}
        return self._answer(200, made | {"pullRequestUrl": f"{url}/a/b/discussions/1"})

    def _answer(self, status: int, content: Any) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Hub]]:
    constants = pytest.importorskip("huggingface_hub.constants")
    handler = type("Hub", (_Hub,), {"received": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", address)
        monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
        yield handler
        server.shutdown()


def test_the_hub_receives_a_pull_request_with_the_files(
    folder: SubmissionFolder, hub: type[_Hub]
) -> None:
    target = Target.parse("hf:datasets/a/b")
    sent = delivery(folder, "hf:datasets/a/b")
    assert send(target, sent).endswith("/a/b/discussions/1")
    ((path, lines),) = hub.received
    assert path == "/api/datasets/a/b/commit/main?create_pr=1"
    header, *files = lines
    assert header["value"]["summary"] == "spa-bench: Tiny <b>1</b>, prompting"
    contents = {f["value"]["path"]: base64.b64decode(f["value"]["content"]) for f in files}
    assert contents == dict(sent.files)
    assert "submissions/tiny/episodes.jsonl.gz" in contents


def test_what_the_hub_refuses_is_one_line(folder: SubmissionFolder, hub: type[_Hub]) -> None:
    hub.refuses = True
    with pytest.raises(SpaBenchError, match="not published on the Hub") as refused:
        send(Target.parse("hf:a/b"), delivery(folder, "hf:a/b", benchmark="c/d"))
    assert "\n" not in str(refused.value)


def test_whatever_the_connection_raises_is_one_line(
    folder: SubmissionFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoNetwork(Exception):  # as an HTTP library's own, which is no OSError
        pass

    def fail(*_: object, **__: object) -> None:
        raise NoNetwork("connection refused\nby nobody")

    monkeypatch.setattr("huggingface_hub.HfApi.create_commit", fail)
    with pytest.raises(SpaBenchError, match=r"^not published on the Hub: connection refused$"):
        send(Target.parse("hf:a/b"), delivery(folder, "hf:a/b", benchmark="c/d"))


# -- GitHub ----------------------------------------------------------------------------------------

GH = """#!{python}
import json, os, subprocess, sys
root, arguments = {root!r}, sys.argv[1:]
with open(root + "/calls.jsonl", "a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
if arguments[:2] == ["repo", "clone"]:
    subprocess.run(["git", "clone", "-q", root + "/upstream.git", arguments[3]], check=True)
elif arguments[:2] == ["api", "user"]:
    print(open(root + "/login").read())
elif arguments[:2] == ["repo", "fork"]:
    subprocess.run(["git", "remote", "add", "fork", root + "/fork.git"], check=True)
elif arguments[:2] == ["pr", "create"]:
    if os.path.exists(root + "/refuse"):
        sys.exit("pull request create failed: No commits")
    print("https://github.example/owner/board/pull/7")
"""


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `gh` that works on two bare repositories here, and remembers what it was asked."""
    root, bin_ = tmp_path / "github", tmp_path / "bin"
    root.mkdir()
    bin_.mkdir()
    for name, value in {
        "GIT_CONFIG_GLOBAL": str(tmp_path / "none"),
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }.items():
        monkeypatch.setenv(name, value)
    for repository in ("upstream", "fork"):
        git(root, "init", "-q", "--bare", "-b", "main", f"{repository}.git")
    git(root, "clone", "-q", "upstream.git", "seed")
    git(root / "seed", "commit", "-q", "--allow-empty", "-m", "first")
    git(root / "seed", "push", "-q", "origin", "HEAD:main")
    (root / "login").write_text("somebody")
    gh = bin_ / "gh"
    gh.write_text(GH.format(python=sys.executable, root=str(root)))
    gh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}{os.pathsep}{os.environ['PATH']}")
    return root


def git(at: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=at, capture_output=True, text=True, check=True)
    return done.stdout


def calls(root: Path) -> list[list[str]]:
    return [json.loads(line) for line in (root / "calls.jsonl").read_text().splitlines()]


def test_github_receives_a_branch_of_a_fork_and_a_pull_request(
    folder: SubmissionFolder, github: Path
) -> None:
    sent = delivery(folder, "github:owner/board")
    url = send(Target.parse("github:owner/board"), sent)
    assert url == "https://github.example/owner/board/pull/7"
    names = git(github / "fork.git", "ls-tree", "-r", "--name-only", "submission-tiny").split()
    assert names == list(sent.files)
    log = subprocess.run(
        ["git", "show", "submission-tiny:leaderboard/submissions/tiny/episodes.jsonl.gz"],
        cwd=github / "fork.git",
        capture_output=True,
        check=True,
    )
    assert log.stdout == sent.files["leaderboard/submissions/tiny/episodes.jsonl.gz"]
    *_, last = calls(github)
    assert last[:4] == ["pr", "create", "--repo=owner/board", "--head=somebody:submission-tiny"]
    assert "--title=spa-bench: Tiny <b>1</b>, prompting" in last


def test_an_owner_needs_no_fork(folder: SubmissionFolder, github: Path) -> None:
    (github / "login").write_text("Owner")
    send(Target.parse("github:owner/board"), delivery(folder, "github:owner/board"))
    assert "submission-tiny" in git(github / "upstream.git", "branch", "--list")
    assert "--head=submission-tiny" in calls(github)[-1]
    assert not any(call[:2] == ["repo", "fork"] for call in calls(github))


def test_publishing_again_replaces_the_branch(folder: SubmissionFolder, github: Path) -> None:
    sent = delivery(folder, "github:owner/board")
    for _ in range(2):
        send(Target.parse("github:owner/board"), sent)
    assert len(git(github / "fork.git", "log", "--oneline", "submission-tiny").splitlines()) == 2


def test_what_gh_says_is_passed_on_in_one_line(folder: SubmissionFolder, github: Path) -> None:
    (github / "refuse").touch()
    with pytest.raises(SpaBenchError, match="`gh pr create` failed: pull request create failed"):
        send(Target.parse("github:owner/board"), delivery(folder, "github:owner/board"))


def test_without_gh_one_is_told(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish.shutil, "which", lambda tool: None)
    with pytest.raises(InputError, match="needs `gh`"):
        send(Target.parse("github:owner/board"), delivery(folder, "github:owner/board"))
