"""Any Gymnasium environment with text to show, as a task's environment.

    environment: {name: gymnasium, id: FrozenLake-v1, render_mode: ansi,
                  settings: {map_name: 4x4}, action_names: [Left, Down, Right, Up]}

Such a world cannot say what may happen, only let it happen: a task of it has no floor, ceiling,
probes or oracle, and tables print "-". An episode's state is its seed and what was done; each step
replays it in a fresh copy, with luck reseeded by the harness's keyed numbers, so that episodes
replay and repeats differ like those of any other task.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Hashable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, cast

from spa_bench.canonical import canonical_json, sha256_hex
from spa_bench.environments.environment import Environment, Facts, NoBoardError, Outcome
from spa_bench.errors import InputError

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class GymnasiumState(NamedTuple):
    """An episode so far.

    Attributes:
        seed: of the environment's reset.
        done: each action (an index, or text) and the luck of its step.
        shown: what there is to see now.
        success: None while the episode goes on.
    """

    seed: int
    done: tuple[tuple[int | str, float], ...]
    shown: str
    success: bool | None


@dataclass(frozen=True)
class GymnasiumText(Environment[GymnasiumState, Hashable]):
    """A Gymnasium environment whose actions are numbered (`Discrete`) or text (`Text`).

    Attributes:
        id: as `gymnasium.make` takes it, but for `module:Name-v0`, which would import the module:
            tasks and runs of strangers name environments, and none of them may run code.
        settings: passed to `gymnasium.make`.
        render_mode: if given, the model sees the text of `render()` instead of the observation.
        action_names: names of a `Discrete` space's actions, in order; without them, actions are
            numbers.
    """

    name: ClassVar[str] = "gymnasium"
    presentation: ClassVar[frozenset[str]] = frozenset({"action_names"})
    enumerable: ClassVar[bool] = False

    id: str = "FrozenLake-v1"
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    render_mode: str | None = None
    action_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if ":" in self.id or self.id.startswith("GymV"):  # the latter load what their settings name
            raise ValueError(
                f"{self.id} would import code that it names; register it from a package of"
                " yours, or write an environment of your own (docs/adding-an-environment.md)"
            )
        try:
            numbers = self._numbers
        except ImportError as error:
            raise ValueError(
                f"gymnasium is not installed, or {self.id} needs more: {error}"
            ) from None
        except InputError as error:
            raise ValueError(str(error)) from None
        except Exception as error:  # Gymnasium and its plug-ins raise what they like
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"gymnasium cannot make {self.id!r}: {reason}") from None
        if self.action_names and numbers is not None and len(self.action_names) != len(numbers):
            raise ValueError(f"{self.id} has {len(numbers)} actions, not {len(self.action_names)}")

    def __hash__(self) -> int:
        return hash(canonical_json([self.id, dict(self.settings), self.render_mode]))

    # -- the world ---------------------------------------------------------------------------------

    def initial_state(self, seed: int) -> GymnasiumState:
        try:
            with self._made() as env:
                observation, _ = env.reset(seed=seed)
                return GymnasiumState(seed, (), self._text(env, observation), None)
        except Exception as error:  # a world of somebody else's may raise anything
            raise NoBoardError(f"{self.id} cannot be reset with seed {seed}: {error}") from None

    def actions(self, state: GymnasiumState) -> Sequence[Hashable]:
        """Returns the numbered actions; of text there is no end, so then none."""
        return self._numbers or ()

    def outcomes(self, state: GymnasiumState, action: Hashable) -> tuple[Outcome[Any], ...]:
        raise TypeError(f"{self.id} cannot enumerate what an action may lead to")

    def sample(self, state: GymnasiumState, action: Any, u: float) -> Outcome[GymnasiumState]:
        from fractions import Fraction

        with self._made() as env:
            env.reset(seed=state.seed)
            for earlier, luck in state.done:
                self._step(env, earlier, luck)
            observation, reward, terminated, truncated, info = self._step(env, action, u)
            shown = self._text(env, observation)
        ended = bool(terminated or truncated)
        success = bool(info.get("success", terminated and float(reward) > 0)) if ended else None
        after = GymnasiumState(state.seed, (*state.done, (action, u)), shown, success)
        return Outcome(Fraction(0), after, float(reward), ended)

    def is_success(self, state: GymnasiumState) -> bool:
        return state.success is True

    def loss(self, state: GymnasiumState) -> str | None:
        return "lost" if state.success is False else None

    # -- how it is written -----------------------------------------------------------------------

    def facts(self, state: GymnasiumState) -> Facts:
        """Returns nothing: what the text means is not known here."""
        return {}

    def render(self, state: GymnasiumState) -> str:
        return state.shown

    def describe(self, state: GymnasiumState) -> str:
        return ""

    def parse_render(self, text: str) -> Facts | None:
        return None

    def parse_describe(self, text: str) -> Facts | None:
        return None

    def format_action(self, action: Any) -> str:
        numbers = self._numbers
        if self.action_names and numbers is not None and action in numbers:
            return self.action_names[numbers.index(action)]
        return str(action)

    def parse_action(self, text: str) -> Hashable | None:
        numbers = self._numbers
        if numbers is None:
            return text if self._space.contains(text) else None
        names = [name.lower() for name in self.action_names] or [str(i) for i in numbers]
        name = text.strip().lower()
        return numbers[names.index(name)] if name in names else None

    def prompt_fields(self) -> Mapping[str, str]:
        return {"action_names": ", ".join(self.action_names)}

    def board_key(self, state: GymnasiumState) -> str:
        return f"exact:{sha256_hex([self.id, state.seed, state.shown])[:24]}"

    @property
    def variant(self) -> str:
        settings = sha256_hex([dict(self.settings), self.render_mode])[:8]
        return f"{self.id.replace('/', '.').replace(':', '.')}/{settings}"

    # -- inside ------------------------------------------------------------------------------------

    @contextmanager
    def _made(self) -> Generator[Any]:
        """Makes the environment, and closes it afterwards."""
        import gymnasium

        make: Any = gymnasium.make
        shown = {} if self.render_mode is None else {"render_mode": self.render_mode}
        env = make(self.id, disable_env_checker=True, **shown, **self.settings)
        try:
            yield env
        finally:
            env.close()

    @cached_property
    def _space(self) -> Any:
        with self._made() as env:
            return env.action_space

    @property
    def _numbers(self) -> range | None:
        """The actions of a `Discrete` space, which need not begin at 0; None of another space."""
        from gymnasium import spaces

        space: Any = self._space
        if isinstance(space, spaces.Text):
            return None
        if isinstance(space, cast(Any, spaces.Discrete)):
            return range(int(space.start), int(space.start + space.n))
        raise InputError(f"{self.id}: actions are {space}; only Discrete and Text can be written")

    @staticmethod
    def _step(env: Any, action: Any, luck: float) -> Any:
        import numpy as np

        env.unwrapped.np_random = np.random.default_rng(int(luck * 2**53))
        return env.step(action)

    def _text(self, env: Any, observation: Any) -> str:
        shown = env.render() if self.render_mode is not None else observation
        return _ANSI.sub("", str(shown)).strip("\n")
