"""What a user can ask of a local model, read from flags and `--model-args`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from spa_bench.errors import InputError, nearest
from spa_bench.models.local_settings import once, read_chat_template, read_dtype, truth
from spa_bench.models.model import ModelOptions

_ARGUMENTS = (
    "pretrained",
    "revision",
    "dtype",
    "device",
    "peft",
    "trust_remote_code",
    "attn_implementation",
    "max_length",
    "add_bos_token",
    "chat_template",
    "cuda_graphs",
)


@dataclass(frozen=True)
class Settings:
    """What the user asked of a local model, checked.

    Attributes:
        model: a folder or a hub name.
        dtype: 'auto', or torch's name of one.
        max_length: the most tokens of prompt and reply; None takes the model's own window.
        adapter: folder or hub name of a LoRA adapter.
        cuda_graphs: whether a GPU is to write tokens by CUDA graphs, where a model allows.
    """

    model: str
    revision: str | None = None
    dtype: str = "auto"
    device: str | None = None
    adapter: str | None = None
    trust_remote_code: bool = False
    attn_implementation: str | None = None
    max_length: int | None = None
    add_bos: bool | None = None
    chat_template: Literal["auto", "none"] = "auto"
    cuda_graphs: bool = False

    @classmethod
    def of(cls, options: ModelOptions) -> Settings:
        """Reads `--model`, the flags, and `--model-args` in lm-eval's spelling.

        Raises:
            InputError: for an unknown argument, a bad value, or two values of one thing.
        """
        args = dict(options.args)
        for name in args:
            if name not in _ARGUMENTS:
                raise InputError(
                    f"hf has no model argument {name!r}{nearest(name, _ARGUMENTS)};"
                    f" there are {', '.join(_ARGUMENTS)}"
                )
        if options.base_urls:
            raise InputError("hf runs a model in this process and takes no --base-url")
        model = once("pretrained", options.model or None, args)
        if not model:
            raise InputError("hf needs a model: hf/NAME, a folder, or --model-args pretrained=..")
        length = args.get("max_length")
        if length is not None and not (length.isdecimal() and int(length) > 0):
            raise InputError(f"max_length: {length!r} is not a positive number of tokens")
        return cls(
            model=model,
            revision=args.get("revision"),
            dtype=read_dtype(options.dtype, args),
            device=once("device", options.device, args),
            adapter=once("peft", options.adapter, args),
            trust_remote_code=truth("trust_remote_code", args) or False,
            attn_implementation=args.get("attn_implementation"),
            max_length=None if length is None else int(length),
            add_bos=truth("add_bos_token", args),
            chat_template=read_chat_template(args),
            cuda_graphs=truth("cuda_graphs", args) or False,
        )
