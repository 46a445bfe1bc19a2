"""Names of tasks, groups, tags, patterns, files, models; and what is said of unknown ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from spa_bench.errors import InputError, nearest
from spa_bench.plugins import make_environment, plugins, resolve_model
from spa_bench.registry import Registry
from spa_bench.task_file import builtin_tasks_folder

BASE = builtin_tasks_folder() / "sokoban" / "_sokoban.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of tasks: `one` and `two`, both tagged `few`; groups `pair`, `all_of_it`."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(f"task: {name}\ninclude: {BASE}\ntag: [few]\n")
    (tmp_path / "pair.yaml").write_text("group: pair\ntasks: [two, one]\n")
    (tmp_path / "all.yaml").write_text("group: all_of_it\ntasks: [pair, sokoban]\n")
    return tmp_path


def names(folder: Path, *wanted: str) -> list[str]:
    return [task.name for task in Registry([builtin_tasks_folder(), folder]).resolve(wanted)]


def problem(folder: Path, *wanted: str) -> str:
    with pytest.raises(InputError) as caught:
        names(folder, *wanted)
    return str(caught.value).replace(f"{folder}/", "")


# -- what a name may be ---------------------------------------------------------------------------


def test_a_task_is_found_by_its_name(folder: Path) -> None:
    assert names(folder, "one") == ["one"]


def test_a_group_is_its_members_in_order(folder: Path) -> None:
    assert names(folder, "pair") == ["two", "one"]


def test_a_group_may_hold_groups(folder: Path) -> None:
    assert names(folder, "all_of_it") == ["two", "one", "sokoban"]


def test_a_tag_is_every_task_that_wears_it(folder: Path) -> None:
    assert names(folder, "few") == ["one", "two"]


def test_a_pattern_is_every_task_that_matches(folder: Path) -> None:
    assert names(folder, "t?o") == ["two"]
    assert "sokoban_grid" in names(folder, "sokoban*")


def test_a_task_that_several_names_stand_for_comes_once(folder: Path) -> None:
    assert names(folder, "one", "pair", "few", "o?e") == ["one", "two"]


def test_a_file_is_found_by_its_path(folder: Path) -> None:
    assert names(Path("/nowhere"), f"{folder}/one.yaml") == ["one"]


def test_a_group_file_is_found_by_its_path(folder: Path) -> None:
    assert names(folder, f"{folder}/pair.yaml") == ["two", "one"]


def test_a_group_may_hold_patterns_and_tags(folder: Path) -> None:
    (folder / "g.yaml").write_text("group: g\ntasks: [few, sokoban_g*]\n")
    assert names(folder, "g") == ["one", "two", "sokoban_grid"]


def test_files_that_begin_with_an_underscore_are_no_tasks(folder: Path) -> None:
    (folder / "_part.yaml").write_text("limits: {turns: 1}\n")
    assert "_part" not in Registry([folder]).entries


def test_the_groups_of_the_documentation_are_there() -> None:
    assert {"sokoban", "frozenlake", "sudoku"} <= {t.name for t in Registry().resolve(["spa"])}


# -- what is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "suggested"), [("sokobann", "sokoban"), ("fewer", "few"), ("pairs", "pair")]
)
def test_an_unknown_name_suggests_the_nearest(folder: Path, wanted: str, suggested: str) -> None:
    assert f"unknown task {wanted!r} (did you mean {suggested}" in problem(folder, wanted)


@pytest.mark.parametrize("wanted", ["", " ", "x*", "["])
def test_what_is_no_name_is_told(folder: Path, wanted: str) -> None:
    assert problem(folder, wanted).startswith(f"unknown task {wanted!r}")


def test_a_path_that_is_no_file_is_told(folder: Path) -> None:
    assert problem(folder, f"{folder}/none.yaml") == "no file none.yaml"


def test_an_unknown_member_is_told_with_the_file_and_line_of_its_group(folder: Path) -> None:
    (folder / "g.yaml").write_text("group: g\n\ntasks: [onne]\n")
    assert problem(folder, "g").startswith("g.yaml:3: unknown task 'onne' (did you mean one")


def test_a_group_cycle_is_told_with_its_path(folder: Path) -> None:
    (folder / "a.yaml").write_text("group: a\ntasks: [b]\n")
    (folder / "b.yaml").write_text("group: b\ntasks: [one, a]\n")
    assert problem(folder, "a") == "b.yaml:2: group cycle: a -> b -> a"


def test_a_group_in_two_groups_is_no_cycle(folder: Path) -> None:
    (folder / "a.yaml").write_text("group: a\ntasks: [pair, all_of_it]\n")
    assert names(folder, "a") == ["two", "one", "sokoban"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("group: g\ntaks: [one]\n", "g.yaml:2: unknown key 'taks' (did you mean tasks?)"),
        ("group: g\n", "g.yaml:1: the key 'tasks' is missing"),
        ("group: g\ntasks: one\n", "g.yaml:2: tasks: Input should be a valid array"),
        ("group: g\ntasks: [one]\nrepeats: 3\n", "g.yaml:3: unknown key 'repeats'"),
        ("group: g\ntask: h\ntasks: []\n", "g.yaml:2: unknown key 'task'"),
    ],
)
def test_a_bad_group_file_is_told_with_its_line(folder: Path, text: str, message: str) -> None:
    (folder / "g.yaml").write_text(text)
    assert problem(folder, "g").startswith(message)


def test_two_files_of_one_name_are_told(folder: Path) -> None:
    (folder / "z.yaml").write_text("task: one\n")
    assert problem(folder, "two") == "z.yaml: the name 'one' is taken by one.yaml"


def test_a_task_and_a_group_of_one_name_are_told(folder: Path) -> None:
    (folder / "z.yaml").write_text("group: one\n")
    assert "the name 'one' is taken" in problem(folder, "two")


def test_a_built_in_name_cannot_be_taken(folder: Path) -> None:
    (folder / "z.yaml").write_text("task: sokoban\n")
    assert "the name 'sokoban' is taken by" in problem(folder, "two")


@pytest.mark.parametrize("text", ["x: 1\n", "task: 5\n", "task: [a]\n", "task:\n"])
def test_a_file_without_a_name_is_told(folder: Path, text: str) -> None:
    (folder / "z.yaml").write_text(text)
    assert problem(folder, "two") == (
        "z.yaml:1: a task file needs `task:` or `group:` with a name of its own"
        " (that of an include is not inherited)"
    )


def test_a_folder_given_twice_is_searched_once(folder: Path) -> None:
    registry = Registry.with_paths([folder, folder, builtin_tasks_folder() / "sokoban"])
    assert [task.name for task in registry.resolve(["pair"])] == ["two", "one"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--include-path .*none: no such folder"):
        Registry.with_paths([tmp_path / "none"])


def test_a_file_in_place_of_a_folder_of_tasks_is_told(folder: Path) -> None:
    (file, *_) = folder.rglob("*.yaml")
    with pytest.raises(InputError, match=r"is a file; give --tasks .*\.yaml$"):
        Registry.with_paths([file])


def test_an_environment_of_python_code_is_as_strict_as_a_file() -> None:
    with pytest.raises(InputError, match="unknown environment 'sokobon'"):
        make_environment({"name": "sokobon"})


# -- models ---------------------------------------------------------------------------------------

MODELS: dict[str, tuple[str, str, str]] = {
    "baseline/random": ("baseline", "random", "baseline/random"),
    "hf/Qwen/Qwen2.5-1.5B-Instruct": (
        "hf",
        "Qwen/Qwen2.5-1.5B-Instruct",
        "hf/Qwen/Qwen2.5-1.5B-Instruct",
    ),
    "openai/gpt-5": ("openai", "gpt-5", "openai/gpt-5"),
    "./runs/checkpoint": ("hf", "./runs/checkpoint", "checkpoint"),
    "../checkpoint/": ("hf", "../checkpoint/", "checkpoint"),
    "/models/mine": ("hf", "/models/mine", "mine"),
    "hf//models/mine": ("hf", "/models/mine", "mine"),
    "~/mine": ("hf", "~/mine", "mine"),
    "/": ("hf", "/", "/"),
}


@pytest.mark.parametrize("written", MODELS)
def test_a_model_is_a_provider_and_a_name_or_a_path(written: str) -> None:
    provider, options = resolve_model(written)
    assert (provider, options.model, options.label) == MODELS[written]


@pytest.mark.parametrize("key", ["pretrained", "model"])
def test_a_provider_alone_takes_its_model_from_the_arguments_as_in_lm_eval(key: str) -> None:
    provider, options = resolve_model("hf", args={key: "Qwen/Q", "dtype": "float32"})
    assert (provider, options.model, options.label) == ("hf", "Qwen/Q", "hf/Qwen/Q")
    assert options.args == {"dtype": "float32"}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("basline/random", "unknown model 'basline/random' .did you mean baseline"),
        ("gpt-5", "unknown model 'gpt-5'; models are written PROVIDER/NAME"),
        ("", "unknown model ''"),
        ("Qwen/Qwen2.5", "unknown model 'Qwen/Qwen2.5'; .* or a path ./DIR"),
        ("hf", "model 'hf' has no name: write hf/NAME"),
        ("hf/", "model 'hf/' has no name"),
        ("~nobody_of_that_name/x", "'~nobody_of_that_name/x': Could not determine home"),
        ("./a\0b", "'./a.x00b': no path has a zero byte"),
    ],
)
def test_what_is_no_model_is_told(written: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_model(written)


def test_a_path_that_is_no_task_file_is_told_from_a_name(tmp_path: Path) -> None:
    for path, message in [
        (tmp_path, "is a folder: give --include-path"),
        (tmp_path / "nowhere", "nowhere: no such task file; they end in .yaml"),
        (Path("mine.yml"), "mine.yml: no such task file; they end in .yaml"),
    ]:
        with pytest.raises(InputError, match=message):
            Registry().resolve([str(path)])


def test_a_folder_needs_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints" / "mine").mkdir(parents=True)
    with pytest.raises(InputError, match=r"to mean the folder write \./checkpoints/mine$"):
        resolve_model("checkpoints/mine")
    with pytest.raises(InputError, match=r"to mean the folder write \./checkpoints/mine$"):
        resolve_model("mine")


def test_arguments_given_to_a_model_are_left_as_they_are() -> None:
    given = {"pretrained": "Q"}
    resolve_model("hf", args=given)
    assert given == {"pretrained": "Q"}


def test_a_package_that_is_put_on_the_path_later_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "later-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: later\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[spa_bench.models]\nlater = later:Model\n")
    assert "later" not in plugins("models")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert plugins("models")["later"].value == "later:Model"
    assert "hf" in plugins("models")
    monkeypatch.undo()
    assert "later" not in plugins("models")


def test_nothing_near_is_not_suggested() -> None:
    assert nearest("zzz", ["sokoban"]) == ""


def test_a_task_is_read_once_and_keeps_its_boards() -> None:
    registry = Registry()
    task = registry.load("sokoban")
    assert registry.load("sokoban") is task
    assert Registry().load("sokoban") is not task
    assert hash(registry) == hash(Registry())
