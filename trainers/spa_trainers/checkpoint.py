"""Checkpoints: a plain Hugging Face folder that says what it is.

config.json, model.safetensors, tokenizer..   any tool of transformers reads them
spa_bench.json                                 how it was made, from what, by which recipe
training_boards.json.gz                        the boards it was trained on, its parents' too
README.md                                      a model card
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spa_bench.checkpoint import BOARDS, CARD, CheckpointCard, read_boards, read_card
from spa_bench.paths import expanded


@dataclass(frozen=True)
class Loaded:
    """A model in memory, and what its folder says of it.

    Attributes:
        card: None for a model that was not made here.
        boards: world -> short keys of the boards it was trained on.
        fingerprint: of its weights and tokenizer.
    """

    name: str
    model: Any
    tokenizer: Any
    card: CheckpointCard | None
    boards: Mapping[str, frozenset[str]]
    fingerprint: str


def load(name: str, dtype: str = "float32", *, dropout: bool = True) -> Loaded:
    """Loads a model to train on: a folder or a name on the hub.

    Args:
        dropout: False turns the model's own off, in training too, as reinforcement learning needs:
            with it no probability is what it was when the token was drawn.

    Raises:
        InputError: if there is none, or it cannot be read.
    """
    import torch

    from spa_bench.models.hf_files import find
    from spa_bench.models.hf_load import load_model, load_tokenizer, resolve_device

    source = find(name)
    model = load_model(source, None, resolve_device(None), getattr(torch, dtype), None)
    if not dropout:
        _without_dropout(model)
    folder = expanded(name)
    here = folder.is_dir()
    return Loaded(
        name=folder.name if here else name,
        model=model,
        tokenizer=load_tokenizer(source),
        card=read_card(folder) if here else None,
        boards=read_boards(folder) if here else {},
        fingerprint=fingerprint(name),
    )


def _without_dropout(model: Any) -> None:
    from torch import nn

    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if isinstance(value, float) and "drop" in name:
                setattr(module, name, 0.0)


def fingerprint(name: str) -> str:
    """Returns what identifies a model's weights: of a folder its files, else the hub's revision."""
    from spa_bench.models.hf_files import find

    return hashlib.sha256(
        json.dumps(dict(find(name).identity), sort_keys=True).encode()
    ).hexdigest()


def save(
    folder: Path,
    model: Any,
    tokenizer: Any,
    card: CheckpointCard,
    boards: Mapping[str, frozenset[str]],
    dtype: str | None = None,
) -> None:
    """Writes a checkpoint; `dtype` is that of the stored weights, None keeps the model's own.

    Whatever the stored type, config.json asks for float32 where the model was trained in it, so
    that small shipped files are computed with exactly.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    computed = model.dtype
    if dtype is not None:
        model = _copy_as(model, getattr(torch, dtype))
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["dtype"] = str(computed).removeprefix("torch.")
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    listed = {world: sorted(keys) for world, keys in sorted(boards.items())}
    (folder / BOARDS).write_bytes(gzip.compress(json.dumps(listed).encode(), mtime=0))
    (folder / CARD).write_text(
        card.model_dump_json(by_alias=True, indent=2) + "\n", encoding="utf-8"
    )
    (folder / "README.md").write_text(_readme(card, boards, model), encoding="utf-8")


def _copy_as(model: Any, dtype: Any) -> Any:
    import copy

    return copy.deepcopy(model).to(dtype)


def joined(
    one: Mapping[str, frozenset[str]], other: Mapping[str, frozenset[str]]
) -> dict[str, frozenset[str]]:
    """Returns the boards of both manifests."""
    return {
        world: one.get(world, frozenset()) | other.get(world, frozenset())
        for world in {*one, *other}
    }


def _readme(card: CheckpointCard, boards: Mapping[str, frozenset[str]], model: Any) -> str:
    parameters = sum(p.numel() for p in model.parameters())
    trained_on = "\n".join(f"| {world} | {len(keys)} |" for world, keys in sorted(boards.items()))
    stages = "\n".join(
        f"- **{stage['stage']}**: "
        + ", ".join(f"{key} {value}" for key, value in stage.items() if key != "stage")
        for stage in card.stages
    )
    parent = card.parent or "none, trained from scratch"
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [spa-bench, world-model]
---
# {card.name}

{card.description}

{parameters:,} parameters. Method: {card.method}. Parent: {parent}.

    spa-bench evaluate --model ./{card.name} --tasks {",".join(card.tasks) or "spa"}

## How it was made

By spa-bench's recipe `{card.recipe}`, in these stages:

{stages}

## What it was trained on

Only boards of the training split, counted up to symmetry (keys in `{BOARDS}`):

| world | boards |
|---|---|
{trained_on or "| none | 0 |"}
"""
