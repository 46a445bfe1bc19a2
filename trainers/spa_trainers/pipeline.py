"""Runs the stages of a recipe, one after the other, each skipped when it is done and unchanged.

OUTPUT/recipe.json      the recipe that began it, as it was resolved
OUTPUT/start/           the fresh model of a `nano` recipe
OUTPUT/selfplay/        run.json, episodes.jsonl; dataset/ with rows.parquet and a card
OUTPUT/sft/             log.jsonl, checkpoints to resume from
OUTPUT/rl/              log.jsonl, state to resume from, curves.svg and .png
OUTPUT/NAME/            the checkpoint: `spa-bench evaluate --model OUTPUT/NAME`
OUTPUT/NAME-sft/        what it was between fine-tuning and reinforcement learning
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from spa_bench.canonical import sha256_hex
from spa_bench.checkpoint import CheckpointCard
from spa_bench.errors import InputError
from spa_bench.lock import NO_LOCKS
from spa_bench.models.hf_load import window, without_bars
from spa_bench.models.vllm_start import needs_vllm
from spa_bench.registry import Registry
from spa_bench.run import Progress
from spa_bench.task import Task
from spa_trainers import checkpoint, disk, done, selfplay, trackers
from spa_trainers.boards import TRAINING_SEEDS, evaluated_boards, held_out_task, training_task
from spa_trainers.checkpoint import Loaded
from spa_trainers.grpo_settings import GrpoSettings, check_trl
from spa_trainers.launcher import launched
from spa_trainers.ppo_settings import PpoSettings
from spa_trainers.recipe import Recipe
from spa_trainers.rl_settings import RlSettings
from spa_trainers.sft import fine_tune, known_targets, lora_layers, merged, peak_bytes
from spa_trainers.tokens import Encoder


class _Trained(NamedTuple):
    """What reinforcement learning made; boards as (instance id, board key)."""

    model: Any
    boards: set[tuple[str, str]]
    report: dict[str, Any]


@dataclass
class Pipeline:
    """A recipe at work in a folder.

    Args:
        say: is told what a person should know, a line at a time.
        batch_size: of self-play with a local model; None takes the backend's own.
    """

    recipe: Recipe
    output: Path
    registry: Registry
    progress: Progress
    say: Callable[[str], None]
    batch_size: int | None = None
    _processes: Any = field(default=None, init=False)

    def run(self, only: str | None = None) -> Path | None:
        """Runs all stages, or `only` one whose inputs are there.

        Returns:
            The checkpoint, from the process that saved it; None if none was made.

        Raises:
            InputError: for whatever can be refused before work begins.
        """
        recipe = self.recipe
        if only is not None and only not in recipe.stages():
            raise InputError(f"recipe {recipe.recipe!r} has no stage {only!r}")
        self._check_names()
        disk.check_room(self.output)
        with without_bars():
            if launched() > 1:
                return self._together(only)
            with self._held():
                return self._alone(only)

    @contextmanager
    def _held(self) -> Generator[None]:
        with done.held(self.output) as locked:
            if not locked:
                self.say(f"{self.output}: {NO_LOCKS}")
            yield

    def _alone(self, only: str | None) -> Path | None:
        done.check_same_recipe(self.output, self.recipe)
        made: Path | None = None
        for stage in self.recipe.stages():
            if only in (None, stage):
                made = {"selfplay": self._selfplay, "sft": self._sft, "rl": self._rl}[
                    stage
                ]() or made
        return made

    def _together(self, only: str | None) -> Path | None:
        """Runs `rl` in the processes that a launcher started; what comes before must be done."""
        from spa_trainers.processes import Processes

        recipe, before = self.recipe, [stage for stage in self.recipe.stages() if stage != "rl"]
        owed = [stage for stage in before if done.record_of(self.output / stage) is None]
        if owed or only not in (None, "rl"):
            raise InputError(
                f"several processes share the stage rl alone; first, in one: spa-bench train"
                f" {owed[0] if owed else only} RECIPE --output {self.output}"
            )
        if not isinstance(recipe.rl, PpoSettings):
            raise InputError("rl: several processes share PPO alone; GRPO runs in one")
        if recipe.rl.engine != "transformers":
            raise InputError("rl.engine: vllm plays for one process; in several, leave it out")
        self._processes = processes = Processes.started()
        with self._held() if processes.is_main else nullcontext():
            if not processes.is_main:
                self.say = lambda _: None
            else:
                done.check_same_recipe(self.output, self.recipe)
                self._start_path()
                self.say(f"rl: {processes.count} processes share the boards")
            processes.wait()
            made = self._rl()
            processes.end()
        return made if processes.is_main else None

    def _check_names(self) -> None:
        """Refuses tasks and models that are nowhere, before any work."""
        recipe = self.recipe
        if recipe.selfplay is not None:
            self.registry.resolve(recipe.selfplay.leave_out)
            tasks = selfplay.training_tasks(recipe.selfplay, self.registry)
            if recipe.sft is not None and len({task.format.prefill for task in tasks}) > 1:
                raise InputError(
                    "sft: tasks whose replies begin differently cannot be trained together"
                )
            for task in tasks:
                _check_history("selfplay", task)
                _check_enumerable("selfplay", task)
        if recipe.nano is not None:
            self.registry.resolve(recipe.nano.tasks)
        if recipe.rl is not None:
            self.registry.resolve(recipe.rl.leave_out)
            for task in self.registry.resolve(recipe.rl.tasks):
                _check_sampling(task)
                _check_history("rl", task)
                if recipe.rl.reward.beliefs:
                    _check_believes(task)
                    _check_enumerable("rl.reward.beliefs", task)
            trackers.check(recipe.rl.tracker)
            if isinstance(recipe.rl, GrpoSettings):
                check_trl()
            if recipe.rl.engine == "vllm":
                needs_vllm(least=(0, 32))
        if recipe.model is not None:
            if os.path.isabs(recipe.model) and not os.path.isdir(recipe.model):
                raise InputError(
                    f"recipe {recipe.recipe!r} begins with {os.path.normpath(recipe.model)}, which"
                    " is not there; checkpoints of nano come with the repository alone, others are"
                    " trained first; or name one with --set model=FOLDER"
                )
            checkpoint.fingerprint(recipe.model)

    # -- stages ----------------------------------------------------------------------------------

    def _selfplay(self) -> None:
        settings = self.recipe.selfplay
        assert settings is not None
        tasks = selfplay.training_tasks(settings, self.registry)
        folder = self.output / "selfplay"
        inputs = [
            done.begun_with(self.output, "selfplay"),
            self._start_fingerprint(),
            [t.hash for t in tasks],
        ]
        if not done.begin(folder, inputs):
            self.say(f"selfplay: already done, in {folder}")
            return
        started = time.monotonic()
        player = self._player(settings, tasks)
        asyncio.run(selfplay.play(player, settings, tasks, folder, self.progress))
        rows, kept = selfplay.make_rows(settings, tasks, folder, self.registry)
        selfplay.write_dataset(rows, kept, settings, folder / "dataset")
        seconds = time.monotonic() - started
        turns = sum(counts.turns for counts in kept.values())
        self.say(f"selfplay: {len(rows)} rows from {turns} turns, {seconds:.0f} s")
        for line in selfplay.explain(kept):
            self.say(f"  {line}")
        report = {"turns": turns, "rows": len(rows), "seconds": round(seconds, 1)}
        done.finish(folder, inputs, report | {"peak_bytes": peak_bytes()})

    def _sft(self) -> Path:
        recipe = self.recipe
        settings = recipe.sft
        assert settings is not None
        assert recipe.selfplay is not None
        tasks = selfplay.training_tasks(recipe.selfplay, self.registry)
        folder, dataset = self.output / "sft", self.output / "selfplay" / "dataset"
        made = self._sft_checkpoint()
        played = done.record_of(self.output / "selfplay")
        if played is None:  # nor may rows of a play that was cut short be learnt from
            raise InputError(f"{dataset}: not made yet; `spa-bench train selfplay ..` makes it")
        inputs = [done.begun_with(self.output, "sft"), played, self._start_fingerprint()]
        if not done.begin(folder, inputs) and made.is_dir():
            self.say(f"sft: already done, in {made}")
            return made
        folder.mkdir(parents=True, exist_ok=True)
        start = checkpoint.load(self._start_path())
        from spa_bench.models.hf_template import Template

        prefill = tasks[0].format.prefill  # that of all
        encoder = Encoder(start.tokenizer, Template(start.tokenizer), prefill, settings.labels)
        rows = list(selfplay.read_dataset(dataset))
        longest = min(settings.max_length, window(start.model.config) or settings.max_length)
        limit = "max_length" if longest == settings.max_length else "the model's own window"
        examples = list(encoder.examples(rows, settings.rows, longest))
        if not examples:
            raise InputError(f"sft: all rows are longer than {limit}, {longest} tokens")
        learnt = sum(example.rows for example in examples)
        self.say(
            f"sft: {learnt} rows in {len(examples)} sequences,"
            f" {sum(len(e.input_ids) for e in examples):,} tokens"
        )
        if learnt < len(rows):
            self.say(
                f"sft: {len(rows) - learnt} of {len(rows)} rows left out: longer than {limit},"
                f" {longest} tokens"
            )
        model, report = fine_tune(start.model, start.tokenizer, examples, settings, folder)
        self.say(
            f"sft: {report.steps} steps"
            + ("" if report.ran == report.steps else f", {report.ran} of them now")
            + f", {report.seconds:.0f} s, {report.speed:,.0f} tokens/s"
            + ("" if report.loss is None else f", loss {report.loss:.4f}")
        )
        stages = {"selfplay": played["report"], "sft": asdict(report)}
        self._save(made, start, model, selfplay.board_keys(rows), tasks, stages)
        done.finish(folder, inputs, asdict(report))
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return made

    def _rl(self) -> Path:
        recipe = self.recipe
        settings = recipe.rl
        assert settings is not None
        folder, made = self.output / "rl", self.output / recipe.recipe
        begin = str(self._sft_checkpoint()) if recipe.sft is not None else self._start_path()
        if recipe.sft is not None and not os.path.isdir(begin):
            raise InputError(f"{begin}: not made yet; `spa-bench train sft ..` makes it")
        tasks = self.registry.resolve(settings.tasks)
        inputs = [
            done.begun_with(self.output, "rl"),
            checkpoint.fingerprint(begin),
            [t.hash for t in tasks],
        ]
        if not done.begin(folder, inputs) and made.is_dir():
            self.say(f"rl: already done, in {made}")
            return made
        start = checkpoint.load(begin, dropout=False)
        if isinstance(settings, GrpoSettings):
            model, boards, report = self._grpo(settings, start, folder)
        else:
            model, boards, report = self._ppo(settings, start, begin, folder)
        report["peak_bytes"] = peak_bytes()
        if self._processes is None or self._processes.is_main:
            self._save(made, start, model, selfplay.short_keys(boards), tasks, {"rl": report})
            done.finish(folder, inputs, report)
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            (folder / "state.pt").unlink(missing_ok=True)
            self._draw(folder)
        return made

    def _draw(self, folder: Path) -> None:
        from spa_trainers import curves

        try:
            self.say(f"rl: curves in {curves.draw([folder], folder / 'curves.svg')[0]}")
        except InputError as error:
            self.say(f"rl: no curves: {error}")

    def _ppo(self, settings: PpoSettings, start: Loaded, begin: str, folder: Path) -> _Trained:
        import torch

        from spa_trainers import memory
        from spa_trainers.actor_critic import ActorCritic
        from spa_trainers.learner import Learner
        from spa_trainers.ppo import Ppo
        from spa_trainers.processes import Processes

        processes = self._processes or Processes()
        torch.manual_seed(settings.seed)
        actor = start.model
        if settings.lora is not None:
            with known_targets("rl"):
                actor = lora_layers(actor, settings.lora)
        spread = processes.count if processes.sharded else 1
        memory.check_critic(actor, settings, memory.free_bytes(actor.device), spread)
        critic = None
        if settings.critic == "own":
            critic = checkpoint.load(begin, dropout=False).model
        reference = None
        if settings.kl > 0:
            reference = ActorCritic(checkpoint.load(begin, dropout=False).model, None)
        if settings.gradient_checkpointing:
            actor.gradient_checkpointing_enable()
            if critic is not None:
                critic.gradient_checkpointing_enable()
        both = ActorCritic(actor, critic, shared=critic is None)
        learner = Learner.of(both, settings, reference, processes)
        boards = self._boards_of(settings)
        ppo = Ppo(settings, learner, start.tokenizer, *boards, folder, self.say)
        report = ppo.run()
        model = learner.policy()
        if settings.lora is not None:
            model = merged(model)
        return _Trained(model, ppo.boards_seen, report)

    def _grpo(self, settings: GrpoSettings, start: Loaded, folder: Path) -> _Trained:
        from spa_trainers.grpo import Grpo
        from spa_trainers.play import Player

        player = Player(settings, start.tokenizer, *self._boards_of(settings), folder)
        grpo = Grpo(settings, start.model, player, folder, self.say)
        model, report = grpo.run()
        return _Trained(model, grpo.boards_seen, report)

    def _boards_of(self, settings: RlSettings) -> tuple[list[Task], list[Task], frozenset[str]]:
        """Returns tasks on training boards, the same on held-out ones, and boards left out."""
        tasks = self.registry.resolve(settings.tasks)
        return (
            [training_task(t, seeds=settings.seeds, boards=settings.pool) for t in tasks],
            [held_out_task(t, boards=settings.evaluate_boards) for t in tasks],
            evaluated_boards(settings.leave_out, settings.tasks, self.registry),
        )

    # -- what stages share -----------------------------------------------------------------------

    def _player(self, settings: selfplay.SelfPlaySettings, tasks: Sequence[Task]) -> Any:
        if settings.player == "random":
            from spa_trainers.players import RandomPlayer

            expected = selfplay.expected_states(settings, tasks, self.registry)
            return RandomPlayer("random", settings.actions_a_turn, expected)
        from spa_bench.models import hf
        from spa_bench.models.model import ModelOptions

        path = self._start_path()
        label = Path(path).name
        return hf.load(ModelOptions(model=path, label=label, batch_size=self.batch_size))

    def _start_path(self) -> str:
        """Returns where the model is that training begins with; makes a fresh one where asked."""
        recipe = self.recipe
        if recipe.nano is None:
            assert recipe.model is not None
            return recipe.model
        folder = self.output / "start"
        if not (folder / "config.json").is_file():
            from spa_trainers.nano.model import make_model
            from spa_trainers.nano.tokenizer import make_tokenizer

            tasks = [
                training_task(task, seeds=TRAINING_SEEDS, boards=recipe.nano.boards)
                for task in self.registry.resolve(recipe.nano.tasks)
            ]
            nano = recipe.nano
            tokenizer = make_tokenizer(tasks, nano.boards, nano.context, rows=nano.rows)
            model = make_model(nano, tokenizer)
            card = CheckpointCard(
                name="start", method="base", tasks=[], recipe=recipe.recipe, versions=_versions()
            )
            with disk.whole(folder) as partial:
                checkpoint.save(partial, model, tokenizer, card, {})
        return str(folder)

    def _sft_checkpoint(self) -> Path:
        name = self.recipe.recipe
        return self.output / (name if self.recipe.rl is None else f"{name}-sft")

    def _start_fingerprint(self) -> str:
        if self.recipe.nano is not None:
            return sha256_hex(self.recipe.nano.model_dump())
        assert self.recipe.model is not None
        return checkpoint.fingerprint(self.recipe.model)

    def _save(
        self,
        folder: Path,
        start: Loaded,
        model: Any,
        boards: Mapping[str, frozenset[str]],
        tasks: list[Any],
        reports: Mapping[str, dict[str, Any] | None],
    ) -> None:
        """Writes the checkpoint; it appears whole or not at all."""
        recipe = self.recipe
        stages = [] if start.card is None else list(start.card.stages)
        for stage, facts in reports.items():
            if facts:
                stages.append({"stage": f"{recipe.recipe}/{stage}", **facts})
        fresh = recipe.nano is not None and "selfplay" in reports
        card = CheckpointCard(
            name=folder.name,
            description=recipe.description,
            method=recipe.method,
            tasks=[task.config.task for task in tasks],
            format=tasks[0].config.format,
            observation=tasks[0].config.observation,
            parent=None if fresh else start.name,
            parent_fingerprint=None if fresh else start.fingerprint,
            recipe=recipe.recipe,
            settings=json.loads(recipe.model_copy(update={"model": start.name}).model_dump_json()),
            stages=stages,
            versions=_versions(),
        )
        joined = checkpoint.joined(start.boards, boards)
        with disk.whole(folder) as partial:
            checkpoint.save(partial, model, start.tokenizer, card, joined, recipe.save_dtype)


def _check_history(stage: str, task: Task) -> None:
    """Refuses a task that sends a window of its history: what is trained on are whole ones."""
    if task.config.history != "full":
        raise InputError(
            f"{stage}: {task.config.task} sends {task.config.history} turns of its history;"
            " what a model learns from is all of it, so train on a task with history: full"
        )


def _check_enumerable(stage: str, task: Task) -> None:
    """Refuses a world whose states after logged actions cannot be told."""
    if not task.environment.enumerable:
        raise InputError(
            f"{stage}: the world of {task.config.task} cannot list what its actions lead to, so the"
            " true states of an episode are not known"
        )


def _check_believes(task: Task) -> None:
    """Refuses to reward beliefs that no reply states."""
    if not task.format.believes:
        raise InputError(
            f"rl.reward.beliefs: replies of {task.config.task} state no beliefs (format:"
            f" {task.config.format}); train on a task that asks for them, or leave it out"
        )


def _check_sampling(task: Task) -> None:
    """Refuses a task whose replies are not drawn from the distribution that is trained."""
    sampling = task.config.sampling
    if (sampling.temperature, sampling.top_p) != (1.0, 1.0):
        raise InputError(
            f"rl: {task.config.task} samples at temperature {sampling.temperature:g} and top_p"
            f" {sampling.top_p:g}; both must be 1, so that what is trained is what was sampled from"
        )


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("spa-bench", "torch", "transformers", "trl")}
