"""What a user can ask of vLLM, read from flags and `--model-args`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from spa_bench.errors import InputError, nearest
from spa_bench.models.local_settings import once, read_chat_template, read_dtype, truth
from spa_bench.models.model import ModelOptions

_ARGUMENTS = (
    "pretrained",
    "revision",
    "dtype",
    "quantization",
    "tensor_parallel_size",
    "data_parallel_size",
    "gpu_memory_utilization",
    "max_model_len",
    "enforce_eager",
    "lora_local_path",
    "trust_remote_code",
    "add_bos_token",
    "chat_template",
    "engine_args",
)
_OURS = frozenset({*_ARGUMENTS, "model", "tokenizer", "max_num_seqs", "enable_lora"})
"""What vLLM knows by these names is set elsewhere, or by spa-bench."""
_BATCH_SIZE = 256


@dataclass(frozen=True)
class Settings:
    """What the user asked of vLLM, checked.

    Attributes:
        model: a folder or a hub name.
        dtype: 'auto' leaves it to vLLM.
        adapter: folder or hub name of a LoRA adapter.
        batch_size: the most replies that one engine writes at a time.
        max_model_len: the most tokens of prompt and reply; None takes the model's own window.
        gpu_memory_utilization: the share of a card's memory to use, in (0, 1].
        data_parallel_size: engines, each with a copy of the model.
        engine_args: more of vLLM's engine arguments, by their names there.
    """

    model: str
    revision: str | None = None
    dtype: str = "auto"
    adapter: str | None = None
    trust_remote_code: bool = False
    add_bos: bool | None = None
    chat_template: Literal["auto", "none"] = "auto"
    batch_size: int = _BATCH_SIZE
    quantization: str | None = None
    tensor_parallel_size: int = 1
    data_parallel_size: int = 1
    gpu_memory_utilization: float | None = None
    max_model_len: int | None = None
    enforce_eager: bool = False
    engine_args: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, options: ModelOptions) -> Settings:
        """Reads `--model`, the flags, and `--model-args` as vLLM and lm-eval spell them.

        Raises:
            InputError: for an unknown argument, a bad value, or two values of one thing.
        """
        args = dict(options.args)
        for name in args:
            if name not in _ARGUMENTS:
                raise InputError(
                    f"vllm has no model argument {name!r}{nearest(name, _ARGUMENTS)};"
                    f" there are {', '.join(_ARGUMENTS)}"
                )
        if options.base_urls:
            raise InputError(
                "vllm runs a model in this process and takes no --base-url;"
                " a vLLM server is asked as openai/NAME"
            )
        if options.device is not None:
            raise InputError(
                f"--device {options.device}: vLLM runs on the device that it was built for;"
                " CUDA_VISIBLE_DEVICES chooses among cards"
            )
        model = once("pretrained", options.model or None, args)
        if not model:
            raise InputError("vllm needs a model: vllm/NAME, or --model-args pretrained=..")
        batch_size = _BATCH_SIZE if options.batch_size is None else options.batch_size
        if batch_size < 1:
            raise InputError(f"--batch-size {batch_size}: at least 1")
        return cls(
            model=model,
            revision=args.get("revision"),
            dtype=read_dtype(options.dtype, args),
            adapter=once("lora_local_path", options.adapter, args),
            trust_remote_code=truth("trust_remote_code", args) or False,
            add_bos=truth("add_bos_token", args),
            chat_template=read_chat_template(args),
            batch_size=batch_size,
            quantization=args.get("quantization"),
            tensor_parallel_size=_count("tensor_parallel_size", args) or 1,
            data_parallel_size=_count("data_parallel_size", args) or 1,
            gpu_memory_utilization=_share("gpu_memory_utilization", args),
            max_model_len=_count("max_model_len", args),
            enforce_eager=truth("enforce_eager", args) or False,
            engine_args=_engine_args(args.get("engine_args")),
        )

    def engine_arguments(self) -> dict[str, Any]:
        """Returns what vLLM's `AsyncEngineArgs` is given, but for the model and its adapter."""
        arguments: dict[str, Any] = {
            "dtype": self.dtype,
            "trust_remote_code": self.trust_remote_code,
            "tensor_parallel_size": self.tensor_parallel_size,
            "data_parallel_size": self.data_parallel_size,
            "max_num_seqs": self.batch_size,
            "enforce_eager": self.enforce_eager,
            "enable_prefix_caching": True,
            "logprobs_mode": "raw_logprobs",
            "disable_log_stats": True,
            "quantization": self.quantization,
            "max_model_len": self.max_model_len,
            "gpu_memory_utilization": self.gpu_memory_utilization,
        }
        given = {name: value for name, value in arguments.items() if value is not None}
        return {**given, **self.engine_args}

    def identity(self) -> dict[str, Any]:
        """Returns what of the settings changes what a model answers."""
        chosen = {
            "quantization": self.quantization,
            "max_model_len": self.max_model_len,
            "engine_args": dict(self.engine_args) or None,
        }
        return {name: value for name, value in chosen.items() if value is not None}


def _engine_args(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        read: Any = json.loads(text)
    except ValueError:
        read = None
    if not isinstance(read, dict):
        raise InputError(
            f"engine_args: {text!r} is no JSON object, such as"
            ' engine_args={"kv_cache_dtype": "fp8"}'
        )
    for name in cast(dict[str, Any], read):
        if name in _OURS:
            raise InputError(f"engine_args: {name} is not set there, but by a flag or argument")
    return cast(dict[str, Any], read)


def _count(name: str, args: Mapping[str, str]) -> int | None:
    value = args.get(name)
    if value is None:
        return None
    if not (value.isdecimal() and int(value) > 0):
        raise InputError(f"{name}: {value!r} is not a positive number")
    return int(value)


def _share(name: str, args: Mapping[str, str]) -> float | None:
    value = args.get(name)
    if value is None:
        return None
    try:
        share = float(value)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise InputError(f"{name}: {value!r} is not a share above 0 and up to 1")
    return share
