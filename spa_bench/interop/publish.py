"""Sends a submission to where it is published, always as a pull request.

`github:OWNER/NAME`, a repository with this project's leaderboard, through `gh` and `git`.
`hf:datasets/OWNER/NAME`, a dataset of submissions on the Hub. `hf:OWNER/NAME`, a model there, which
gets rows of `.eval_results`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

from spa_bench.errors import InputError, SpaBenchError
from spa_bench.interop.hugging_face import eval_results
from spa_bench.results.results import Results
from spa_bench.results.table import format_results
from spa_bench.submission.folder import VERIFICATION, SubmissionFolder
from spa_bench.submission.schema import Submission

Kind: TypeAlias = Literal["github", "model", "dataset"]

_TARGET = re.compile(r"(github:|hf:datasets/|hf:)([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)")
_KINDS: Mapping[str, Kind] = {"github:": "github", "hf:datasets/": "dataset", "hf:": "model"}

_SECONDS = 300
"""Longest time of one command."""


@dataclass(frozen=True)
class Target:
    """Where to: a kind of repository, and its OWNER/NAME."""

    kind: Kind
    repository: str

    @classmethod
    def parse(cls, text: str) -> Target:
        """Reads `github:OWNER/NAME`, `hf:OWNER/NAME` or `hf:datasets/OWNER/NAME`.

        Raises:
            InputError: for anything else.
        """
        match = _TARGET.fullmatch(text)
        if match is None:
            raise InputError(
                f"--to {text!r}: write github:OWNER/NAME, hf:OWNER/NAME (a model)"
                " or hf:datasets/OWNER/NAME"
            )
        return cls(_KINDS[match[1]], match[2])


@dataclass(frozen=True)
class Delivery:
    """What is sent: files by their path in the repository, and what the pull request says."""

    name: str
    title: str
    body: str
    files: Mapping[str, bytes]


def check(target: Target, benchmark: str | None) -> None:
    """Says at once, before anything is verified, what cannot be sent.

    Raises:
        InputError: if the target is a model and there is no benchmark, or the other way round.
    """
    if benchmark is not None and target.kind != "model":
        raise InputError("--benchmark is for a model's rows, --to hf:OWNER/NAME, alone")
    if benchmark is None and target.kind == "model":
        raise InputError(
            "--benchmark OWNER/NAME is missing: the Hub's dataset that stands for this"
            " benchmark, to which a model's rows belong"
        )


def prepare(
    folder: SubmissionFolder,
    submission: Submission,
    results: Results,
    target: Target,
    benchmark: str | None = None,
) -> Delivery:
    """Returns what a target gets of a submission.

    A verification is never sent: where it counts, somebody else makes it.

    Args:
        results: recomputed, not as stated.
        benchmark: for a model on the Hub: the dataset that stands for this benchmark there.

    Raises:
        InputError: as `check` does.
    """
    check(target, benchmark)
    if benchmark is not None:
        path = f".eval_results/spa-bench-{submission.name}.yaml"
        files = {path: eval_results(submission, results, benchmark).encode()}
    else:
        root = "leaderboard/submissions" if target.kind == "github" else "submissions"
        files = {
            f"{root}/{submission.name}/{path.name}": path.read_bytes()
            for path in sorted(folder.path.iterdir())
            if path.name != VERIFICATION
        }
    return Delivery(
        name=submission.name,
        title=f"spa-bench: {submission.model}, {submission.method}",
        body=f"{format_results([results], 'markdown')}\n\nsubmission `{folder.digest()}`\n",
        files=files,
    )


def send(target: Target, delivery: Delivery) -> str:
    """Makes the pull request, and returns its address.

    Raises:
        InputError: if a tool that is needed is not installed.
        SpaBenchError: if it could not be made, with what the tool or the server said.
    """
    if target.kind == "github":
        return _to_github(target, delivery)
    return _to_hub(target, delivery)


def _to_hub(target: Target, delivery: Delivery) -> str:
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
    except ImportError:
        raise InputError(
            "publishing on the Hub needs huggingface_hub: pip install huggingface_hub"
        ) from None
    operations = [
        CommitOperationAdd(path_in_repo=path, path_or_fileobj=content)
        for path, content in delivery.files.items()
    ]
    try:
        commit = HfApi().create_commit(
            repo_id=target.repository,
            repo_type=target.kind,
            operations=operations,
            commit_message=delivery.title,
            commit_description=delivery.body,
            create_pr=True,
        )
    except Exception as error:  # of the Hub, or of whichever HTTP library this release uses
        said = str(error).strip().splitlines()
        raise SpaBenchError(
            f"not published on the Hub: {said[0] if said else type(error).__name__}"
        ) from None
    return commit.pr_url or commit.commit_url


def _to_github(target: Target, delivery: Delivery) -> str:
    for tool in ("gh", "git"):
        if shutil.which(tool) is None:
            raise InputError(f"publishing on GitHub needs `{tool}`, which is not installed")
    branch = f"submission-{delivery.name}"
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name) / "clone"
        _run("gh", "repo", "clone", target.repository, str(clone), "--", "--depth=1")
        _run("git", "switch", "--create", branch, at=clone)
        for path, content in delivery.files.items():
            file = clone / PurePosixPath(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        _run("git", "add", "--force", "--", *delivery.files, at=clone)
        _run("git", "commit", "--quiet", f"--message={delivery.title}", at=clone)
        user = _run("gh", "api", "user", "--jq", ".login", at=clone)
        own = user.lower() == target.repository.partition("/")[0].lower()
        if not own:
            _run("gh", "repo", "fork", "--remote", "--remote-name=fork", at=clone)
        _run("git", "push", "--force", "origin" if own else "fork", branch, at=clone)
        head = branch if own else f"{user}:{branch}"
        said = _run(
            "gh",
            "pr",
            "create",
            f"--repo={target.repository}",
            f"--head={head}",
            f"--title={delivery.title}",
            f"--body={delivery.body}",
            at=clone,
        )
        return said.splitlines()[-1] if said else target.repository


def _run(*command: str, at: Path | None = None) -> str:
    try:
        done = subprocess.run(
            command, cwd=at, capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except subprocess.CalledProcessError as error:
        said = (str(error.stderr) or str(error.stdout)).strip().splitlines()
        why = said[-1] if said else f"exit code {error.returncode}"
        raise SpaBenchError(f"`{' '.join(command[:3])}` failed: {why}") from None
    except subprocess.TimeoutExpired:
        raise SpaBenchError(f"`{' '.join(command[:3])}` took over {_SECONDS} s") from None
    return done.stdout.strip()
