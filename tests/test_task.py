"""Tasks: what a file may say, what its hash covers, which boards it has, what it shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from worlds import SLIPPERY, TableWorld, changed, sokoban_task, table_task

from spa_bench.environments.sokoban import Sokoban
from spa_bench.errors import InputError, PluginError
from spa_bench.registry import Registry
from spa_bench.task import Task, TaskConfig, fill, format_reward, split_of
from spa_bench.task_file import builtin_tasks_folder, load_task

BASE = builtin_tasks_folder() / "sokoban" / "_sokoban.yaml"

# -- what a file may say --------------------------------------------------------------------------


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Task]:
    """Loads a task that says one thing of its own, on line 3, and includes the rest."""

    def loaded(line: str) -> Task:
        path = tmp_path / "mine.yaml"
        path.write_text(f"task: mine\ninclude: {BASE}\n{line}\n")
        return load_task(path)

    return loaded


def test_a_built_in_task_is_included_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("task: mine\ninclude: sokoban\nlimits: {turns: 3}\n")
    mine, whole = load_task(path), Registry().load("sokoban")
    assert mine.config.limits == whole.config.limits.model_copy(update={"turns": 3})
    assert mine.config.prompt == whole.config.prompt


def test_a_group_is_no_task_to_include(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("include: spa\ntask: mine\n")
    with pytest.raises(InputError, match=r"mine\.yaml:2: include: spa\.yaml is a group; a task"):
        load_task(path)


BAD = {
    "limts: {turns: 3}": "unknown key 'limts' (did you mean limits or",
    "limits: {turn: 3}": "unknown key 'limits.turn' (did you mean turns?)",
    "sampling: {temprature: 1}": "unknown key 'sampling.temprature' (did you mean temperature?)",
    "prompt: {sytem: x}": "unknown key 'prompt.sytem' (did you mean system?)",
    "instances: {seed: 1-5}": "unknown key 'instances.seed' (did you mean seeds?)",
    "zzz: 1": "unknown key 'zzz'",
    "limits: {turns: five}": "limits.turns: Input should be a valid integer",
    'limits: {turns: "5"}': "limits.turns: Input should be a valid integer",
    "limits: {turns: 5.0}": "limits.turns: Input should be a valid integer",
    "limits: {turns: yes}": "limits.turns: Input should be a valid integer",
    "limits: {turns: 0}": "limits.turns: Input should be greater than or equal to 1",
    "limits: {actions: -1}": "limits.actions: Input should be greater than or equal to 1",
    "limits: {new_tokens: 9999999}": "limits.new_tokens: Input should be less than",
    "limits: 5": "limits: Input should be an object",
    "limits:": "limits: Input should be an object",
    "sampling: {temperature: hot}": "sampling.temperature: Input should be a valid number",
    "sampling: {temperature: .nan}": "sampling.temperature: must be a finite number",
    "sampling: {temperature: .inf}": "sampling.temperature: must be a finite number",
    "sampling: {temperature: -1}": "sampling.temperature: Input should be greater than",
    "sampling: {top_p: 0}": "sampling.top_p: Input should be greater than 0",
    "observation: colour": "observation: Input should be 'grid', 'grid+coordinates'",
    "parse: loose": "parse: Input should be 'strict' or 'lenient'",
    "format: thnk": "unknown format 'thnk' (did you mean think?)",
    "kind: quiz": "kind: Input should be ",
    "history: 0": "history: must be `full` or a number of turns, not 0",
    "history: short": "history: must be `full` or a number of turns, not 'short'",
    "history: true": "history: must be `full` or a number of turns, not True",
    "repeats: 0": "repeats: Input should be greater than or equal to 1",
    "repeats: true": "repeats: Input should be a valid integer",
    "version: one": "version: Input should be a valid integer",
    "metrics: pass@1": "metrics: Input should be a valid array",
    "metrics: [pass@0]": "metrics.0: a metric is pass@1, pass@8",
    "metrics: [pass@1, pas@8]": "metrics.1: a metric is pass@1, pass@8",
    "tag: spa": "tag: Input should be a valid array",
    "description: 5": "description: Input should be a valid string",
    "description: no": "description: Input should be a valid string",
    "instances: {split: tests}": "instances.split: Input should be 'paper', 'train'",
    "instances: {seeds: ''}": "instances.seeds: '' is not a seed or a range such as 123-250",
    "instances: {seeds: a-b}": "instances.seeds: 'a-b' is not a seed or a range",
    "instances: {seeds: 1-}": "instances.seeds: '1-' is not a seed or a range",
    "instances: {seeds: -5}": "instances.seeds: '-5' is not a seed or a range",
    "instances: {seeds: '1,,2'}": "instances.seeds: '' is not a seed or a range",
    "instances: {seeds: 250-123}": "instances.seeds: the range 250-123 is empty",
    "instances: {seeds: 4294967296}": "instances.seeds: seeds must be below 2**32",
    "instances: {seeds: '1,2,1'}": "instances.seeds: the seed 1 is given twice",
    "instances: {seeds: '1-5,5-9'}": "instances.seeds: the seed 5 is given twice",
    "instances: {seeds: 0-9999999}": "instances: 10000000 seeds are too many without a `count`",
    "instances: {count: 0}": "instances.count: Input should be greater than or equal to 1",
    "environment: {name: sokban}": "unknown environment 'sokban' (did you mean sokoban or",
    "environment: {name: 5}": "environment needs a name",
    "environment: sokoban": "environment: Input should be an object",
    "environment: {colls: 5}": "environment 'sokoban' has no parameter 'colls' (did you mean cols",
    "environment: {rules_version: 2}": "environment 'sokoban' has no parameter 'rules_version'",
    "environment: {rows: 3}": "environment: rows and cols must lie between 4 and 50",
    "environment: {rows: many}": "environment.rows: Input should be a valid integer",
    "environment: {boxes: yes}": "environment.boxes: Input should be a valid integer",
    "environment: {generator: mine}": "environment.generator: Input should be 'ragen'",
    "environment: {symbols: '####'}": "environment: symbols must be seven different characters",
    "environment: {action_names: [a, b]}": "environment.action_names: item 3 is missing",
    'prompt: {turn: "{stat}"}': "prompt.turn: unknown placeholder {stat} (did you mean state",
    'prompt: {turn: "{state} {State}"}': "prompt.turn: unknown placeholder {State} (did you mean",
    'prompt: {turn: "{state} { state }"}': "prompt.turn: unknown placeholder { state }",
    'prompt: {turn: "{state!r}"}': "prompt.turn: unknown placeholder {state!r}",
    'prompt: {system: "{turn}"}': "prompt.system: unknown placeholder {turn}",
    'prompt: {instruction: "{reward}"}': "prompt.instruction: unknown placeholder {reward}",
    'prompt: {feedback: "{rewrd}"}': "prompt.feedback: unknown placeholder {rewrd} (did you mean",
    'prompt: {reply_format: {think: "{state}"}}': "prompt.reply_format.think: unknown placeholder",
    "prompt: {reply_format: {think: 5}}": "prompt.reply_format.think: Input should be a valid str",
}


@pytest.mark.parametrize("line", BAD)
def test_a_bad_value_is_told_with_file_line_and_key(
    load: Callable[[str], Task], tmp_path: Path, line: str
) -> None:
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}/mine.yaml:3: {BAD[line]}")):
        load(line)


GOOD = [
    "limits: {turns: 1000}",
    "history: 3",
    "history: full",
    "tag: []",
    "metrics: [pass@1, pass^99999]",
    "instances: {seeds: 5}",
    "instances: {seeds: 0-4294967295, count: 3}",
    "instances: {seeds: ' 1 - 3 , 7 '}",
    "sampling: {temperature: 0}",
    "environment: {action_names: [North, South, West, East]}",
    'prompt: {turn: "{Not} {} { not } {{ }} {state} {1}"}',
]


@pytest.mark.parametrize("line", GOOD)
def test_a_good_value_is_accepted(load: Callable[[str], Task], line: str) -> None:
    assert load(line).name == "mine"


def whole() -> dict[str, Any]:
    """A task file in one piece."""
    return sokoban_task().config.model_dump(mode="json")


def problem(path: Path, data: dict[str, Any]) -> str:
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_task(path)
    return str(caught.value).removeprefix(f"{path}:")


OPTIONAL = {"probe", "description", "history", "tag"}


@pytest.mark.parametrize("key", sorted(set(TaskConfig.model_fields) - OPTIONAL))
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    data = whole()
    del data[key]
    assert problem(tmp_path / "a.yaml", data) == f"1: the key {key!r} is missing"


def test_a_world_that_cannot_say_its_fields_is_named(
    load: Callable[[str], Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(world: Sokoban) -> dict[str, str]:
        raise KeyError("legend")

    monkeypatch.setattr(Sokoban, "prompt_fields", broken)
    with pytest.raises(PluginError, match="task 'mine': its environment raised KeyError"):
        load("version: 2")


@pytest.mark.parametrize("key", sorted(OPTIONAL))
def test_a_key_with_a_default_may_be_left_out(tmp_path: Path, key: str) -> None:
    data = whole()
    del data[key]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(data))
    assert load_task(tmp_path / "a.yaml").name == "sokoban"


def test_a_missing_key_within_is_named_where_its_mapping_stands(tmp_path: Path) -> None:
    data = {"limits": whole()["limits"]} | whole()
    del data["limits"]["turns"]
    assert problem(tmp_path / "a.yaml", data) == "1: the key 'limits.turns' is missing"


def test_a_misspelt_key_is_told_before_the_key_that_is_missing_for_it(tmp_path: Path) -> None:
    data = whole()
    data["repets"] = data.pop("repeats")
    last = len(yaml.safe_dump(data, sort_keys=False).splitlines())
    assert problem(tmp_path / "a.yaml", data) == (
        f"{last}: unknown key 'repets' (did you mean repeats?) (and 1 more)"
    )


@pytest.mark.parametrize("name", ["My task", "a-b", "", "_a", "ä", "a*", "a\n"])
def test_a_name_that_a_command_could_not_say_is_refused(tmp_path: Path, name: str) -> None:
    message = problem(tmp_path / "a.yaml", {**whole(), "task": name})
    assert message.startswith("1: task: a name is made of a-z, 0-9 and _")


def test_a_format_without_its_text_is_refused(tmp_path: Path) -> None:
    data = whole()
    data["prompt"]["reply_format"] = {"answer": "x"}
    assert "prompt.reply_format has no text for format 'think'" in problem(
        tmp_path / "a.yaml", data
    )


@pytest.mark.parametrize("name", Registry().task_names())
def test_every_built_in_task_loads_and_fills_all_its_prompts(name: str) -> None:
    task = Registry().load(name)
    config = changed(task, instances={"seeds": "1-5", "split": "all"}).boards[0]
    for message in (
        task.opening_message(task.environment.render(config[0].state), 1, 5),
        task.later_message(task.environment.render(config[0].state), 2, 4, -0.5),
    ):
        assert not re.search(r"\{[a-z_]+\}", message)


# -- what the hash covers -------------------------------------------------------------------------

COVERED: dict[str, Callable[[], Task]] = {
    "rules": lambda: with_environment(rows=7),
    "symbols": lambda: with_environment(symbols="■·⊙●○☺☻"),
    "action names": lambda: with_environment(action_names=("North", "South", "West", "East")),
    "observation": lambda: sokoban_task(observation="grid"),
    "format": lambda: sokoban_task(format="world_model"),
    "system": lambda: sokoban_task(prompt={"system": "x"}),
    "instruction": lambda: sokoban_task(prompt={"instruction": "x"}),
    "turn text": lambda: sokoban_task(prompt={"turn": "x"}),
    "feedback": lambda: sokoban_task(prompt={"feedback": "x"}),
    "reply format": lambda: with_reply_format(think="x"),
    "turns": lambda: sokoban_task(limits={"turns": 4}),
    "actions per turn": lambda: sokoban_task(limits={"actions_per_turn": 4}),
    "actions": lambda: sokoban_task(limits={"actions": 9}),
    "tokens": lambda: sokoban_task(limits={"new_tokens": 399}),
    "parse": lambda: sokoban_task(parse="lenient"),
    "history": lambda: sokoban_task(history=1),
    "split": lambda: sokoban_task(instances={"split": "test"}),
    "seeds": lambda: sokoban_task(instances={"seeds": "123-249"}),
    "count": lambda: sokoban_task(instances={"count": 5}),
    "temperature": lambda: sokoban_task(sampling={"temperature": 0.5}),
    "top_p": lambda: sokoban_task(sampling={"top_p": 0.5}),
    "another environment": lambda: replace(sokoban_task(), environment=SLIPPERY),
}

NOT_COVERED: dict[str, Callable[[], Task]] = {
    "name": lambda: sokoban_task(task="another"),
    "shown name": lambda: replace(sokoban_task(), name="sokoban*"),
    "description": lambda: sokoban_task(description="x"),
    "tag": lambda: sokoban_task(tag=["x"]),
    "metrics": lambda: sokoban_task(metrics=["pass@2"]),
    "repeats": lambda: sokoban_task(repeats=1),
    "version": lambda: sokoban_task(version=2),
    "the text of another format": lambda: with_reply_format(answer="x"),
    "a parameter written out": lambda: sokoban_task(environment={"symbols": "#_O√XPS"}),
}


def with_environment(**parameters: Any) -> Task:
    return replace(sokoban_task(), environment=Sokoban(**parameters))


def with_reply_format(**texts: str) -> Task:
    own = sokoban_task().config.prompt.reply_format
    return sokoban_task(prompt={"reply_format": {**own, **texts}})


@pytest.mark.parametrize("what", COVERED)
def test_the_hash_covers_what_changes_what_is_measured(task: Task, what: str) -> None:
    assert COVERED[what]().hash != task.hash


def test_no_two_changes_make_the_same_hash(task: Task) -> None:
    hashes = {task.hash, *(make().hash for make in COVERED.values())}
    assert len(hashes) == 1 + len(COVERED)


@pytest.mark.parametrize("what", NOT_COVERED)
def test_the_hash_covers_nothing_else(task: Task, what: str) -> None:
    assert NOT_COVERED[what]().hash == task.hash


def test_a_hash_does_not_see_comments_order_or_includes(tmp_path: Path, task: Task) -> None:
    path = tmp_path / "other_name.yaml"
    text = yaml.safe_dump(dict(reversed(whole().items())), sort_keys=False)
    path.write_text(f"# a comment\n{text}# another\n")
    assert load_task(path).hash == task.hash


def test_whole_numbers_and_floats_of_one_value_have_one_hash(task: Task) -> None:
    assert sokoban_task(sampling={"temperature": 1, "top_p": 1}).hash == task.hash


def test_built_in_tasks_have_hashes_of_their_own() -> None:
    tasks = Registry().resolve(["*"])
    assert len({task.hash for task in tasks}) == len(tasks)


@dataclass(frozen=True)
class Asked(TableWorld):
    """Remembers which seeds it was asked for."""

    asked: list[int] = field(default_factory=list[int], compare=False)

    def initial_state(self, seed: int) -> int:
        self.asked.append(seed)
        return super().initial_state(seed)


# -- boards ---------------------------------------------------------------------------------------


def seeds_of(**instances: Any) -> list[int]:
    return [board.seed for board in sokoban_task(instances=instances).boards[0]]


def test_boards_come_in_the_order_of_the_seeds_as_written() -> None:
    assert seeds_of(seeds="130,123-125,7") == [130, 123, 124, 125, 7]


def test_a_count_takes_the_first_boards() -> None:
    assert seeds_of(seeds="123-250", count=3) == [123, 124, 125]


def test_seeds_without_a_board_are_skipped_with_their_reason() -> None:
    boards, skipped = table_task().boards
    assert [board.seed for board in boards] == [0, 2, 4, 6]
    assert (skipped[0].seed, skipped[0].reason) == (1, "seed 1 is odd")


def test_a_count_does_not_count_seeds_without_a_board() -> None:
    task = table_task(instances={"split": "all", "seeds": "0-7", "count": 3})
    assert [board.seed for board in task.boards[0]] == [0, 2, 4]


@given(limit=st.integers(1, 4), count=st.none() | st.integers(1, 9))
def test_the_first_boards_are_the_first_of_all(limit: int, count: int | None) -> None:
    task = table_task(instances={"split": "all", "seeds": "0-7", "count": count})
    boards, skipped = task.first_boards(limit)
    assert boards == task.boards[0][:limit]
    assert [one.seed for one in skipped] == list(range(1, boards[-1].seed, 2))


def test_no_more_boards_are_made_than_asked_for() -> None:
    world = Asked(SLIPPERY.table, asked=[])
    task = table_task(world, instances={"split": "all", "seeds": "0-9999"})
    assert [board.seed for board in task.first_boards(2)[0]] == [0, 2]
    assert world.asked == [0, 1, 2]


def test_the_splits_are_disjoint_and_together_everything() -> None:
    parts = {
        split: seeds_of(split=split, seeds="0-60") for split in ("train", "validation", "test")
    }
    assert sorted(seed for part in parts.values() for seed in part) == seeds_of(
        split="all", seeds="0-60"
    )
    assert all(parts.values())


def test_boards_that_symmetry_makes_equal_are_in_one_split() -> None:
    world = Sokoban(rows=4, cols=5)
    grid = ["#####", "#PXO#", "#___#", "#####"]
    mirrored = [row[::-1] for row in grid]
    keys = {world.board_key(world.from_grid("\n".join(g))) for g in (grid, mirrored)}
    assert len({split_of(key) for key in keys}) == len(keys) == 1


def test_the_paper_split_takes_every_board() -> None:
    assert seeds_of(split="paper", seeds="123-250") == list(range(123, 251))


SPLITS = {"d4:0": "train", "d4:3": "validation", "d4:5": "validation", "d4:12": "test"}


@pytest.mark.parametrize("key", SPLITS)
def test_the_split_of_a_board_is_the_published_one(key: str) -> None:
    assert split_of(key) == SPLITS[key]


def test_a_tenth_of_all_boards_is_for_testing_and_a_tenth_for_validation() -> None:
    splits = [split_of(f"d4:{i:024x}") for i in range(10_000)]
    assert 900 < splits.count("test") < 1100
    assert 900 < splits.count("validation") < 1100


# -- texts ----------------------------------------------------------------------------------------


def test_values_are_never_searched_for_placeholders() -> None:
    assert fill("{state} {turn}", {"state": "{turn}", "turn": "{state}"}) == "{turn} {state}"


def test_what_is_not_known_stays_as_it_is() -> None:
    assert fill("{nobody} {} {A} {{state}}", {"state": "x"}) == "{nobody} {} {A} {x}"


@given(st.text(), st.dictionaries(st.from_regex(r"[a-z_]+", fullmatch=True), st.text()))
def test_filling_never_raises(text: str, values: dict[str, str]) -> None:
    assert isinstance(fill(text, values), str)


REWARDS = {
    -0.1 - 0.1 - 0.1: "-0.3",
    0.0: "0",
    -1e-16: "0",
    10.9: "10.9",
    1.0: "1",
    -0.30000000000000004: "-0.3",
    1 / 3: "0.333333",
    1e6: "1000000",
    -1e-5: "-0.00001",
    1234567.25: "1234567.25",
}


@pytest.mark.parametrize("reward", REWARDS)
def test_a_reward_is_shown_without_noise(reward: float) -> None:
    assert format_reward(reward) == REWARDS[reward]


@given(st.floats(-1000, 1000))
def test_a_reward_as_shown_is_the_reward_to_four_digits(reward: float) -> None:
    assert float(format_reward(reward)) == pytest.approx(reward, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            "environment: {name: lights_out}",
            "unknown environment 'lights_out'; there are frozenlake, ",
        ),
        ("format: json", "unknown format 'json'; there are answer, think, world_model; a plug-in"),
        (
            "environment: {size: 3}",
            "environment 'sokoban' has no parameter 'size'; it has action_names, boxes, ",
        ),
    ],
)
def test_a_name_that_is_unknown_is_told_with_those_there_are(
    tmp_path: Path, more: str, told: str
) -> None:
    (tmp_path / "mine.yaml").write_text(f"task: mine\ninclude: sokoban\n{more}\n")
    with pytest.raises(InputError) as refused:
        load_task(tmp_path / "mine.yaml")
    assert f"mine.yaml:3: {told}" in str(refused.value)
    if "unknown" in told:
        assert str(refused.value).endswith("a plug-in has to be installed (pip install .)")
