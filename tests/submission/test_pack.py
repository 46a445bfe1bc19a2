"""A complete run of unmodified tasks becomes a submission, and nobody's secrets with it."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted import Scripted
from submissions import ABOUT, NOBODY, FewBoards, evaluated, moody
from worlds import changed

from spa_bench.checkpoint import short_key
from spa_bench.errors import InputError
from spa_bench.evaluation import evaluate
from spa_bench.models.model import Reply
from spa_bench.runner.log import RunFolder
from spa_bench.submission.folder import CHECKSUMS, EPISODES, SubmissionFolder
from spa_bench.submission.pack import pack
from spa_bench.submission.scrub import Scrubber
from spa_bench.submission.verify import verify
from spa_bench.task import Task


def lines(folder: SubmissionFolder) -> list[dict[str, Any]]:
    text = gzip.decompress((folder.path / EPISODES).read_bytes()).decode()
    return [json.loads(line) for line in text.splitlines()]


def refusal(run: RunFolder, output: Path, **options: Any) -> str:
    settings = {"about": ABOUT, "registry": FewBoards(), "scrubber": NOBODY, **options}
    with pytest.raises(InputError) as refused:
        pack(run, output=output, **settings)
    assert not output.exists()
    assert "\n" not in str(refused.value)
    return str(refused.value)


# -- what a submission holds -----------------------------------------------------------------------


def test_a_submission_holds_its_files_and_their_checksums(packed: SubmissionFolder) -> None:
    names = {path.name for path in packed.path.iterdir()}
    assert names == {"submission.json", "results.json", EPISODES, "README.md", CHECKSUMS}
    checked = subprocess.run(["sha256sum", "-c", CHECKSUMS], cwd=packed.path, capture_output=True)
    assert checked.returncode == 0


def test_episodes_stand_in_the_order_of_the_plan(packed: SubmissionFolder) -> None:
    complete = [line for line in lines(packed) if line["status"] == "complete"]
    keys = [(line["task"], line["instance"], line["repeat"]) for line in complete]
    tasks = list(dict.fromkeys(key[0] for key in keys))
    assert tasks == ["sokoban", "frozenlake_slippery"]
    assert keys == sorted(keys, key=lambda key: (tasks.index(key[0]), *key[1:]))
    assert len(keys) == 2 * 2 * 4


def test_broken_episodes_stay_and_lose_the_address_of_the_server(packed: SubmissionFolder) -> None:
    broken = [line for line in lines(packed) if line["status"] == "infrastructure"]
    assert [line["error"] for line in broken] == ["[server] says 503"] * 2


def test_equal_runs_make_equal_files(played: RunFolder, packed: Any, tmp_path: Path) -> None:
    again = pack(played, ABOUT, tmp_path / "tiny", FewBoards(), scrubber=NOBODY)
    assert again.digest() == packed.digest()


def test_the_readme_shows_names_as_they_are(packed: SubmissionFolder) -> None:
    text = (packed.path / "README.md").read_text()
    assert r"Tiny \<b\>1\</b\>" in text
    assert r"submitted by: a \| group" in text
    assert r"none \`at\` all" in text


def test_listed_training_boards_are_packed_and_their_overlap_is_found(
    played: RunFolder, tmp_path: Path
) -> None:
    task = FewBoards().load("sokoban")
    board = task.boards[0][0]
    listed = {"sokoban/6x6-1/ragen": frozenset({short_key(board.board_key)})}
    about = ABOUT.model_copy(update={"training": "listed"})
    folder = pack(played, about, tmp_path / "tiny", FewBoards(), listed, NOBODY)
    report = verify(folder, FewBoards())
    assert report.verification is not None
    assert report.verification.overlap == {"sokoban": 0.5, "frozenlake_slippery": 0.0}
    (flag,) = [flag for flag in report.verification.flags if flag.kind == "overlap"]
    assert flag.says == "50.0% of the boards are among those it was trained on"


def test_a_submission_with_unknown_training_has_no_overlap(
    played: RunFolder, tmp_path: Path
) -> None:
    about = ABOUT.model_copy(update={"training": "unknown"})
    folder = pack(played, about, tmp_path / "tiny", FewBoards(), scrubber=NOBODY)
    report = verify(folder, FewBoards())
    assert report.verification is not None
    assert set(report.verification.overlap.values()) == {None}


# -- what is refused -------------------------------------------------------------------------------


def test_a_run_that_owes_episodes_is_refused(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "run", moody(breaks=frozenset({3})))
    assert "1 of 16 episodes are not done" in refusal(run, tmp_path / "tiny")
    run.episodes_path.unlink()
    assert "16 of 16 episodes are not done" in refusal(run, tmp_path / "tiny")


@pytest.mark.parametrize("part", [{"limit": 1}, {"shard": "1/2"}])
def test_a_partial_run_is_refused(played: RunFolder, tmp_path: Path, part: Any) -> None:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.write_info(played.read_info().model_copy(update=part))
    assert "only complete runs can be packed" in refusal(run, tmp_path / "tiny")


class Easier(FewBoards):
    """As if the run's tasks had been played with more turns than this version's tasks have."""

    def load(self, name: str) -> Task:
        return changed(super().load(name), limits={"turns": 99})


def test_a_run_of_altered_tasks_is_refused(played: RunFolder, tmp_path: Path) -> None:
    said = refusal(played, tmp_path / "tiny", registry=Easier())
    assert "'sokoban' is not the built-in one" in said


def test_a_run_with_a_longer_seed_than_a_submission_may_have_is_refused(
    played: RunFolder, tmp_path: Path
) -> None:
    run = RunFolder(Path(shutil.copytree(played.path, tmp_path / "run")))
    run.write_info(run.read_info().model_copy(update={"salt": "x" * 130}))
    said = refusal(run, tmp_path / "tiny")
    assert said.startswith(f"{run.path}: cannot be submitted: salt: ")
    assert "at most 120 characters" in said


def test_a_seed_that_could_not_be_submitted_is_refused_before_it_is_played(tmp_path: Path) -> None:
    model = Scripted(["<answer>Up</answer>"])
    asked: dict[str, Any] = {"output": tmp_path / "run", "limit": 1, "repeats": 1}
    with pytest.raises(InputError, match="--seed must have at most 120 characters"):
        evaluate(model, "frozenlake", salt="x" * 121, **asked)
    assert (model.started, model.requests, list(tmp_path.iterdir())) == (0, [], [])
    evaluate(model, "frozenlake", salt="x" * 120, **asked)
    assert RunFolder(tmp_path / "run").read_info().salt == "x" * 120


def test_a_run_of_a_variant_is_refused(played: RunFolder, tmp_path: Path) -> None:
    info = played.read_info()
    info.tasks[0].task = "sokoban*"
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.write_info(info)
    assert "'sokoban*' is not the built-in one" in refusal(run, tmp_path / "tiny")


def test_a_folder_that_holds_no_run_is_refused(tmp_path: Path) -> None:
    assert "no run.json" in refusal(RunFolder(tmp_path), tmp_path / "tiny")


def test_a_submission_is_never_written_over(played: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    with pytest.raises(InputError, match="is there already"):
        pack(played, ABOUT, tmp_path / "tiny", FewBoards(), scrubber=NOBODY)


def test_listed_without_boards_is_refused(played: RunFolder, tmp_path: Path) -> None:
    about = ABOUT.model_copy(update={"training": "listed"})
    assert "training: listed needs the boards" in refusal(played, tmp_path / "tiny", about=about)


def test_a_reply_that_holds_a_key_is_refused_since_it_cannot_be_changed(tmp_path: Path) -> None:
    def leak(request: Any) -> Reply:
        return Reply("I am quite-secret-123", "stop")

    model = moody()
    model._say = leak
    run = evaluated(tmp_path / "run", model)
    scrubber = replace(NOBODY, variables={"MY_API_KEY": "quite-secret-123"})
    said = refusal(run, tmp_path / "tiny", scrubber=scrubber)
    assert "the reply holds the value of a key" in said
    assert "quite-secret-123" not in said


# -- nothing of the machine ------------------------------------------------------------------------


def test_no_key_path_or_host_is_left_in_any_file(tmp_path: Path) -> None:
    secrets = ["sk-abcdefgh12345678", "/data/quentin/models/big", "gpu-17", "10.0.0.7", "quentin"]
    model = moody()
    model._identity = {
        "checkpoint": "/data/quentin/models/big",
        "api_key": "sk-abcdefgh12345678",
        "base_urls": ["http://gpu-17:8000/v1"],
        "extra_body": {"user": "quentin@gpu-17", "authorization": "Bearer whatever"},
        "reasoning_tokens": 1024,
    }
    run = evaluated(tmp_path / "run", model)
    scrubber = Scrubber({"HF_TOKEN": "sk-abcdefgh12345678"}, ("gpu-17",), "/data/quentin")
    folder = pack(run, ABOUT, tmp_path / "tiny", FewBoards(), scrubber=scrubber)
    for path in folder.path.iterdir():
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.name == EPISODES else content).decode()
        assert [secret for secret in secrets if secret in text] == []
    identity = folder.submission().run.identity
    assert identity["reasoning_tokens"] == 1024
    assert identity["base_urls"] == ["[server]"]
    assert "api_key" not in identity
