"""Finds a model's files, in a folder or on the Hugging Face hub, and says which files they are.

Every way that can fail ends, within seconds, in one clear line. No telemetry is sent, and
`HF_HUB_OFFLINE` is respected. Imports neither torch nor transformers.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from spa_bench.errors import InputError
from spa_bench.paths import expanded
from spa_bench.privacy import no_telemetry

_MARKERS = {"model": "config.json", "LoRA adapter": "adapter_config.json"}
_BESIDE = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "generation_config.json",  # which tokens end a reply
)
"""What else changes a model's replies, of the files that it may have."""

_REACH_SECONDS = 5.0
_BLOCKS, _BLOCK = 16, 2**16


@dataclass(frozen=True)
class Source:
    """Where the files of a model or an adapter are.

    Attributes:
        place: a folder, or a hub name.
        arguments: what every `from_pretrained` is given.
        identity: which files these are, without the folder's path.
    """

    place: str
    arguments: Mapping[str, Any]
    identity: Mapping[str, Any]


def find(
    name: str,
    *,
    what: Literal["model", "LoRA adapter"] = "model",
    revision: str | None = None,
    trusted: bool = False,
) -> Source:
    """Finds a folder, or else a name on the hub.

    Raises:
        InputError: if it is nowhere, or holds no such thing.
    """
    arguments: dict[str, Any] = {"trust_remote_code": True} if trusted else {}
    folder = expanded(name)
    if folder.is_dir():
        if revision is not None:
            raise InputError(f"revision={revision}: {name} is a folder and has no revisions")
        return Source(str(folder), arguments, _identify(folder, name, what, trusted))
    if name.startswith(("/", ".", "~")) or name.count("/") > 1 or folder.exists():
        raise InputError(f"{name}: no such folder")
    return _find_on_hub(name, revision, _MARKERS[what], arguments)


def brief(error: BaseException) -> str:
    """Returns the first line of an error's message, which may be long or empty; two where the first
    only announces what follows."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    first = lines[0].rstrip(". ")
    return f"{first} {lines[1].strip(' ,.')}" if first.endswith(":") and lines[1:] else first


def needs_extra(error: ImportError) -> InputError:
    """Returns what to tell a user who lacks the libraries."""
    return InputError(f"hf needs torch and transformers ({error}): pip install 'spa-bench[hf]'")


def _identify(folder: Path, name: str, what: str, trusted: bool) -> Mapping[str, Any]:
    marker = folder / _MARKERS[what]
    if not marker.is_file():
        hint = ""
        if what == "model" and (folder / _MARKERS["LoRA adapter"]).is_file():
            hint = "; it holds a LoRA adapter: name its base as the model, and it as --adapter"
        elif inside := [path.parent for path in sorted(folder.glob(f"*/{marker.name}"))]:
            hint = f" (did you mean {Path(name) / inside[-1].name}?)"
        raise InputError(f"{name}: no {what} in this folder, {marker.name} is missing{hint}")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights and not trusted:
        raise InputError(
            f"{name}: no *.safetensors in this folder; write it with `save_pretrained`,"
            " or pass --model-args trust_remote_code=true if you trust its files"
        )
    # without safetensors, trusted ones are pickled
    weights = weights or sorted(folder.glob("*.bin"))
    beside = [path for path in map(folder.joinpath, _BESIDE) if path.is_file()]
    content = fingerprint([marker, *weights, *beside])
    identity = {"name": folder.resolve().name, "content": content}
    code = sorted(folder.glob("*.py"))
    return identity | {"code": fingerprint(code)} if trusted and code else identity


def fingerprint(files: Sequence[Path]) -> str:
    """Returns a hash of the size and of evenly spread blocks of each file.

    Training moves every weight, so a sample tells checkpoints apart without reading gigabytes.
    """
    digest = hashlib.sha256()
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for i in range(_BLOCKS):
                file.seek(size * i // _BLOCKS)
                digest.update(file.read(_BLOCK))
    return f"sha256-sample:{digest.hexdigest()[:16]}"


def _find_on_hub(
    name: str, revision: str | None, marker: str, arguments: Mapping[str, Any]
) -> Source:
    no_telemetry()
    try:
        hub: Any = importlib.import_module("huggingface_hub")
        constants: Any = importlib.import_module("huggingface_hub.constants")
    except ImportError as error:
        raise needs_extra(error) from None
    offline = bool(constants.HF_HUB_OFFLINE) or not _reachable(hub, constants.ENDPOINT)
    try:
        found = hub.hf_hub_download(name, marker, revision=revision, local_files_only=offline)
    except (OSError, ValueError) as error:
        if offline:
            raise InputError(
                f"{name}: no such folder, and the Hugging Face hub cannot be reached and has"
                " left no copy here; check the network, or give a folder as ./NAME"
            ) from None
        raise InputError(
            f"{name}: not to be had from the Hugging Face hub: {brief(error)}"
            " (a private or gated model needs `hf auth login`)"
        ) from None
    commit = Path(found).parent.name
    pinned = {**arguments, "revision": commit}
    if offline:
        pinned["local_files_only"] = True
    return Source(name, pinned, {"name": name, "revision": commit})


def _reachable(hub: Any, endpoint: str) -> bool:
    """Asks once: huggingface_hub itself would try again for half a minute."""
    try:
        hub.get_session().head(endpoint, timeout=_REACH_SECONDS)
    except Exception:  # of whichever HTTP library this release of huggingface_hub uses
        return False
    return True
