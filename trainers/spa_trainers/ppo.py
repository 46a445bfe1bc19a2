"""Multi-turn PPO with a critic: the run, step by step. What is learnt in one is in `learner.py`.

A step: play `boards` x `repeats` episodes with the harness's own loop; keep the groups whose
rewards differ most; compute advantages over the sampled tokens; update actor and critic.
Nothing random is left to global generators: boards, luck and tokens of a step are keyed by the
seed and the step's number, so a resumed run goes on exactly where it stopped.
"""

from __future__ import annotations

import dataclasses
import pickle
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from spa_bench.errors import InputError
from spa_bench.models.hf_template import Template
from spa_bench.task import Task
from spa_trainers.disk import check_room_for_states, whole
from spa_trainers.errors import TrainingError
from spa_trainers.groups import (
    groups_kept,
    less_group_mean,
    less_turn_means,
    shuffled_rewards,
)
from spa_trainers.learner import Learner, generator_of
from spa_trainers.loss_spans import Answers, everything
from spa_trainers.memory import explained, state_bytes
from spa_trainers.play import Player, rollout_facts
from spa_trainers.ppo_settings import PpoSettings
from spa_trainers.processes import load
from spa_trainers.step_log import StepLog
from spa_trainers.trajectories import Spans, Trajectory, collate, replies


@dataclasses.dataclass
class Ppo:
    """A training in a folder: `log.jsonl`, a line a step, and `state.pt` to go on from.

    Args:
        tasks: on training boards. held_out: the same tasks on validation boards.
        left_out: keys of boards that are not trained on.
    """

    settings: PpoSettings
    learner: Learner
    tokenizer: Any
    tasks: Sequence[Task]
    held_out: Sequence[Task]
    left_out: frozenset[str]
    folder: Path
    say: Callable[[str], None]
    boards_seen: set[tuple[str, str]] = dataclasses.field(default_factory=set[tuple[str, str]])

    def run(self) -> dict[str, Any]:
        """Trains; returns a report.

        Raises:
            InputError: if the template is not append-only, no board is left to train on, or the
                disk has no room for states to resume from.
            TrainingError: if gradients are no numbers three steps in a row, memory runs out, or a
                state cannot be written.
        """
        with closing(self._player):
            return self._run()

    def _run(self) -> dict[str, Any]:
        s = self.settings
        self._player.check()
        if self.learner.processes.is_main:
            check_room_for_states(
                self.folder, state_bytes(self.learner.model.parameters()), self._state
            )
        step, bad = self._resume(), 0
        if step == 0:
            self._tell({"step": 0, **self.evaluate()})
        while step < s.steps:
            told = self.step(step)
            step += 1
            bad = bad + 1 if told.get("skipped") else 0
            if bad >= 3:
                raise TrainingError(
                    f"rl: 3 steps in a row had gradients that are no numbers (step {step}); a"
                    " smaller actor_lr may help, in another --output."
                    + (f" The last good state is in {self._state}" if self._state.is_file() else "")
                )
            if step % s.evaluate_every == 0 or step == s.steps:
                told |= self.evaluate()
            self._tell({"step": step, **told})
            if (step % s.save_every == 0 or step == s.steps) and not bad:
                self._save(step)
        self._log.close()
        return {"steps": step, **self._log.totals()}

    def step(self, step: int) -> dict[str, float]:
        """Plays and learns once; returns what happened."""
        started = time.monotonic()
        played = self.rollouts(step)
        rolled = time.monotonic() - started
        told = rollout_facts(played) | {"rollout_seconds": rolled}
        if self.settings.shuffle_rewards:
            played = shuffled_rewards(played, generator_of(self.settings.seed, step))
        kept = groups_kept(played, self.settings.keep)
        told["kept"] = len(kept) / len(played)
        if kept:
            began = time.monotonic()
            if self.settings.baseline == "group":
                kept = less_group_mean(kept)
            elif self.settings.baseline == "turn":
                two_levels = self.settings.advantages == "bilevel"
                kept = less_turn_means(kept, self.settings.turn_gamma if two_levels else 1.0)
            batch = collate(kept, self._device, self._spans, self._learnt)
            with explained(self.settings):
                told |= self.learner.update(batch, step)
            told["update_seconds"] = time.monotonic() - began
        return told

    def rollouts(self, step: int) -> list[Trajectory]:
        """Returns the step's trajectories, in a fixed order."""
        specs = self._player.specs(step)
        self.boards_seen |= {(spec.instance.id, spec.instance.board_key) for spec in specs}
        played = self._player.rollouts(self.learner.policy(), specs)
        return [t for t in played if t is not None]

    def evaluate(self) -> dict[str, float]:
        """Plays held-out boards; returns what came of it."""
        return self._player.evaluate(self.learner.policy())

    @cached_property
    def _player(self) -> Player:
        boards = self.tasks, self.held_out, self.left_out
        among = self.learner.processes
        return Player(self.settings, self.tokenizer, *boards, self.folder, among)

    @property
    def _spans(self) -> Callable[[Trajectory], Spans]:
        return everything if self.settings.loss_on == "all" else replies

    @cached_property
    def _learnt(self) -> Callable[[Trajectory], Spans] | None:
        if self.settings.loss_on != "answer":
            return None
        return Answers({task.hash: task for task in self.tasks}, Template(self.tokenizer).text)

    @property
    def _device(self) -> Any:
        return self.learner.model.actor.device

    # -- what is kept ------------------------------------------------------------------------------

    @cached_property
    def _log(self) -> StepLog:
        s = self.settings
        return StepLog(self.folder, self.say, s.tracker, s.model_dump())

    def _tell(self, told: dict[str, Any]) -> None:
        if self.learner.processes.is_main:
            self._log.write(told)

    @property
    def _state(self) -> Path:
        return self.folder / "state.pt"

    def _save(self, step: int) -> None:
        among = self.learner.processes
        state = {
            "step": step,
            "model": among.whole(self.learner.model.state_dict()),
            "optimizer": among.whole(self.learner.optimizer.state_dict()),
            "boards": sorted(self.boards_seen),
        }
        if not among.is_main:
            return
        with whole(self._state) as partial:
            torch.save(state, partial)

    def _resume(self) -> int:
        path, is_main = self._state, self.learner.processes.is_main
        if not path.is_file():
            if is_main:
                self._log.clear()
            return 0
        try:
            state = torch.load(path, weights_only=True, map_location="cpu")
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
            raise InputError(
                f"{path}: cannot be read ({str(error).splitlines()[0]}); remove it, and training"
                " begins anew"
            ) from None
        load(self.learner.model, self.learner.optimizer, state)
        self.boards_seen = {(i, k) for i, k in state["boards"]}
        if is_main:
            self._log.cut(state["step"])
        return state["step"]
