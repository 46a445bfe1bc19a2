"""`spa-bench leaderboard pack | verify | export | publish`, as users type it."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from scripted import Scripted

from spa_bench.cli import main
from spa_bench.evaluation import evaluate
from spa_bench.models.hf_files import find
from spa_bench.runner.log import RunFolder
from spa_bench.submission.folder import SubmissionFolder

WHO = ("--submitted-by", "a group")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run"
    evaluate("baseline/random", "frozenlake", output=path, repeats=1)
    return path


@pytest.fixture
def packed(run: Path, tmp_path: Path) -> Path:
    output = tmp_path / "random-baseline"
    assert spa_bench("pack", run, *WHO, "--output", output) == 0
    return output


def spa_bench(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["leaderboard", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_pack_and_verify(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert spa_bench("verify", packed) == 0
    said = capsys.readouterr().out
    assert "128 episodes" in said
    assert "badge: replayed" in said
    verification = SubmissionFolder(packed).verification()
    assert verification is not None
    assert verification.badge == "replayed"


def test_a_dry_run_of_verify_writes_nothing(packed: Path) -> None:
    assert spa_bench("verify", packed, "--dry-run") == 0
    assert not (packed / "verification.json").exists()


def test_what_does_not_verify_is_told_and_loses_its_badge(
    packed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spa_bench("verify", packed) == 0
    moved = Path(shutil.move(packed, packed.with_name("other")))
    assert spa_bench("verify", moved) == 1
    said = capsys.readouterr().out
    assert "does not verify: 1 difference(s)" in said
    assert "submission.json: name is 'random-baseline', the folder's is 'other'" in said
    assert not (moved / "verification.json").exists()


def test_what_is_no_submission_is_refused_and_the_others_are_verified(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spa_bench("verify", tmp_path, packed) == 2
    said = capsys.readouterr()
    assert "refused" in said.err
    assert "badge: replayed" in said.out


def test_a_folder_of_submissions_is_told_how_to_name_them(
    packed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = packed.parent
    assert spa_bench("verify", "--dry-run", folder) == 2
    said = capsys.readouterr().err
    assert said == (
        f"{folder}: refused\n  {folder}: a folder of submissions; name them: {folder}/*\n"
    )


def test_a_folder_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spa_bench("verify", tmp_path / "none") == 2
    assert "No such file" in capsys.readouterr().err


def test_a_file_is_refused_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    assert spa_bench("verify", tmp_path / "file") == 2
    assert capsys.readouterr().err.count("Not a directory") == 1


def test_an_authored_badge_stays_where_weights_are_not_asked(
    packed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spa_bench("verify", packed) == 0
    path = packed / "verification.json"
    figures = dict.fromkeys(("recorded", "own", "difference", "low", "high"), 0.0)
    told = {"badge": "authored", "authorship": {"weights": "0" * 64, "replies": 64, **figures}}
    path.write_text(json.dumps(json.loads(path.read_text()) | told))
    assert spa_bench("verify", packed) == 0
    assert "weights: not checked" in capsys.readouterr().out
    verification = SubmissionFolder(packed).verification()
    assert verification is not None
    assert verification.badge == "authored"


def test_a_nonce_that_is_none_is_refused(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert spa_bench("verify", packed, "--nonce", "7") == 2
    assert "not 32 hexadecimal digits" in capsys.readouterr().err


def test_pack_asks_by_its_options_for_what_nobody_can_know(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spa_bench("pack", run, "--output", tmp_path / "x") == 2
    assert "submitted_by cannot be known from the run: say it with --submitted-by" in (
        capsys.readouterr().err
    )


def test_pack_names_all_that_is_missing_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    evaluate(Scripted(["<answer>Up</answer>"]), "frozenlake", output=run, repeats=1)
    assert spa_bench("pack", run, "--output", tmp_path / "x") == 2
    said = capsys.readouterr().err
    assert "model, method, training, submitted_by cannot be known" in said.replace("\n", " ")
    assert "--model, --method, --training, --submitted-by" in said


def test_a_partial_run_is_refused_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    evaluate("baseline/random", "frozenlake", output=run, limit=1, repeats=1)
    assert spa_bench("pack", run, "--output", tmp_path / "x") == 2
    assert "a partial run (--limit or --shard)" in capsys.readouterr().err


def test_build_takes_folders_of_submissions_and_no_submission(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spa_bench("build", packed, "--output", tmp_path / "site") == 2
    assert "name the folder that it lies in" in capsys.readouterr().err


def test_a_link_may_hold_a_comma(run: Path, tmp_path: Path) -> None:
    output, link = tmp_path / "random-baseline", "https://a.example/x,y?z=1"
    assert spa_bench("pack", run, *WHO, "--link", f"code={link}", "--output", output) == 0
    assert SubmissionFolder(output).submission().links == {"code": link}


def test_a_link_needs_a_name(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert spa_bench("pack", run, *WHO, "--link", "https:x", "--output", tmp_path / "x") == 2
    assert "is not NAME=ADDRESS" in capsys.readouterr().err


def test_a_run_is_told_from_a_submission(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert spa_bench("verify", "--dry-run", run) == 2
    assert "a run and no submission yet; pack it first" in capsys.readouterr().err


def test_pack_takes_details_from_a_file_and_options_win(run: Path, tmp_path: Path) -> None:
    details = tmp_path / "details.yaml"
    details.write_text(
        "submitted_by: a file\nmodel: Chance\ndate: 2026-10-01\nlinks: {code: https://a.example}\n"
    )
    output = tmp_path / "chance-baseline"
    assert spa_bench("pack", run, "--details", details, "--model", "Luck", "--output", output) == 0
    said = SubmissionFolder(output).submission()
    assert (said.model, said.submitted_by, said.name) == ("Luck", "a file", "chance-baseline")
    assert said.date.isoformat() == "2026-10-01"
    assert said.links == {"code": "https://a.example"}


@pytest.mark.parametrize(
    ("details", "says"),
    [
        ("modle: x", "details.yaml:1: unknown key 'modle' (did you mean model"),
        ("- x", "details.yaml"),
        ("links: {code: 'javascript:x'}", "--link: a link begins with https://"),
        ("name: Über", "--name: a name is made of a-z"),
        ("date: yesterday", "date in --details"),
        ("parameters: -1", "--parameters"),
        ("training: some", "--training"),
        ("model: '\u202ea'", "--model: must be one line of printable characters"),
    ],
)
def test_details_that_cannot_be_are_refused(
    run: Path, tmp_path: Path, details: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "details.yaml"
    file.write_text(details)
    code = spa_bench("pack", run, *WHO, "--details", file, "--output", tmp_path / "x")
    said = capsys.readouterr().err
    assert code == 2
    assert says in said
    assert said.count("\n") == 1


def test_a_checkpoint_says_what_it_is_and_what_it_saw(run: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    card = {"schema": "spa-bench/checkpoint/1", "name": "nano", "method": "spa", "tasks": []}
    (checkpoint / "spa_bench.json").write_text(json.dumps({**card, "parent": "b", "recipe": "r"}))
    boards = gzip.compress(json.dumps({"frozenlake/4x4/ragen": ["0" * 16]}).encode())
    (checkpoint / "training_boards.json.gz").write_bytes(boards)
    output = tmp_path / "nano-spa"
    assert spa_bench("pack", run, *WHO, "--checkpoint", checkpoint, "--output", output) == 0
    folder = SubmissionFolder(output)
    said = folder.submission()
    assert (said.model, said.method, said.base_model) == ("nano", "spa", "b")
    assert said.training == "listed"
    assert folder.training_boards() == {"frozenlake/4x4/ragen": frozenset({"0" * 16})}
    assert said.parameters is None  # it has no weights


def test_a_folder_with_another_name_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would not verify."""
    output = tmp_path / "one"
    assert spa_bench("pack", run, *WHO, "--name", "other", "--output", output) == 2
    said = capsys.readouterr().err
    assert "a submission's folder has its name, which is other; give --name one" in said
    assert not output.exists()
    assert spa_bench("pack", run, *WHO, "--output", output) == 0
    assert spa_bench("verify", "--dry-run", output) == 0


def test_a_checkpoint_that_is_not_there_or_was_not_played_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--output", tmp_path / "x")
    assert spa_bench("pack", run, *WHO, *options, "--checkpoint", tmp_path / "nowhere") == 2
    assert "nowhere: no such folder" in capsys.readouterr().err
    played, other = (_weights(tmp_path / name, number) for name, number in (("p", 1), ("o", 2)))
    info = RunFolder(run).read_info()
    identity = {**info.model.identity, **find(str(played)).identity}
    model = info.model.model_copy(update={"identity": identity})
    copy = shutil.copytree(run, tmp_path / "run")
    RunFolder(copy).write_info(info.model_copy(update={"model": model}))
    assert spa_bench("pack", copy, *WHO, *options, "--checkpoint", other) == 2
    assert "other weights than those of the run" in capsys.readouterr().err
    assert spa_bench("pack", copy, *WHO, *options, "--checkpoint", played) == 0


def _weights(folder: Path, number: float) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    save_file({"a": np.full(3, number, np.float32)}, folder / "model.safetensors")
    return folder


def test_a_checkpoint_tells_its_size_and_how_it_was_trained(run: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    save_file(
        {"a": np.zeros((3, 5), np.float32), "b": np.zeros(7, np.float16)},
        checkpoint / "m.safetensors",
    )
    log = [{"step": 0, "frozenlake/pass@1": 0.2}, {"step": 1, "reward": -0.5, "warnings": ["/x"]}]
    (checkpoint / "training.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    output = tmp_path / "random-baseline"
    assert spa_bench("pack", run, *WHO, "--checkpoint", checkpoint, "--output", output) == 0
    folder = SubmissionFolder(output)
    assert folder.submission().parameters == 22
    assert folder.training_log() == [log[0], {"step": 1, "reward": -0.5}]
    assert spa_bench("verify", output) == 0


def test_a_log_without_a_step_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.jsonl").write_text("{}\n")
    options = ("--training-log", tmp_path / "log.jsonl", "--output", tmp_path / "x")
    assert spa_bench("pack", run, *WHO, *options) == 2
    assert "no step of a training in it" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["every-eval-ever", "hf-model-index"])
def test_export_prints(packed: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert spa_bench("export", packed, "--as", form) == 0
    assert "frozenlake" in capsys.readouterr().out


def test_export_writes_to_the_place_where_the_file_belongs(packed: Path, tmp_path: Path) -> None:
    options = ("--as", "hf-eval-results", "--benchmark", "a/b", "--output", tmp_path)
    assert spa_bench("export", packed, *options) == 0
    assert (tmp_path / ".eval_results" / "spa-bench-random-baseline.yaml").is_file()


def test_an_unknown_form_is_refused(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert spa_bench("export", packed, "--as", "every_eval") == 2
    assert "did you mean every-eval-ever" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["every-eval-ever", "hf-model-index"])
def test_a_benchmark_is_refused_where_export_would_not_name_it(
    packed: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--as", form, "--benchmark", "a/b", "--output", tmp_path / "out")
    capsys.readouterr()
    assert spa_bench("export", packed, *options) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "error: --benchmark is for --as hf-eval-results alone\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", ["github:a/b", "hf:datasets/a/b"])
def test_a_benchmark_is_refused_where_publish_would_not_send_it(
    packed: Path, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert spa_bench("publish", packed, "--to", to, "--benchmark", "c/d", "--dry-run") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: --benchmark is for a model's rows")


def test_publish_says_so_before_it_looks_at_the_submission(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert spa_bench("publish", tmp_path / "nothere", "--to", "hf:a/b", "--dry-run") == 2
    assert capsys.readouterr().err.startswith("error: --benchmark OWNER/NAME is missing")


def test_build_refuses_reported_figures_that_are_not_there(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, output = tmp_path / "nothere", tmp_path / "site"
    capsys.readouterr()
    assert spa_bench("build", packed.parent, "--output", output, "--reported", missing) == 2
    assert capsys.readouterr().err == f"error: --reported {missing}: no such folder\n"
    assert not output.exists()


def test_publish_says_what_it_would_send(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert spa_bench("publish", packed, "--to", "github:a/b", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "spa-bench: random, baseline" in said
    assert "leaderboard/submissions/random-baseline/episodes.jsonl.gz" in said


def test_publish_sends_nothing_that_does_not_verify(
    packed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = Path(shutil.move(packed, packed.with_name("other")))
    assert spa_bench("publish", moved, "--to", "github:a/b", "--dry-run") == 2
    assert "does not verify" in capsys.readouterr().err


def test_a_misspelt_folder_to_compare_with_takes_no_badge(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spa_bench("verify", packed) == 0
    before = (packed / "verification.json").read_bytes()
    capsys.readouterr()
    assert spa_bench("verify", packed, "--beside", tmp_path / "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err
    assert (packed / "verification.json").read_bytes() == before


def test_weights_that_cannot_be_asked_leave_the_replay_and_the_others_are_verified(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "elsewhere" / packed.name
    shutil.copytree(packed, other)
    assert spa_bench("verify", other) == 0
    earlier = json.loads((other / "verification.json").read_text())
    scored = {"recorded": -1.0, "own": -1.0, "difference": 0.0, "low": -0.1, "high": 0.1}
    earlier |= {"badge": "authored", "authorship": {"weights": "0" * 64, "replies": 64, **scored}}
    (other / "verification.json").write_text(json.dumps(earlier))
    assert spa_bench("verify", packed, other, "--model", tmp_path / "nowhere") == 2
    assert capsys.readouterr().err.count("weights: not checked: ") == 2
    found = [SubmissionFolder(path).verification() for path in (packed, other)]
    assert [each.badge for each in found if each] == ["replayed", "authored"]
