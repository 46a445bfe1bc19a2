"""`train` on the command line: a recipe, one stage of it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spa_bench.cli import main
from spa_bench.errors import InputError
from spa_bench.evaluation import evaluate

RECIPE = """
recipe: tiny
method: base
nano: {tasks: [frozenlake], boards: 10, hidden: 16, layers: 1, heads: 2, feed_forward: 32}
selfplay: {tasks: [frozenlake], player: random, boards: 6, repeats: 1}
sft: {rows: episode, epochs: 1, batch_size: 4, learning_rate: 1.0e-3}
"""


@pytest.fixture(autouse=True)
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(RECIPE, encoding="utf-8")


def train(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exited:
        main(["train", *arguments])
    assert isinstance(exited.value.code, int)
    return exited.value.code


def test_a_recipe_ends_with_how_to_evaluate_what_it_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train("tiny.yaml", "--batch-size", "8") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-2] == "checkpoint: runs/train/tiny/tiny"
    assert said[-1] == "  spa-bench evaluate --model ./runs/train/tiny/tiny --tasks frozenlake"
    assert Path("runs/train/tiny/tiny/model.safetensors").is_file()


def test_a_training_and_a_run_do_not_share_a_folder(
    capsys: pytest.CaptureFixture[str],
) -> None:
    evaluate("baseline/random", "frozenlake", output="run", limit=1, repeats=1)
    assert train("tiny.yaml", "--output", "run") == 2
    assert "holds the run of an evaluation" in capsys.readouterr().err
    assert train("selfplay", "tiny.yaml", "--output", "out") == 0
    with pytest.raises(InputError, match="out holds a training"):
        evaluate("baseline/random", "frozenlake", output="out", limit=1, repeats=1)


def test_one_stage_is_done_with_what_was_set() -> None:
    assert train("selfplay", "tiny.yaml", "--set", "selfplay.boards=2", "--output", "out") == 0
    assert Path("out/selfplay").is_dir()
    assert not Path("out/sft").exists()
    assert (
        json.loads(Path("out/recipe.json").read_text(encoding="utf-8"))["selfplay"]["boards"] == 2
    )


@pytest.mark.parametrize("what", [("later", "tiny.yaml"), ("sft", "tiny.yaml", "tiny.yaml")])
def test_a_stage_that_is_none_is_refused(
    what: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(*what) == 2
    told = "error: train " + " ".join(what) + ": write [selfplay|sft|rl] RECIPE"
    assert capsys.readouterr().err.startswith(told)


def test_curves_of_nothing_are_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("curves", "nowhere") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
