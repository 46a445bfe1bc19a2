"""lm-eval both ways: it asks our probes and scores them as we do; our runs read like its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripted import Scripted

from spa_bench.cli import main
from spa_bench.errors import InputError, ModelGoneError
from spa_bench.evaluation import evaluate
from spa_bench.interop.lm_eval_export import export
from spa_bench.interop.lm_eval_probe import TASKS, documents, process_results
from spa_bench.models.model import Capabilities, Request
from spa_bench.registry import Registry
from spa_bench.runner.episode import EpisodeSpec, play

pytest.importorskip("lm_eval")

PREFILLS = Capabilities(prefill=True)
NAMES = ["sokoban_transition", "frozenlake_legality", "sudoku_inverse_grid"]


def replies(name: str) -> list[str]:
    """Replies to the first documents of a task: right, wrong, torn, and something else."""
    docs = documents(name)["test"]
    found: list[str] = []
    for number, doc in zip(range(8), docs, strict=False):
        right = doc["target"]
        written = [f"{right}</answer>", f"{right[:-1]}</answer>", right, "no</answer> yes</answer>"]
        found.append(written[number % 4])
    return found


# -- our probes in lm-eval ------------------------------------------------------------------------


def test_every_probe_has_its_task_file() -> None:
    probes = {f"spa_{task.name}" for task in Registry().resolve(["world_model"])}
    files = {path.stem for path in TASKS.glob("spa_*.yaml")} - {"spa_world_model"}
    group = yaml.safe_load((TASKS / "spa_world_model.yaml").read_text())
    assert files == probes == set(group["task"])


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_what_our_own_runs_ask(name: str) -> None:
    asked: list[Request] = []

    def remember(request: Request) -> str:
        asked.append(request)
        return ""

    task = Registry().load(name)
    spec = EpisodeSpec(task, task.boards[0][0], 0, "0")
    asyncio.run(play(spec, Scripted(remember, capabilities=PREFILLS)))
    doc = documents(name)["test"][0]
    messages = [message.content for message in asked[0].messages]
    assert messages == [doc["system"], doc["question"]]
    assert (asked[0].prefill, spec.instance.id) == (doc["prefill"], doc["instance"])


@pytest.mark.parametrize("name", NAMES)
def test_lm_eval_itself_scores_the_same_replies_as_we_do(name: str) -> None:
    lm_eval: Any = pytest.importorskip("lm_eval")
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    said = replies(name)

    class Saying(LM):
        """A model of lm-eval that says what it is told to."""

        def generate_until(self, requests: list[Any], **_: Any) -> list[str]:
            return [said[request.doc_id] for request in requests]

        loglikelihood = loglikelihood_rolling = generate_until

    theirs = lm_eval.simple_evaluate(
        model=Saying(),
        tasks=[f"spa_{name}"],
        task_manager=TaskManager(include_path=str(TASKS), include_defaults=False),
        limit=len(said),
        bootstrap_iters=0,
    )["samples"][f"spa_{name}"]
    task = Registry().load(name)
    assert len(theirs) == len(said)
    for sample in theirs:
        board = task.boards[0][sample["doc_id"]]
        model = Scripted([said[sample["doc_id"]]], capabilities=PREFILLS)
        model.generate = _prefilled(model.generate)  # type: ignore[method-assign]
        ours = asyncio.run(play(EpisodeSpec(task, board, 0, "0"), model))
        assert sample["accuracy"] == float(ours.success)
        assert sample["probability"] == ours.turns[0].reward
    assert {sample["accuracy"] for sample in theirs} == {0.0, 1.0}


def _prefilled(generate: Callable[..., Any]) -> Callable[..., Any]:
    from dataclasses import replace

    async def continues(request: Request) -> Any:
        return replace(await generate(request), prefilled=True)

    return continues


def test_states_are_scored_to_the_cell_and_choices_are_not() -> None:
    state, choice = (dict(documents(name)["test"][0]) for name in NAMES[:2])
    assert set(process_results(state, ["nothing"])) == {
        "accuracy",
        "probability",
        "cell_accuracy",
        "object_f1",
    }
    assert set(process_results(choice, ["nothing"])) == {"accuracy", "probability"}


def test_a_task_that_is_no_probe_is_refused() -> None:
    with pytest.raises(InputError, match="is no probe"):
        documents("sokoban")


def test_the_command_names_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["lm-eval-path"])
    assert Path(capsys.readouterr().out.strip()) == TASKS


# -- our runs as lm-eval's ------------------------------------------------------------------------


def test_a_run_is_exported_with_a_sample_an_episode(tmp_path: Path) -> None:
    run = tmp_path / "run"
    results = evaluate("baseline/random", "sokoban,sokoban_transition", limit=6, output=run)
    first, *samples = export(run, tmp_path / "out")
    read = json.loads(first.read_text())
    assert first.name.startswith("results_")
    sokoban, transition = results.tasks
    assert read["results"]["sokoban"]["pass@1,none"] == pytest.approx(
        sokoban.metrics["pass@1"].value
    )
    assert transition.probe is not None
    assert read["results"]["sokoban_transition"]["cell_accuracy,none"] == pytest.approx(
        transition.probe.cell_accuracy
    )
    lines = [[json.loads(line) for line in path.read_text().splitlines()] for path in samples]
    assert [len(some) for some in lines] == [48, 6]
    accuracy = sum(sample["accuracy"] for sample in lines[1]) / 6
    assert accuracy == pytest.approx(transition.metrics["accuracy"].value)


def test_what_a_model_believed_is_exported_and_what_nobody_can_know_is_not(tmp_path: Path) -> None:
    run = tmp_path / "run"
    evaluate("baseline/random", "frozenlake_slippery_wm", limit=6, repeats=2, output=run)
    numbers = json.loads(export(run, tmp_path / "out")[0].read_text())["results"]
    found = numbers["frozenlake_slippery_wm"]
    assert found["belief_observation,none"] == 1.0
    assert 0 < found["belief_prediction_stderr,none"] < 1
    assert "pass@8,none" not in found  # two episodes a board


@pytest.mark.parametrize("name", ["..", "."])
def test_a_model_that_is_named_like_a_folder_is_exported_below_the_output(
    tmp_path: Path, name: str
) -> None:
    run, output = tmp_path / "run", tmp_path / "out"
    evaluate(Scripted(["no</answer>"], name=name), "sokoban_legality", limit=1, output=run)
    written = export(run, output)
    assert len(written) == 2
    assert {path.resolve().parent.parent for path in written} == {output.resolve()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_a_broken_run_is_exported_as_far_as_it_goes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    model = Scripted(["<answer>yes</answer>", "<answer>yes</answer>", ModelGoneError("gone")])
    with pytest.raises(ModelGoneError):
        evaluate(model, "sokoban_legality", limit=6, output=run)
    with pytest.raises(InputError, match="--resume"):
        export(run, tmp_path / "out")


def test_a_run_continued_with_fewer_repeats_has_as_many_samples_as_its_results(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    evaluate("baseline/random", "frozenlake", limit=4, repeats=3, output=run)
    evaluate("baseline/random", "frozenlake", limit=2, repeats=2, output=run, resume=True)
    first, samples = export(run, tmp_path / "out")
    numbers = json.loads(first.read_text())["results"]["frozenlake"]
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(lines) == numbers["sample_len"] == 4
    assert sum(line["pass@1"] for line in lines) / 4 == numbers["pass@1,none"]


def test_results_that_are_not_of_the_log_are_told(tmp_path: Path) -> None:
    run = tmp_path / "run"
    evaluate("baseline/random", "frozenlake", limit=2, repeats=2, output=run)
    log = run / "episodes.jsonl"
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:3]) + b"{torn")
    notes: list[str] = []
    with pytest.raises(InputError, match=r"it has 3 episodes that count, they have 4; .*--resume"):
        export(run, tmp_path / "out", notes.append)
    assert "skipped 1 line(s)" in notes[0]
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        export(tmp_path, tmp_path / "out")
