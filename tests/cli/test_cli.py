"""The command line: what it prints where, with which exit code, and how it complains."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from scripted import Scripted, answer

import spa_bench
import spa_bench.evaluation as evaluation
from spa_bench.cli import main
from spa_bench.cli.leaderboard import app as leaderboard
from spa_bench.errors import ModelError, ModelGoneError
from spa_bench.plugins import load_plugin, plugins


class Said(NamedTuple):
    """What a command returned and printed."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def spa(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Runs a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Said:
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        out, err = capsys.readouterr()
        assert isinstance(exited.value.code, int)
        return Said(exited.value.code, out, err)

    return run


TASKS = Path(__file__).parents[2] / "tasks"
QUICK = ("--tasks", "sokoban", "--limit", "2", "--repeats", "2")
PLAY = ("evaluate", "--model", "baseline/random", *QUICK)

# -- what goes well -------------------------------------------------------------------------------


def test_a_finished_run_exits_with_0_and_prints_its_table_on_stdout(spa: Command) -> None:
    said = spa(*PLAY, "--output", "run")
    assert said.code == 0
    assert said.out.splitlines()[0].split()[:2] == ["task", "boards"]
    assert said.out.splitlines()[-1].startswith("sokoban  2 x 2 ")


def test_progress_goes_to_stderr_only(spa: Command) -> None:
    said = spa(*PLAY, "--output", "run")
    assert said.err.splitlines()[0] == "4 episodes"
    assert said.err.splitlines()[-1] == "run folder: run"
    assert "episodes/s" not in said.out


def test_a_run_keeps_its_three_files(spa: Command, tmp_path: Path) -> None:
    spa(*PLAY, "--output", "deep/run")
    names = sorted(path.name for path in (tmp_path / "deep" / "run").iterdir())
    assert names == ["episodes.jsonl", "results.json", "run.json"]


def test_without_an_output_a_run_makes_a_folder_of_its_own(spa: Command, tmp_path: Path) -> None:
    spa(*PLAY)
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("baseline-random-20")


@pytest.mark.parametrize(
    "spelling",
    [
        ("--include-path", "--model-args", "--gen-kwargs"),
        ("--include_path", "--model_args", "--gen_kwargs"),
    ],
    ids=["-", "_"],
)
def test_options_may_be_spelt_with_either_line(
    spa: Command, tmp_path: Path, spelling: tuple[str, str, str]
) -> None:
    folder, arguments, sampling = spelling
    said = spa(
        *("evaluate", "--model", "baseline", arguments, "pretrained=random", *QUICK),
        *(folder, str(tmp_path), sampling, "temperature=0.5", "--output", "run"),
    )
    assert said.code == 0
    assert "sokoban*" in said.out


def test_lm_evals_spelling_of_a_model_means_the_same_model(spa: Command, tmp_path: Path) -> None:
    spa("evaluate", "--model", "baseline", "--model_args", "pretrained=random", *QUICK,
        "--output", "a")  # fmt: skip
    spa(*PLAY, "--output", "b")
    a, b = (json.loads((tmp_path / run / "run.json").read_text()) for run in "ab")
    assert a["model"] == b["model"]


def test_epochs_are_repeats(spa: Command, tmp_path: Path) -> None:
    spa("evaluate", "--model", "baseline/random", "--tasks", "sokoban", "--limit", "1",
        "--epochs", "3", "--output", "run")  # fmt: skip
    assert json.loads((tmp_path / "run" / "results.json").read_text())["tasks"][0]["repeats"] == 3


def test_tasks_may_be_listed_with_commas_and_spaces(spa: Command) -> None:
    said = spa("evaluate", "--model", "baseline/random", "--tasks", " sokoban , sokoban_grid,",
               "--limit", "1", "--repeats", "1", "--output", "run")  # fmt: skip
    assert [line.split()[0] for line in said.out.splitlines()[2:]] == ["sokoban", "sokoban_grid"]


def test_tasks_may_be_named_by_several_options(spa: Command) -> None:
    tasks = ("--tasks", "sokoban_grid", "--tasks", "sokoban", "--limit", "1", "--repeats", "1")
    said = spa("evaluate", "--model", "baseline/random", *tasks)
    assert [line.split()[0] for line in said.out.splitlines()[2:]] == ["sokoban_grid", "sokoban"]


def test_a_seed_is_any_text(spa: Command, tmp_path: Path) -> None:
    spa(*PLAY, "--seed", "ü", "--output", "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["salt"] == "ü"


def test_a_run_can_be_resumed(spa: Command) -> None:
    spa(*PLAY, "--output", "run")
    said = spa(*PLAY, "--output", "run", "--resume", "--repeats", "3")
    assert said.code == 0
    assert said.err.splitlines()[0] == "6 episodes, 4 already in the log"


def test_json_is_the_results_file(spa: Command, tmp_path: Path) -> None:
    said = spa(*PLAY, "--output", "run", "--output-format", "json")
    assert json.loads(said.out) == json.loads((tmp_path / "run" / "results.json").read_text())


def test_csv_can_be_read(spa: Command) -> None:
    said = spa(*PLAY, "--output", "run", "--output-format", "csv")
    rows = list(csv.DictReader(io.StringIO(said.out)))
    found = {(row["task"], row["metric"]): row for row in rows}
    assert 0 <= float(found["sokoban", "pass@1"]["value"]) <= 1
    assert float(found["sokoban", "episodes"]["value"]) == 4


def test_markdown_is_a_table(spa: Command) -> None:
    lines = spa(*PLAY, "--output", "run", "--output-format", "markdown").out.splitlines()
    assert {line[0] + line[-1] for line in lines} == {"||"}


# -- what goes wrong ------------------------------------------------------------------------------

BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "no model": (("evaluate",), "Missing option '--model'"),
    "no value": (("evaluate", "--model"), "'--model' requires an argument"),
    "unknown command": (("evalute",), "No such command 'evalute'. Did you mean 'evaluate'"),
    "unknown option": ((*PLAY, "--repeat", "1"), "No such option: --repeat"),
    "samples as in lm-eval": ((*PLAY, "--log_samples"), "--log-samples (the run folder always has"),
    "a path as in lm-eval": ((*PLAY, "--output_path", "x"), "--output-path (write --output RUN"),
    "a template as in lm-eval": ((*PLAY, "--apply_chat_template"), "always applied; --model-args"),
    "examples as in lm-eval": (
        (*PLAY, "--num_fewshot", "5"),
        "--num-fewshot (no examples are added",
    ),
    "a dry run as in lm-eval": ((*PLAY, "--predict_only"), "`spa-bench results RUN` scores"),
    "wandb as in lm-eval": ((*PLAY, "--wandb_args", "a=b"), "--wandb-args (log the run folder's"),
    "tasks as in lm-eval": (
        ("evaluate", "--model", "baseline/random", "--tasks", "list"),
        "`spa-bench list tasks` shows all",
    ),
    "a batch as in lm-eval": ((*PLAY, "--batch_size", "auto"), "without this option it is chosen"),
    "an option of nothing": (("list", "tasks", "--model", "x"), "No such option: --model"),
    "one argument too many": ((*PLAY, "more"), "unexpected extra argument"),
    "tasks without a comma": ((*PLAY, "--tasks", "sokoban", "sudoku"), "(sudoku) (an option takes"),
    "unknown provider": (("evaluate", "--model", "gpt-5"), "unknown model 'gpt-5'"),
    "unknown baseline": (
        ("evaluate", "--model", "baseline/rndom"),
        "unknown baseline 'rndom' (did you mean random?)",
    ),
    "baseline with settings": ((*PLAY, "--model-args", "a=1"), "no model argument 'a'"),
    "baseline on a device": ((*PLAY, "--device", "cuda"), "a baseline has no --device"),
    "baseline on a server": ((*PLAY, "--base-url", "http://x"), "a baseline has no --base-url"),
    "no user of that name": (("evaluate", "--model", "~nobody_/x"), "home directory"),
    "unknown task": (
        ("evaluate", "--model", "baseline/random", "--tasks", "sokobann"),
        "unknown task 'sokobann' (did you mean sokoban",
    ),
    "no tasks": (("evaluate", "--model", "baseline/random", "--tasks", " , "), "no tasks"),
    "no such task file": (
        ("evaluate", "--model", "baseline/random", "--tasks", "a/b.yaml"),
        "no file ",
    ),
    "no repeats": ((*PLAY, "--repeats", "0"), "'--repeats' / '--epochs'"),
    "repeats that are no number": ((*PLAY, "--repeats", "many"), "'--repeats' / '--epochs'"),
    "too many repeats": ((*PLAY, "--repeats", "999999"), "--repeats must be at most 100000"),
    "no boards": ((*PLAY, "--limit", "-1"), "'--limit'"),
    "no concurrency": ((*PLAY, "--concurrency", "0"), "'--concurrency'"),
    "settings without =": ((*PLAY, "--gen-kwargs", "hot"), "--gen-kwargs: 'hot' is not key=value"),
    "settings without a key": ((*PLAY, "--model-args", "=1"), "--model-args: '=1' is not key=valu"),
    "unknown setting": ((*PLAY, "--gen-kwargs", "temp=1"), "unknown setting 'temp'"),
    "impossible setting": ((*PLAY, "--gen-kwargs", "temperature=-1"), "temperature=-1: "),
    "unknown format": ((*PLAY, "--output-format", "jsn"), "--output-format 'jsn'"),
    "no such include path": ((*PLAY, "--include-path", "nowhere"), "nowhere: no such folder"),
    "resume without a folder": ((*PLAY, "--resume"), "--resume needs the --output folder"),
    "output is a file": ((*PLAY, "--output", "file"), "file is a file"),
    "output below a file": ((*PLAY, "--output", "file/run"), "file is a file"),
    "output holds a run": ((*PLAY, "--output", "run"), "already holds a run; add --resume"),
    "tokens of a baseline": ((*PLAY, "--log-tokens"), "baseline/random returns no tokens"),
    "an empty output": ((*PLAY, "--output", ""), "'--output': the path is empty"),
    "an empty include path": ((*PLAY, "--include-path", ""), "'--include-path': the path is empty"),
    "merge into nothing": (("merge", "a", "b", "--output", ""), "'--output': the path is empty"),
    "a page called nothing": (("view", "a", "--output", ""), "'--output': the path is empty"),
    "an export to nothing": (
        ("lm-eval-export", "a", "--output", ""),
        "'--output': the path is emp",
    ),
    "numbers in nothing": (
        ("perplexity", "--model", "hf/x", "--output", ""),
        "'--output': the path is empty",
    ),
    "manifests in nothing": (("instances", "make", "--folder", ""), "'--folder': the path is empt"),
    "training into nothing": (
        ("train", "nano-base-sokoban", "--output", ""),
        "'--output': the path is empty",
    ),
    "seed that is no text": ((*PLAY, "--seed", "\udcff"), "--seed must be text"),
    "show of nothing": (("show",), "Missing argument"),
    "show of an unknown task": (("show", "sokobann"), "unknown task 'sokobann'"),
    "show of several tasks": (("show", "sokoban*"), "tasks: sokoban"),
    "show of an unknown board": (
        ("show", "sokoban", "--instance", "7"),
        "no board of seed 7; it has 128, of seeds in 123-250: 123, 124, 125, ..",
    ),
    "list of something else": (("list", "taks"), "No such command 'taks'. Did you mean 'tasks'?"),
    "a line feed in a name": (("show", "soko\nban"), "unknown task"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_exit_code_2_and_one_line_on_stderr(
    spa: Command, tmp_path: Path, kind: str
) -> None:
    arguments, message = BAD[kind]
    (tmp_path / "file").write_text("")
    if kind == "output holds a run":
        spa(*arguments)
    said = spa(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert message in said.err


def test_a_command_of_the_leaderboard_is_told_where_it_is(spa: Command) -> None:
    for command in leaderboard.registered_commands:
        name = getattr(command.callback, "__name__", "")
        assert f"(did you mean spa-bench leaderboard {name}?)\n" in spa(name).err


def test_bad_input_leaves_no_folder_behind(spa: Command, tmp_path: Path) -> None:
    for kind, (arguments, _) in BAD.items():
        if not kind.startswith("output"):
            spa(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_bad_task_file_is_told_with_its_line(spa: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("task: mine\nlimts: {turns: 3}\n")
    said = spa("evaluate", "--model", "baseline/random", "--tasks", "mine.yaml")
    assert said.code == 2
    assert f"{tmp_path}/mine.yaml:2: unknown key 'limts' (did you mean limits" in said.err


@pytest.fixture
def modelled(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a scripted model behind every name."""

    def put(*replies: Any) -> None:
        model = Scripted(replies, name="baseline/random")
        monkeypatch.setattr(evaluation, "make_model", lambda *_: model)

    return put


def test_an_incomplete_run_exits_with_1_and_says_how_to_go_on(
    spa: Command, modelled: Callable[..., None]
) -> None:
    modelled(ModelError("503"), answer("Up"))
    said = spa(*PLAY, "--output", "run")
    assert said.code == 1
    assert "1 episode still owed; continue with --resume --output run" in said.err.splitlines()


def test_an_incomplete_run_still_prints_its_table(
    spa: Command, modelled: Callable[..., None]
) -> None:
    modelled(ModelError("503"), answer("Up"))
    assert "2 x 2 (-1)" in spa(*PLAY, "--output", "run").out


def test_a_model_that_goes_is_exit_code_1_and_one_error(
    spa: Command, modelled: Callable[..., None]
) -> None:
    modelled(answer("Up"), ModelGoneError("out of memory"))
    said = spa(*PLAY, "--output", "run")
    assert (said.code, said.out) == (1, "")
    errors = [line for line in said.err.splitlines() if line.startswith("error")]
    assert errors == ["error: out of memory; continue with --resume --output run"]


def test_a_resumed_run_that_owes_nothing_any_more_exits_with_0(
    spa: Command, modelled: Callable[..., None]
) -> None:
    modelled(ModelError("503"), answer("Up"))
    spa(*PLAY, "--output", "run")
    modelled(answer("Up"))
    assert spa(*PLAY, "--output", "run", "--resume").code == 0


# -- looking around -------------------------------------------------------------------------------


def test_the_version_is_the_packages(spa: Command) -> None:
    assert spa("--version") == (0, f"spa-bench {spa_bench.__version__}\n", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("command", [(), ("evaluate",), ("list",), ("list", "tasks"), ("show",)])
def test_help_goes_to_stdout(spa: Command, command: tuple[str, ...], flag: str) -> None:
    said = spa(*command, flag)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("Usage: ")


@pytest.mark.parametrize("command", [(), ("list",)])
def test_no_command_shows_what_there_is_as_an_error(spa: Command, command: tuple[str, ...]) -> None:
    said = spa(*command)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Usage: ")
    assert len(said.err.splitlines()) > 5


def test_every_option_of_evaluate_is_explained(spa: Command) -> None:
    text = spa("evaluate", "--help").out
    options = [line.split()[0] for line in text.splitlines() if line.startswith("  --")]
    assert len(options) > 15
    assert {"--model", "--tasks", "--resume", "--seed", "--gen-kwargs"} <= set(options)


def test_list_tasks_shows_names_and_tags(spa: Command) -> None:
    said = spa("list", "tasks")
    assert said.code == 0
    assert any(line.split()[:2] == ["sokoban", "task"] for line in said.out.splitlines())
    assert any(line.split()[:2] == ["spa", "group"] for line in said.out.splitlines())


@pytest.mark.parametrize(
    ("wanted", "listed"),
    [
        (("sokoban",), {"sokoban"}),
        (("spa",), {"sokoban", "frozenlake", "frozenlake_slippery", "sudoku"}),
        (("sokoban_10*_wm", "sudoku,frozenlake"), {"sokoban_10x10_wm", "sudoku", "frozenlake"}),
        (("hidden",), {path.stem for path in TASKS.rglob("*_hidden.yaml")}),
    ],
)
def test_list_tasks_shows_those_that_names_groups_tags_or_patterns_stand_for(
    spa: Command, wanted: tuple[str, ...], listed: set[str]
) -> None:
    lines = spa("list", "tasks", *wanted).out.splitlines()[2:]
    assert {line.split()[0] for line in lines if line[0] != " "} == listed


def test_list_tasks_shows_those_of_other_folders(spa: Command, tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text("group: few\ntasks: [sokoban]\ndescription: not many\n")
    lines = spa("list", "tasks", "--include-path", str(tmp_path)).out.splitlines()
    assert any(line.split() == ["few", "group", "sokoban", "not", "many"] for line in lines)


def test_list_models_shows_how_each_is_written(spa: Command) -> None:
    said = spa("list", "models")
    assert "baseline/random, baseline/oracle" in said.out
    assert "openai/NAME --base-url URL" in said.out


def test_list_environments_says_of_every_parameter_its_default_and_what_it_is(
    spa: Command,
) -> None:
    said = spa("list", "environments").out
    assert re.search(r"^rows +6 +number of rows, walls included\.$", said, re.MULTILINE)
    assert re.search(r"^settings +\{\} +passed to `gymnasium.make`\.$", said, re.MULTILINE)
    for name in plugins("environments"):
        table = said.partition(f"{name}: ")[2].partition("\n\n")[2].partition("\n\n")[0]
        for field in dataclasses.fields(load_plugin("environments", name)):
            assert re.search(rf"^{field.name} +\S.*  +[`\w]", table, re.MULTILINE), field.name


def test_list_recipes_shows_names_and_methods(spa: Command) -> None:
    lines = spa("list", "recipes").out.splitlines()
    assert any(line.split()[:2] == ["paper-spa-sokoban", "spa"] for line in lines)
    assert not any("_nano" in line for line in lines)


def test_no_list_is_wider_than_a_wide_terminal(spa: Command) -> None:
    for what in ("tasks", "models", "recipes", "environments"):
        assert max(map(len, spa("list", what).out.splitlines())) <= 180, what


def test_show_prints_exactly_what_a_model_is_asked(
    spa: Command, modelled: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Scripted([answer("Up")], name="baseline/random")
    monkeypatch.setattr(evaluation, "make_model", lambda *_: model)
    spa("evaluate", "--model", "baseline/random", *QUICK, "--output", "run")
    shown = spa("show", "sokoban").out
    for message in model.requests[0].messages:
        assert f"--- {message.role} ---\n{message.content}\n" in shown


def test_show_takes_the_board_of_a_seed(spa: Command) -> None:
    assert "sokoban/6x6-1/ragen/130 " in spa("show", "sokoban", "--instance", "130").out


def test_show_prints_the_bounds_of_the_board(spa: Command) -> None:
    line = next(line for line in spa("show", "sokoban").out.splitlines() if "bounds" in line)
    assert line.split()[1:] == ["floor", line.split()[2], "ceiling", "100.0%", "shortest",
                                "plan", line.split()[-1]]  # fmt: skip


def test_show_prints_the_closed_loop_where_looking_helps(spa: Command) -> None:
    assert "closed loop" not in spa("show", "sokoban").out
    shown = spa("show", "frozenlake_slippery", "--instance", "124").out
    line = next(line for line in shown.splitlines() if "bounds" in line)
    found = re.search(r"ceiling (\S+)%  closed loop (\S+)%", line)
    assert found is not None
    assert float(found[1]) < float(found[2])


# -- pipes and terminals --------------------------------------------------------------------------

MAIN = (sys.executable, "-c", "from spa_bench.cli import main; main()")


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*MAIN, "list", "tasks"], stdout=write, stderr=subprocess.PIPE, text=True
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


INTERRUPTED = """
import runpy, sys
class Finder:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Finder())
runpy.run_module("spa_bench", run_name="__main__")
"""


def test_an_interruption_before_anything_runs_is_no_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_package_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "spa_bench", "--version"], capture_output=True)
    assert done.stdout.decode() == f"spa-bench {spa_bench.__version__}\n"


@pytest.mark.parametrize("closed", ["0<&-", ">&-", "2>&-", "0<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_one_that_nobody_reads(tmp_path: Path, closed: str) -> None:
    command = f"exec {shlex.join(MAIN)} evaluate --model baseline/random --tasks frozenlake"
    command += f" --limit 2 --repeats 1 --output {shlex.quote(str(tmp_path / 'run'))} {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert ("frozenlake" in done.stdout) == (">&-" not in closed.replace("2>&-", ""))
    log = (tmp_path / "run" / "episodes.jsonl").read_text().splitlines()
    assert [json.loads(line)["task"] for line in log] == ["frozenlake"] * 2


def test_an_output_that_is_full_is_one_line() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run([*MAIN, "list", "tasks"], stdout=full, stderr=-1, text=True)
    assert (done.returncode, done.stderr) == (1, "error: output: No space left on device\n")


def test_a_terminal_that_cannot_show_a_symbol_gets_a_question_mark() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([*MAIN, "show", "sokoban"], capture_output=True, env=environment)
    assert done.returncode == 0
    assert b"O target, ? box on a target" in done.stdout
