"""TRL's trainer as fine-tuning needs it: rows in an order that is keyed by seed and epoch.

transformers draws the order of each epoch from torch's global generator, whose state a training
that goes on within a later epoch does not have again: some rows would come twice, others never.

Import this file only where something is about to be trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl import SFTTrainer


class KeyedOrder(LengthGroupedSampler):
    """Rows of like lengths together, in an order that is a function of the seed and the epoch.

    Args:
        lengths: of the rows.
        batch_size: rows of an optimizer step.
        seed: of the training.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int) -> None:
        super().__init__(batch_size, lengths=lengths)
        self._seed, self._epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch comes next; transformers does before each."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        self.generator = torch.Generator().manual_seed(self._seed + self._epoch)
        return super().__iter__()


class KeyedOrderTrainer(SFTTrainer):
    """TRL's trainer with that order."""

    @property
    def summed_loss(self) -> float:
        """Of the steps of this process; what transformers divides it by, its versions differ in."""
        return self._total_loss_scalar

    def go_on(self, checkpoint: str | None) -> None:
        """Trains from a checkpoint on, from the beginning if there is none.

        After the last step only the weights are loaded: where the epochs are a fraction,
        transformers would take one step more.
        """
        if checkpoint is not None:
            state = TrainerState.load_from_json(str(Path(checkpoint) / TRAINER_STATE_NAME))
            if state.global_step >= state.max_steps:
                self._load_from_checkpoint(checkpoint)
                self.state = state
                return
        self.train(resume_from_checkpoint=checkpoint)

    def _get_train_sampler(self, train_dataset: Any = None) -> KeyedOrder:
        dataset: Any = self.train_dataset if train_dataset is None else train_dataset
        a = self.args
        rows = a.train_batch_size * a.gradient_accumulation_steps
        return KeyedOrder([len(ids) for ids in dataset["input_ids"]], rows, a.seed)
