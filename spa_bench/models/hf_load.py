"""Loads a local transformers model; every way that can fail ends in one clear line.

Nothing heavy is imported before it is needed. Only safetensors are read unless the user trusts
the model's own code.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from spa_bench.errors import InputError
from spa_bench.models.hf_files import Source, brief, needs_extra
from spa_bench.terminal import redrawing

_ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
_ELSEWHERE = "serve it with vLLM and use openai/NAME --base-url URL"


def load_config(source: Source) -> Any:
    """Returns the configuration.

    Raises:
        InputError: if it cannot be read, or is of a model that the engine cannot run.
    """
    transformers = _import("transformers")
    with _reading(source.place, "configuration"):
        config = transformers.AutoConfig.from_pretrained(source.place, **source.arguments)
    odd = set(getattr(config.get_text_config(), "layer_types", None) or ()) - _ATTENTION
    if odd or getattr(config, "is_encoder_decoder", False):
        raise InputError(
            f"{source.place}: hf runs decoders made of attention, and this model has"
            f" {', '.join(sorted(odd)) or 'an encoder'}; {_ELSEWHERE}"
        )
    return config


def window(config: Any) -> int | None:
    """Returns the most tokens that a model has positions for; None for any number.

    A model with two sets of rotary factors (`longrope`) takes those of the longest row for all of a
    batch, and those of the shorter texts up to here.
    """
    text = config.get_text_config()
    # MPT calls it otherwise.
    known = getattr(text, "max_position_embeddings", None) or getattr(text, "max_seq_len", None)
    rope: dict[str, Any] = getattr(text, "rope_parameters", None) or {}
    if rope.get("rope_type") == "longrope":
        return rope.get("original_max_position_embeddings") or known
    return known or None


def load_tokenizer(source: Source) -> Any:
    """Returns the tokenizer.

    Raises:
        InputError: if there is none that transformers can read.
    """
    with _reading(source.place, "tokenizer"):
        return _import("transformers").AutoTokenizer.from_pretrained(
            source.place, **source.arguments
        )


def load_model(
    source: Source, adapter: Source | None, device: str, dtype: Any, attention: str | None
) -> Any:
    """Returns the model on its device, in evaluation mode, a LoRA adapter merged into it.

    Args:
        source: the model's files.
        adapter: the adapter's files.
        device: as torch names it.
        dtype: torch's type of the weights.
        attention: transformers' name of an implementation; None for its choice, on a CPU with
            `hf_attention` where that is faster.

    Raises:
        InputError: if the weights cannot be read or do not fit on the device, or if the model is
            none that the engine can run.
    """
    arguments = dict(source.arguments)
    if attention is not None:
        arguments["attn_implementation"] = attention
    if not arguments.get("trust_remote_code"):
        arguments["use_safetensors"] = True  # pickled weights can run code
    with _reading(source.place, "weights"):
        model = _import("transformers").AutoModelForCausalLM.from_pretrained(
            source.place, dtype=dtype, **arguments
        )
    if adapter is not None:
        with _reading(adapter.place, "adapter"):
            peft = _import("peft")
            model = merged(
                peft.PeftModel.from_pretrained(model, adapter.place, **adapter.arguments)
            )
    with _reading(source.place, "weights"):
        model = model.to(device).eval()
    if attention is None:
        from spa_bench.models import hf_attention

        hf_attention.use(model)
    _check_decoder(model, source.place)
    return model


def _check_decoder(model: Any, place: str) -> None:
    """Has a model read two tokens, which tells what no configuration does.

    Raises:
        InputError: if it keeps no keys and values, or a token changes what stands before it.
    """
    torch = _import("torch")
    from spa_bench.models.hf_cache import Layout

    kind = type(model).__name__
    try:
        with torch.inference_mode():
            Layout.of(model, model.device)
            pairs = torch.tensor([[0, 1], [0, 2]], device=model.device)
            one, other = (model(input_ids=pair[None]).logits[0, 0].float() for pair in pairs)
    except Exception as error:  # a model's own code raises what it likes
        raise InputError(
            f"{place}: hf cannot run a {kind}: {brief(error)}; {_ELSEWHERE}"
        ) from error
    if not torch.allclose(one, other, rtol=1e-3, atol=1e-5):
        raise InputError(
            f"{place}: in a {kind} a token sees those after it, so it cannot write a reply"
        )


def merged(adapted: Any) -> Any:
    """Returns the model of a PeftModel, its adapter folded into the weights."""
    untie_ends(adapted.get_base_model())
    return adapted.merge_and_unload()


def untie_ends(model: Any) -> None:
    """Gives an output layer its own weights where LoRA layers change it, or the input, alone.

    Merged into weights that both share, they would change both.
    """
    torch = _import("torch")
    tuners = _import("peft.tuners.tuners_utils")
    ends = model.get_input_embeddings(), model.get_output_embeddings()
    if not any(isinstance(end, tuners.BaseTunerLayer) for end in ends):
        return
    read, written = (
        end.get_base_layer() if isinstance(end, tuners.BaseTunerLayer) else end for end in ends
    )
    if written is not None and written.weight is read.weight:
        written.weight = torch.nn.Parameter(read.weight.detach().clone())
        model.config.tie_word_embeddings = False


def resolve_device(name: str | None) -> str:
    """Returns the device: the one named, else CUDA if there is any, else the CPU.

    Raises:
        InputError: for a device that this machine or torch does not have.
    """
    torch = _import("torch")
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.device(name)
    except RuntimeError:  # it lists what other people's builds have
        raise InputError(f"--device {name}: is no device; write cpu, cuda or cuda:1") from None
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: {brief(error)}") from None
    return name


def resolve_dtype(name: str, device: str, config: Any) -> Any:
    """Returns torch's type of the weights.

    'auto' is bfloat16 on CUDA (float16 on cards without it) and the checkpoint's own type
    elsewhere, but on a CPU never one that it computes slowly: float16, and bfloat16 where the
    processor has no instructions for it.
    """
    torch = _import("torch")
    if name != "auto":
        return getattr(torch, name)
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    stored = getattr(config.get_text_config(), "dtype", None) or torch.float32
    if device == "cpu" and (stored == torch.float16 or not cpu_has_bfloat16()):
        return torch.float32
    return stored


def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies matrices in bfloat16 about as fast as in float32.

    Without instructions for it, it takes more than ten times as long.
    """
    torch = _import("torch")
    available: bool = torch.backends.mkldnn.is_available()
    return available and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def needs_peft() -> None:
    """Checks that an adapter could be read, without the seconds that importing peft takes.

    Raises:
        InputError: if it is not installed.
    """
    if importlib.util.find_spec("peft") is None:
        raise InputError("--adapter needs peft: pip install 'spa-bench[train]'")


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise needs_extra(error) from None


@contextmanager
def _reading(place: str, what: str) -> Generator[None]:
    """Turns what transformers raises into one line, and keeps it from chatting meanwhile."""
    logging = _import("transformers.utils.logging")
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with without_bars(), redrawing():
            yield
    except InputError:
        raise
    except Exception as error:  # files may be wrong in any way, and libraries raise what they like
        raise InputError(f"{place}: cannot load the {what}: {brief(error)}") from error
    finally:
        logging.set_verbosity(verbosity)


@contextmanager
def without_bars() -> Generator[None]:
    """Keeps transformers from drawing bars for what takes no time; those of downloads stay."""
    logging = _import("transformers.utils.logging")
    hub = _import("huggingface_hub.utils")
    bars, downloads = logging.is_progress_bar_enabled(), not hub.are_progress_bars_disabled()
    logging.disable_progress_bar()  # which turns those of downloads off as well
    if downloads:
        hub.enable_progress_bars()
    try:
        yield
    finally:
        if bars:
            logging.enable_progress_bar()
        if not downloads:
            hub.disable_progress_bars()
