"""Supervised fine-tuning on rows: TRL's trainer, with labels of ours."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from spa_bench.errors import InputError
from spa_bench.models import hf_load
from spa_bench.privacy import no_telemetry
from spa_trainers import step_log
from spa_trainers.disk import writing
from spa_trainers.errors import TrainingError
from spa_trainers.settings import Settings
from spa_trainers.tokens import IGNORED, Example, Labels, Merge

_LOG = logging.getLogger("spa_trainers")

MOST_SKIPPED = 3
"""So many steps in a row without finite gradients end a training."""


Beta = Annotated[float, Field(ge=0, lt=1)]
Betas = tuple[Beta, Beta]
"""How slowly Adam's two means forget."""

Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Lora(Settings):
    """A low-rank adapter, merged into the weights when training ends."""

    rank: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: str | list[str] = "all-linear"


class SftSettings(Settings):
    """How to fine-tune. The defaults are the paper's.

    Attributes:
        labels, rows: as `spa_trainers.tokens` says.
        epochs: passes over the rows.
        batch_size: sequences of one forward pass. accumulate: passes of one optimizer step.
        max_length: tokens; longer rows are left out.
        muon_lr: if given, matrices between layers learn by Muon at this rate, all else by AdamW.
        dtype: of the forward pass; weights and optimizer stay float32.
        save_every: optimizer steps between checkpoints to resume from.
        snapshots: so many copies of the model are kept on the way, evenly apart, to see it learn.
    """

    labels: Labels = "paper"
    rows: Merge = "turn"
    epochs: float = Field(5, gt=0)
    learning_rate: float = Field(1e-4, gt=0)
    muon_lr: float | None = Field(None, gt=0)
    schedule: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup: float = Field(0.1, ge=0, lt=1)
    betas: Betas = (0.9, 0.95)
    weight_decay: float = Field(0.01, ge=0)
    clip: float = Field(1.0, gt=0)
    batch_size: int = Field(16, ge=1)
    accumulate: int = Field(1, ge=1)
    max_length: int = Field(2048, ge=8)
    dtype: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False
    lora: Lora | None = None
    save_every: int = Field(500, ge=1)
    snapshots: int = Field(0, ge=0)
    log_every: int = Field(50, ge=1)
    seed: Seed = 0

    @property
    def how(self) -> frozenset[str]:
        return super().how | {"batch_size", "accumulate", "gradient_checkpointing"}

    def what(self) -> dict[str, Any]:
        return {**super().what(), "sequences of a step": self.batch_size * self.accumulate}


@dataclass(frozen=True)
class SftReport:
    """What a fine-tuning did.

    Attributes:
        tokens: trained, padding not counted, over all epochs. trained: of these, with loss.
        ran: the steps of this process, fewer than `steps` where it resumed. The following are of
            these alone.
        seconds: of wall time.
        peak_bytes: of resident memory (of the device's memory on CUDA).
        skipped: steps without finite gradients.
        loss: mean over the steps; None if none was left to do.
    """

    examples: int
    steps: int
    tokens: int
    trained: int
    ran: int
    seconds: float
    peak_bytes: int
    skipped: int
    loss: float | None

    @property
    def speed(self) -> float:
        """Tokens a second."""
        return self.tokens * self.ran / self.steps / self.seconds


def fine_tune(
    model: Any, tokenizer: Any, examples: Sequence[Example], settings: SftSettings, folder: Path
) -> tuple[Any, SftReport]:
    """Returns the fine-tuned model, with an adapter merged, and what happened.

    `folder` keeps `log.jsonl`, checkpoints to resume from, and `snapshots/STEP`, if asked for; a
    training that was interrupted there goes on where its last checkpoint stands.

    Raises:
        InputError: if there is nothing to train on.
        TrainingError: if the gradients stay infinite, or the disk is full; the last good
            checkpoint is kept.
    """
    if not any(label != IGNORED for example in examples for label in example.labels):
        raise InputError(f"no token of the {len(examples)} sequences would carry loss")
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback, set_seed
    from trl import SFTConfig

    from spa_trainers.sft_order import KeyedOrderTrainer

    no_telemetry()  # a trainer of TRL's reports home when it is made
    set_seed(settings.seed)
    cuda = torch.cuda.is_available()
    if settings.dtype == "bfloat16" and not (cuda or hf_load.cpu_has_bfloat16()):
        _LOG.warning("this processor computes bfloat16 slowly; try sft.dtype=float32")
    lora = None if settings.lora is None else lora_config(settings.lora)
    data = Dataset.from_dict(
        {"input_ids": [e.input_ids for e in examples], "labels": [e.labels for e in examples]}
    )
    with known_targets("sft"):
        trainer = KeyedOrderTrainer(
            model=model,
            processing_class=tokenizer,
            train_dataset=data,
            peft_config=lora,
            optimizer_cls_and_kwargs=optimizer(settings, settings.weight_decay),
            args=SFTConfig(
                output_dir=str(folder / "checkpoints"),
                num_train_epochs=settings.epochs,
                per_device_train_batch_size=settings.batch_size,
                gradient_accumulation_steps=settings.accumulate,
                learning_rate=settings.learning_rate,
                lr_scheduler_type=settings.schedule,
                warmup_steps=settings.warmup,
                adam_beta1=settings.betas[0],
                adam_beta2=settings.betas[1],
                weight_decay=settings.weight_decay,
                max_grad_norm=settings.clip,
                max_length=None,
                dataset_kwargs={"skip_prepare_dataset": True},
                **checkpointing(settings.gradient_checkpointing),
                bf16=settings.dtype == "bfloat16",
                use_cpu=not cuda,
                dataloader_pin_memory=cuda,
                save_strategy="steps",
                save_steps=settings.save_every,
                save_total_limit=1,
                logging_steps=settings.log_every,
                report_to="none",
                disable_tqdm=True,
                seed=settings.seed,
                data_seed=settings.seed,
            ),
        )
    guard = gradient_guard(folder / "log.jsonl")
    trainer.add_callback(guard)
    if settings.snapshots:
        trainer.add_callback(_snapshots(folder / "snapshots", settings.snapshots, tokenizer))
    trainer.remove_callback(PrinterCallback)
    started = time.monotonic()
    last, begun = last_checkpoint(folder / "checkpoints")
    step_log.cut(folder / "log.jsonl", begun)
    advice = (
        f"sft: out of memory with {settings.batch_size} sequences at a time; the same training goes"
        " on with a smaller `batch_size` and as much more `accumulate`, or with"
        " `gradient_checkpointing: true`; `dtype: bfloat16` or `lora` make another one, in another"
        " --output"
    )
    with explained(advice), writing(folder):
        trainer.go_on(last)
    seconds, steps = time.monotonic() - started, trainer.state.global_step
    if guard.in_a_row >= MOST_SKIPPED:
        raise TrainingError(
            f"{MOST_SKIPPED} steps in a row had gradients that are no numbers (step"
            f" {steps}); a smaller learning_rate or dtype float32 may help, in another --output."
            f" {last_good(folder / 'checkpoints')}"
        )
    trained: Any = trainer.model
    if lora is not None:
        trained = hf_load.merged(trained)
    tokens = sum(len(e.input_ids) for e in examples)
    ran = steps - begun
    with_loss = sum(label != IGNORED for e in examples for label in e.labels)
    return trained, SftReport(
        examples=len(examples),
        steps=steps,
        tokens=round(tokens * settings.epochs),
        trained=round(with_loss * settings.epochs),
        ran=ran,
        seconds=seconds,
        peak_bytes=peak_bytes(),
        skipped=guard.skipped,
        loss=trainer.summed_loss / ran if ran else None,
    )


@contextmanager
def known_targets(stage: str) -> Generator[None]:
    """Turns layers of `lora.targets` that the model does not have, or TRL does not train, into one
    line.

    Raises:
        InputError: in place of what peft and TRL say.
    """
    try:
        yield
    except ValueError as error:
        said = str(error).partition("\n")[0]
        if said.startswith("Applying a PEFT adapter to `lm_head`"):
            said = "TRL trains no adapter of the last layer, lm_head"
        elif not said.startswith("Target modules"):
            raise
        raise InputError(f"{stage}.lora.targets: {said}") from None


@contextmanager
def explained(advice: str) -> Generator[None]:
    """Turns running out of memory into one line: where, and what to do.

    Raises:
        TrainingError: in its place.
    """
    try:
        yield
    except RuntimeError as error:
        from spa_bench.models.hf_engine import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        raise TrainingError(advice) from None


def last_checkpoint(folder: Path) -> tuple[str | None, int]:
    """Returns the last of a trainer's checkpoints that was written whole, and its step; None and 0
    if there is none. Its trainer_state.json comes last."""
    whole = [state.parent for state in folder.glob("checkpoint-*/trainer_state.json")]
    last = max(whole, key=_step, default=None)
    return (None, 0) if last is None else (str(last), _step(last))


def last_good(folder: Path) -> str:
    """Returns where the last of a trainer's checkpoints is, as a sentence."""
    last, _ = last_checkpoint(folder)
    return "No checkpoint had been saved" if last is None else f"The last checkpoint is {last}"


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.partition("-")[2])


def peak_bytes() -> int:
    """Returns the most memory this process has held: of the device on CUDA, else resident."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, elsewhere kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def lora_layers(model: Any, settings: Lora) -> Any:
    """Puts LoRA layers into a model, in place, and freezes all else; returns the same model."""
    from peft import get_peft_model

    return get_peft_model(model, lora_config(settings)).get_base_model()


def merged(model: Any) -> Any:
    """Folds the LoRA layers of `lora_layers` into the weights; returns the model without them."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    hf_load.untie_ends(model)
    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()  # pyright: ignore[reportCallIssue]
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, module.get_base_layer())
    return model


def lora_config(settings: Lora) -> Any:
    """Returns what PEFT calls these layers."""
    from peft import LoraConfig

    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.targets,
        task_type="CAUSAL_LM",
    )


def checkpointing(on: bool) -> dict[str, Any]:
    """Returns the argument of a trainer by the name that this transformers has for it."""
    from transformers import TrainingArguments

    name = "activation_checkpointing"  # before 5.23 there is the old name alone
    known = name in TrainingArguments.__dataclass_fields__
    return {name if known else "gradient_checkpointing": on}


def optimizer(settings: Any, weight_decay: float) -> tuple[Any, dict[str, Any]] | None:
    """Returns what a trainer shall make its optimizer of; None where AdamW does.

    Args:
        settings: with `muon_lr`, `learning_rate` and `betas`.
    """
    if settings.muon_lr is None:
        return None
    from spa_trainers.muon import MuonAndAdamW

    return lambda: MuonAndAdamW.of, {
        "muon_lr": settings.muon_lr,
        "learning_rate": settings.learning_rate,
        "betas": settings.betas,
        "weight_decay": weight_decay,
    }


def _snapshots(folder: Path, count: int, tokenizer: Any) -> Any:
    """Returns a callback that keeps copies of the model, the last one at the end."""
    from transformers import TrainerCallback

    class Snapshots(TrainerCallback):
        def on_step_end(
            self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
        ) -> None:
            part = state.global_step * count
            if part // state.max_steps > (part - count) // state.max_steps:
                to = folder / str(state.global_step)
                model.save_pretrained(to)
                tokenizer.save_pretrained(to)

    return Snapshots()


def gradient_guard(log: Path) -> Any:
    """Returns a callback that skips steps without finite gradients, and writes the log."""
    import torch
    from transformers import TrainerCallback

    class Guard(TrainerCallback):
        skipped = 0
        in_a_row = 0

        def on_pre_optimizer_step(
            self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
        ) -> Any:
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            if all(bool(torch.isfinite(g).all()) for g in gradients):
                self.in_a_row = 0
                return control
            model.zero_grad(set_to_none=True)  # a parameter without a gradient is left as it is
            self.skipped += 1
            self.in_a_row += 1
            _LOG.warning("step %d: gradients are no numbers; skipped", state.global_step + 1)
            control.should_training_stop = self.in_a_row >= MOST_SKIPPED
            return control

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            told = {k: v for k, v in (logs or {}).items() if k != "loss" or math.isfinite(v)}
            line = {"step": state.global_step, "time": round(time.time(), 1), **told}
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    return Guard()
