"""Small worlds and tasks that several rooms' tests play in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar

from spa_bench.canonical import sha256_hex
from spa_bench.environments.environment import (
    AnyEnvironment,
    Environment,
    Facts,
    NoBoardError,
    Outcome,
)
from spa_bench.environments.sokoban import Sokoban
from spa_bench.plugins import make_format
from spa_bench.runner.episode import EpisodeSpec
from spa_bench.task import Instance, Task, TaskConfig
from spa_bench.task_file import builtin_tasks_folder, load_task

Row = tuple[tuple[int, int], ...]
"""What an action can lead to: (weight, next state) for each outcome."""

ACTIONS = ("a", "b", "c")


@dataclass(frozen=True)
class TableWorld(Environment[int, str]):
    """A world written out as a table: `table[state][action]` lists weights and next states.

    State 0 is the board of every even seed; odd seeds have none. The number of actions is the
    same in every state.
    """

    name: ClassVar[str] = "table"
    presentation: ClassVar[frozenset[str]] = frozenset({"bracket"})

    table: tuple[tuple[Row, ...], ...]
    goals: frozenset[int] = frozenset()
    holes: frozenset[int] = frozenset()
    bracket: str = "<"

    def parameters(self) -> dict[str, Any]:
        return {"table": self.table, "goals": sorted(self.goals), "holes": sorted(self.holes)}

    def initial_state(self, seed: int) -> int:
        if seed % 2:
            raise NoBoardError(f"seed {seed} is odd")
        return 0

    def actions(self, state: int) -> Sequence[str]:
        return ACTIONS[: len(self.table[0])]

    def outcomes(self, state: int, action: str) -> tuple[Outcome[int], ...]:
        row = self.table[state][ACTIONS.index(action)]
        whole = sum(weight for weight, _ in row)
        return tuple(
            Outcome(Fraction(weight, whole), there, float(there in self.goals), self._ends(there))
            for weight, there in row
        )

    def _ends(self, state: int) -> bool:
        return state in self.goals or state in self.holes

    def is_success(self, state: int) -> bool:
        return state in self.goals

    def loss(self, state: int) -> str | None:
        return "hole" if state in self.holes else None

    def facts(self, state: int) -> Facts:
        return {"player": frozenset({((0, state), "")})}

    def render(self, state: int) -> str:
        return f"{self.bracket}{state}"

    def describe(self, state: int) -> str:
        return f"at {state}"

    def parse_render(self, text: str) -> Facts | None:
        number = text.strip().removeprefix(self.bracket)
        return self.facts(int(number)) if number.isascii() and number.isdigit() else None

    def parse_describe(self, text: str) -> Facts | None:
        return self.parse_render(text.strip().removeprefix("at "))

    def format_action(self, action: str) -> str:
        return action

    def parse_action(self, text: str) -> str | None:
        return text if text in self.actions(0) else None

    def prompt_fields(self) -> Mapping[str, str]:
        return dict.fromkeys(("rows", "cols", "boxes", "legend", "action_names"), "-")

    def board_key(self, state: int) -> str:
        return f"exact:{sha256_hex([self.environment_id, state])[:24]}"

    @property
    def variant(self) -> str:
        return self.environment_id[:8]


def sure(*there: int) -> tuple[Row, ...]:
    """Returns a state's rows where action i surely leads to `there[i]`."""
    return tuple(((1, state),) for state in there)


SLIPPERY = TableWorld(
    # 0 start, 1 and 2 on the way, 3 goal, 4 hole. `a` goes on and may slip; `b` is slow and safe.
    table=(
        (((2, 1), (1, 0), (1, 4)), ((1, 1), (1, 0)), ((1, 2),)),
        (((2, 2), (1, 0), (1, 4)), ((1, 2), (1, 0)), ((1, 0),)),
        (((2, 3), (1, 1), (1, 4)), ((1, 3), (1, 1)), ((1, 1),)),
        sure(3, 3, 3),
        sure(4, 4, 4),
    ),
    goals=frozenset({3}),
    holes=frozenset({4}),
)


def sokoban_task(**changes: Any) -> Task:
    """Returns the built-in Sokoban task, changed as `changed` says."""
    return changed(load_task(builtin_tasks_folder() / "sokoban" / "sokoban.yaml"), **changes)


def table_task(world: TableWorld = SLIPPERY, **changes: Any) -> Task:
    """Returns a task in a world of the tests' own: 4 boards unless told otherwise."""
    own: dict[str, Any] = {
        "task": "table",
        "environment": {"name": "table"},
        "instances": {"split": "all", "seeds": "0-7"},
        "metrics": ["pass@1"],
        "repeats": 2,
    }
    return replace(sokoban_task(**(own | changes)), environment=world)


def changed(task: Task, /, **changes: Any) -> Task:
    """Returns the task with other settings; mappings are merged, the rest is replaced."""
    data = task.config.model_dump(mode="json")
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(data.get(key), dict)
        data[key] = {**data[key], **value} if both else value
    config = TaskConfig.model_validate(data)
    return Task(config.task, config, task.environment, make_format(config.format))


def board(environment: AnyEnvironment, grid: str, seed: int = 0) -> Instance:
    """Returns a hand-drawn board as an instance."""
    state = environment.from_grid(grid)  # type: ignore[attr-defined]
    return Instance(environment.instance_id(seed), seed, state, environment.board_key(state))


def drawn(grid: str, repeat: int = 0, salt: str = "0", **changes: Any) -> EpisodeSpec:
    """Returns an episode on a hand-drawn Sokoban board."""
    rows = grid.strip("\n").split("\n")
    task = sokoban_task(**changes)
    boxes = sum(grid.count(symbol) for symbol in "X√")
    environment = Sokoban(rows=len(rows), cols=len(rows[0]), boxes=boxes)
    task = replace(task, environment=environment)
    return EpisodeSpec(task, board(environment, grid), repeat, salt)


LINE = """
#######
#P_X_O#
#_____#
#######
"""
"""Three times Right solves it."""
