"""What a user can ask of a local model, read from flags and `--model-args`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from spa_bench.errors import InputError, nearest
from spa_bench.models.model import ModelOptions

_DTYPES = {
    "auto": "auto",
    "float32": "float32",
    "fp32": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "fp16": "float16",
}
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
)


@dataclass(frozen=True)
class Settings:
    """What the user asked of a local model, checked.

    Attributes:
        model: a folder or a hub name.
        dtype: 'auto', or torch's name of one.
        max_length: the most tokens of prompt and reply; None takes the model's own window.
        adapter: folder or hub name of a LoRA adapter.
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
        model = _one("pretrained", options.model or None, args)
        if not model:
            raise InputError("hf needs a model: hf/NAME, a folder, or --model-args pretrained=..")
        dtype = _one("dtype", options.dtype, args) or "auto"
        if dtype not in _DTYPES:
            raise InputError(f"dtype: {dtype!r} is none of {', '.join(_DTYPES)}")
        template = args.get("chat_template", "auto")
        if template not in ("auto", "none"):
            raise InputError(f"chat_template: {template!r} is neither auto nor none")
        length = args.get("max_length")
        if length is not None and not (length.isdecimal() and int(length) > 0):
            raise InputError(f"max_length: {length!r} is not a positive number of tokens")
        return cls(
            model=model,
            revision=args.get("revision"),
            dtype=_DTYPES[dtype],
            device=_one("device", options.device, args),
            adapter=_one("peft", options.adapter, args),
            trust_remote_code=_truth("trust_remote_code", args) or False,
            attn_implementation=args.get("attn_implementation"),
            max_length=None if length is None else int(length),
            add_bos=_truth("add_bos_token", args),
            chat_template=template,
        )


def _one(name: str, flag: str | None, args: Mapping[str, str]) -> str | None:
    given = args.get(name)
    if flag is not None and given is not None and flag != given:
        raise InputError(f"{name} is given twice: {flag} and {given}")
    return flag if flag is not None else given


def _truth(name: str, args: Mapping[str, str]) -> bool | None:
    value = args.get(name)
    if value is None:
        return None
    if value.lower() not in ("true", "false", "1", "0"):
        raise InputError(f"{name}: {value!r} is neither true nor false")
    return value.lower() in ("true", "1")
