"""Plays a model that is being trained: training boards to learn from, held-out ones to measure.

Where several processes train, each plays its share and learns how all episodes went.

Every algorithm plays through here, so at one seed all of them meet the same boards in the same
order, with the same luck.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from spa_bench.errors import InputError, ModelGoneError
from spa_bench.metrics.success import pass_at_k
from spa_bench.models.model import Model
from spa_bench.results.belief import BeliefTally
from spa_bench.runner.episode import EpisodeSpec
from spa_bench.runner.record import Episode
from spa_bench.runner.scheduler import play_all
from spa_bench.task import Instance, Task
from spa_trainers.boards import boards_left, chances
from spa_trainers.engines import Engine, engine
from spa_trainers.processes import Processes
from spa_trainers.rl_settings import RlSettings
from spa_trainers.trajectories import Trajectory, trajectory

_LOG = logging.getLogger("spa_trainers")


@dataclasses.dataclass
class Player:
    """Plays with the weights as they are.

    Args:
        tokenizer: the model's. Its chat template must be append-only.
        tasks: on training boards. held_out: the same tasks on validation boards.
        left_out: keys of boards that are neither trained on nor measured.
        folder: of the training, for an engine's copy of the weights; None for a temporary place.
        processes: that play together. All of them play whatever one does, at the same time.
    """

    settings: RlSettings
    tokenizer: Any
    tasks: Sequence[Task]
    held_out: Sequence[Task]
    left_out: frozenset[str]
    folder: Path | None = None
    processes: Processes = dataclasses.field(default_factory=Processes)

    def check(self) -> None:
        """Makes all boards.

        Raises:
            InputError: if none is left to train on, or to measure on.
        """
        _ = self._boards, self._held_out_boards

    def specs(self, step: int) -> list[EpisodeSpec]:
        """Returns the episodes of a step: board by board, and of each all repeats.

        Raises:
            InputError: if no board is left to train on.
        """
        s, found, met = self.settings, list[EpisodeSpec](), Counter[tuple[int, str]]()
        for number in range(step * s.boards, (step + 1) * s.boards):
            task_number = number % len(self.tasks)
            task, boards = self.tasks[task_number], self._boards[task_number]
            board = boards[number // len(self.tasks) % len(boards)]
            first = met[task_number, board.id] * s.repeats  # a small pool comes round within a step
            met[task_number, board.id] += 1
            salt, repeats = f"rl/{s.seed}/{step}", range(first, first + s.repeats)
            found += [
                EpisodeSpec(task, board, r, salt, log_tokens=True, new_tokens=s.new_tokens)
                for r in repeats
            ]
        return found

    def rollouts(self, model: Any, specs: Sequence[EpisodeSpec]) -> list[Trajectory | None]:
        """Plays episodes; returns for each its trajectory, None where not a token was sampled.

        Raises:
            InputError: if the template is not append-only.
        """
        return [
            trajectory(spec.task, spec.instance.state, episode, self.settings.reward)
            if episode.status == "complete"
            and any(turn.tokens and turn.tokens.completion_ids for turn in episode.turns)
            else None
            for spec, episode in zip(specs, self._play(model, specs), strict=True)
        ]

    def evaluate(self, model: Any) -> dict[str, float]:
        """Plays `evaluate_boards` held-out boards of each task, or as many as there are; returns
        Pass@1 and Pass@n, of the boards with so many episodes that did not break.

        Where the format states beliefs, also in which share of turns the observation and the
        prediction say exactly what was so.
        """
        s, told, started = self.settings, dict[str, float](), time.monotonic()
        salt = f"rl/{s.seed}/held-out"
        for task, boards in zip(self.held_out, self._held_out_boards, strict=True):
            specs = [
                EpisodeSpec(task, board, repeat, salt, new_tokens=s.new_tokens)
                for board in boards
                for repeat in range(s.evaluate_repeats)
            ]
            played, won = Counter[str](), Counter[str]()
            beliefs = _beliefs(task, boards)
            for episode in self._play(model, specs):
                if episode.status == "complete":
                    played[episode.instance] += 1
                    won[episode.instance] += episode.success
                    if beliefs is not None:
                        beliefs.add(episode)
            for k in {1, s.evaluate_repeats}:
                shares = [pass_at_k(n, won[board], k) for board, n in played.items() if n >= k]
                if shares:
                    told[f"{task.config.task}/pass@{k}"] = sum(shares) / len(shares)
            if beliefs is not None and (found := beliefs.result()).turns:
                told[f"{task.config.task}/observation"] = found.observation.exact.value or 0.0
                told[f"{task.config.task}/prediction"] = found.prediction.exact.value or 0.0
        told["evaluate_seconds"] = time.monotonic() - started
        return told

    def _play(self, live: Any, specs: Sequence[EpisodeSpec]) -> list[Episode]:
        """Plays episodes; returns them in the order of `specs`."""
        among = self.processes
        episodes = among.gather(self._play_here(live, among.share(specs)))
        broken = [episode for episode in episodes if episode.status != "complete"]
        if broken and among.is_main:
            _LOG.warning(
                "rl: %d of %d episodes broke and are left out; one of them: %s",
                len(broken),
                len(specs),
                broken[0].error,
            )
        return episodes

    def _play_here(self, live: Any, specs: Sequence[EpisodeSpec]) -> list[Episode]:
        found: dict[tuple[str, str, int], Episode] = {}

        def keep(episode: Episode) -> None:
            found[episode.task_hash, episode.instance, episode.repeat] = episode

        async def all_of_it(model: Model) -> None:
            if not model.capabilities.append_only:
                raise InputError(
                    "rl: the chat template does not extend its own prefix, so trained tokens would"
                    " not be the sampled tokens; use another template"
                )
            await play_all(iter(specs), model, min(len(specs), 2 * model.concurrency), keep)

        live.eval()
        try:
            self._engine.play(live, all_of_it)
        except ModelGoneError as error:
            raise ModelGoneError(
                f"rl: {error}; the same command goes on from the last step that was saved"
            ) from error
        live.train()
        return [found[spec.task.hash, spec.instance.id, spec.repeat] for spec in specs]

    def close(self) -> None:
        """Ends whatever wrote the replies."""
        self._engine.close()

    @cached_property
    def _engine(self) -> Engine:
        return engine(self.settings, self.tokenizer, self.folder)

    @cached_property
    def _boards(self) -> list[list[Instance]]:
        """Of each task, the boards to train on."""
        return [self._solved_by_chance(task, self._left(task, "training")) for task in self.tasks]

    def _solved_by_chance(self, task: Task, boards: list[Instance]) -> list[Instance]:
        """Returns the boards that chance solves as often as is asked for."""
        least = self.settings.least_chance
        if least == 0:
            return boards
        found = chances(task, boards)
        if least > max(found):
            raise InputError(
                f"rl.least_chance: chance solves no training board of {task.config.task} with a"
                f" probability of {least:g}; the most is {max(found):.3g}"
            )
        return [board for board, chance in zip(boards, found, strict=True) if chance >= least]

    @cached_property
    def _held_out_boards(self) -> list[list[Instance]]:
        """Of each task, the boards to measure on."""
        most = self.settings.evaluate_boards
        return [self._left(task, "held-out")[:most] for task in self.held_out]

    def _left(self, task: Task, kind: str) -> list[Instance]:
        boards = boards_left(task, self.left_out)
        if not boards:
            other = "; give other rl.seeds, or leave out less (rl.leave_out)"
            hint = other if kind == "training" else ""
            raise InputError(f"rl: no {kind} board of {task.config.task} is left{hint}")
        return boards


def _beliefs(task: Task, boards: Sequence[Instance]) -> BeliefTally | None:
    if not task.format.believes or not task.environment.enumerable:
        return None
    return BeliefTally(task, {board.id: board.state for board in boards})


def rollout_facts(played: Sequence[Trajectory]) -> dict[str, float]:
    """Returns what a log says of a step's trajectories.

    Raises:
        InputError: if there are none.
    """
    if not played:
        raise InputError(
            "rl: not a token was sampled: the prompts leave no room in the model's window, or every"
            " episode broke"
        )
    rewards = torch.tensor([t.reward for t in played])
    turns = [turn for t in played for turn in t.episode.turns]
    return {
        "reward": float(rewards.mean()),
        "reward_spread": float(rewards.std()),
        "success": sum(t.episode.success for t in played) / len(played),
        "format": sum(turn.parse == "ok" for turn in turns) / len(turns),
        "cut_off": sum(turn.stop_reason == "length" for turn in turns) / len(turns),
        "reply_tokens": sum(len(t.logprobs) for t in played) / len(turns),
        "turns": len(turns) / len(played),
        "episodes": len(played),
        "actions": sum(turn.executed for turn in turns),
        "tokens": sum(len(t.logprobs) for t in played),
    }
