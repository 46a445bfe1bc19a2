"""What both local backends are asked in the same words: flags, and `--model-args` beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from spa_bench.errors import InputError

_DTYPES = {
    "auto": "auto",
    "float32": "float32",
    "fp32": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "fp16": "float16",
}


def once(name: str, flag: str | None, args: Mapping[str, str]) -> str | None:
    """Returns what is given as a flag or among the arguments.

    Raises:
        InputError: if both say different things.
    """
    given = args.get(name)
    if flag is not None and given is not None and flag != given:
        raise InputError(f"{name} is given twice: {flag} and {given}")
    return flag if flag is not None else given


def read_dtype(flag: str | None, args: Mapping[str, str]) -> str:
    """Returns 'auto', or torch's name of a dtype.

    Raises:
        InputError: for a dtype there is not.
    """
    name = once("dtype", flag, args) or "auto"
    if name not in _DTYPES:
        raise InputError(f"dtype: {name!r} is none of {', '.join(_DTYPES)}")
    return _DTYPES[name]


def read_chat_template(args: Mapping[str, str]) -> Literal["auto", "none"]:
    """Returns whether a chat template is used where there is one.

    Raises:
        InputError: for another word than these.
    """
    template = args.get("chat_template", "auto")
    if template not in ("auto", "none"):
        raise InputError(f"chat_template: {template!r} is neither auto nor none")
    return template


def truth(name: str, args: Mapping[str, str]) -> bool | None:
    """Returns an argument that is true or false; None where it is not given.

    Raises:
        InputError: for another word than these.
    """
    value = args.get(name)
    if value is None:
        return None
    if value.lower() not in ("true", "false", "1", "0"):
        raise InputError(f"{name}: {value!r} is neither true nor false")
    return value.lower() in ("true", "1")
