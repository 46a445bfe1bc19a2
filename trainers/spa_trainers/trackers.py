"""TensorBoard and Weights & Biases, through accelerate. Off unless a recipe asks for one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from spa_bench.errors import InputError

Name = Literal["tensorboard", "wandb"]


def check(name: Name | None) -> None:
    """Sees to it that a tracker could be opened.

    Raises:
        InputError: if its package is not installed.
    """
    if name is None:
        return
    from accelerate.utils import is_tensorboard_available, is_wandb_available

    there = {"tensorboard": is_tensorboard_available, "wandb": is_wandb_available}
    if not there[name]():
        raise InputError(
            f"rl.tracker: {name} is not installed: pip install {name}, or leave it out"
        )


def begin(name: Name, folder: Path, settings: Mapping[str, Any], step: int) -> Any:
    """Returns a tracker that has begun; `log(values, step=..)` and `finish()` are what it can do.

    Args:
        folder: of the run: TensorBoard writes to `tensorboard/` in it, W&B to `wandb/`. W&B's
            project is `spa-bench`; whether it talks to its server, WANDB_MODE says.
        settings: what was asked for.
        step: the first that it will be told of; TensorBoard forgets this and later ones.
    """
    from accelerate import PartialState
    from accelerate.tracking import TensorBoardTracker, WandBTracker

    PartialState()
    tracker: Any  # accelerate's GeneralTracker; importing it takes seconds
    if name == "tensorboard":
        tracker = TensorBoardTracker("tensorboard", folder, purge_step=step)
        tracker.start()
        tracker.writer.add_text("settings", _table(settings), step)
    else:
        run = (folder.parent if folder.name == "rl" else folder).resolve().name
        tracker = WandBTracker("spa-bench", name=run, dir=str(folder))
        tracker.start()
        tracker.store_init_configuration(dict(settings))
    return tracker


def _table(settings: Mapping[str, Any]) -> str:
    rows = "".join(f"| {key} | {value} |\n" for key, value in settings.items())
    return f"| setting | value |\n|---|---|\n{rows}"
