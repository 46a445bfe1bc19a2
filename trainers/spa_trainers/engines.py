"""What writes the replies of a policy that is being trained.

`transformers`: the weights themselves, in this process. `vllm`: a copy of them in an engine of its
own, which is started once and takes the weights anew each time. They travel by a folder of files,
so any layout of the engine over devices will do.

Either is `play`ed: given a model that answers with the weights as they are, do something with it.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor

from spa_bench.errors import InputError
from spa_bench.models import hf, vllm
from spa_bench.models.hf_files import brief
from spa_bench.models.local_settings import read_dtype
from spa_bench.models.model import Model, ModelOptions
from spa_bench.models.vllm import VLLMModel
from spa_trainers.rl_settings import RlSettings

T = TypeVar("T")
Use = Callable[[Model], Awaitable[T]]
NAME = "policy"
"""Of the model, for logs and for sampling seeds, whatever plays it."""
_SHARE = "0.4"
"""Of a card's memory, for vLLM: it would take nine tenths, and the training is there, too."""
_COPY = "policy-"


class Engine(Protocol):
    """Plays a policy."""

    def play(self, live: Any, use: Use[T]) -> T:
        """Returns what comes of using a model that answers with the weights of `live`.

        Raises:
            InputError: if it cannot be started.
            ModelGoneError: if it breaks.
        """
        ...

    def close(self) -> None:
        """Lets go of what it holds; it may be played again."""
        ...


def engine(settings: RlSettings, tokenizer: Any, folder: Path | None) -> Engine:
    """Returns what the settings ask for.

    Args:
        folder: of the training, for what an engine puts on disk; None for a temporary place.
    """
    if settings.engine == "vllm":
        return Vllm(settings, tokenizer, folder)
    return InProcess(settings, tokenizer)


class InProcess:
    """The weights where they are, through transformers."""

    def __init__(self, settings: RlSettings, tokenizer: Any) -> None:
        self._settings, self._tokenizer = settings, tokenizer

    def play(self, live: Any, use: Use[T]) -> T:
        """Does what `Engine` says."""
        model = hf.of_live(NAME, live, self._tokenizer, batch_size=self._settings.batch_size)

        async def started() -> T:
            await model.start()
            try:
                return await use(model)
            finally:
                await model.close()

        with _as_trained(live, self._settings):
            return asyncio.run(started())

    def close(self) -> None:
        """Has nothing to let go of."""


class Vllm:
    """A copy of the weights in vLLM's engine.

    Args:
        folder: where the copy may lie; what a killed training left of one there goes.
    """

    def __init__(self, settings: RlSettings, tokenizer: Any, folder: Path | None) -> None:
        self._tokenizer, self._place = tokenizer, folder
        defaults = {"gpu_memory_utilization": _SHARE, "dtype": settings.dtype}
        self._args = defaults | settings.engine_args
        self._batch_size = settings.batch_size
        self._dtype: torch.dtype = getattr(torch, read_dtype(None, self._args), torch.float32)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._runner: asyncio.Runner | None = None  # vLLM's tasks live on one event loop
        self._model: VLLMModel | None = None

    def play(self, live: Any, use: Use[T]) -> T:
        """Does what `Engine` says."""
        self._runner = self._runner or asyncio.Runner()
        return self._runner.run(self._play(live, use))

    async def _play(self, live: Any, use: Use[T]) -> T:
        if self._folder is None:
            for left in self._place.glob(f"{_COPY}*") if self._place else ():
                shutil.rmtree(left, ignore_errors=True)
            self._folder = tempfile.TemporaryDirectory(prefix=_COPY, dir=self._place)
        folder = Path(self._folder.name)
        write(folder, live, self._tokenizer, self._dtype)
        if self._model is None:
            options = ModelOptions(str(folder), NAME, self._args, batch_size=self._batch_size)
            self._model = vllm.load(options)
            try:
                await self._model.start()
            except InputError as error:
                raise InputError(f"rl.engine: {error}; or leave the engine out") from None
        else:
            await self._model.reload(folder)
        return await use(self._model)

    def close(self) -> None:
        """Ends the engine's processes."""
        if self._runner is not None:
            if self._model is not None:
                self._runner.run(self._model.close())
            self._runner.close()
        if self._folder is not None:
            self._folder.cleanup()
        self._model = self._runner = self._folder = None


def write(folder: Path, live: Any, tokenizer: Any, dtype: torch.dtype) -> None:
    """Writes a model that is being trained as a Hugging Face folder, LoRA layers merged.

    An output layer that shares its weights with the input is written apart, and config.json says
    that it is not shared: vLLM does not always take a shared one anew.

    Raises:
        InputError: if there is no room.
    """
    try:
        live.save_pretrained(folder, state_dict=_plain(live, dtype), max_shard_size="1000TB")
        tokenizer.save_pretrained(folder)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"rl.engine: {folder}: the weights cannot be handed over there: {brief(error)}"
        ) from None
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"tie_word_embeddings": False, "dtype": str(dtype).removeprefix("torch.")}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _plain(live: Any, dtype: torch.dtype) -> dict[str, Tensor]:
    """Returns copies of a model's weights, on the CPU, as they are with LoRA layers merged."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    found = {name: tensor.detach() for name, tensor in live.state_dict().items()}
    for name, module in live.named_modules():
        if isinstance(module, BaseTunerLayer):
            layer: Any = module
            for key in [key for key in found if key.startswith(f"{name}.")]:
                tensor, inside = found.pop(key), key.removeprefix(f"{name}.")
                if not inside.startswith("base_layer."):
                    continue  # of LoRA
                if inside == "base_layer.weight":
                    for adapter in layer.active_adapters:
                        tensor = tensor + layer.get_delta_weight(adapter).detach()
                plain = f"{name}.{inside.removeprefix('base_layer.')}"
                found[plain] = tensor.to("cpu", dtype, copy=True)
    return {name: tensor.to("cpu", dtype, copy=True) for name, tensor in found.items()}


@contextmanager
def _as_trained(live: Any, settings: RlSettings) -> Generator[None]:
    """Rounds as an update's forward passes do, in whatever thread the model is called.

    In bfloat16 a small change of a float32 weight is not seen until there are more of them: played
    in float32, the policy would be ahead of the one whose gradients are taken.
    """
    if settings.dtype == "float32":
        yield
        return
    plain, wrapped = live.forward, vars(live).get("forward")
    live.forward = torch.autocast(live.device.type, torch.bfloat16)(plain)
    try:
        yield
    finally:
        if wrapped is None:
            del live.forward
        else:
            live.forward = wrapped
