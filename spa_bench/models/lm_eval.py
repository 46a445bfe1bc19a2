"""Any model class of lm-eval's registry: `--model lm_eval/hf --model-args pretrained=NAME`.

lm-eval's classes take a list of prompts and return a list of strings, one list at a time. Requests
are gathered while a list is being answered, so a class that batches well batches here too. What
lm-eval does not tell (tokens used, why a reply ended) is worked out from the text where the class
has a tokenizer, and unknown otherwise; it has no seeds, so sampled runs cannot be repeated.

Not for: the models that `hf/` and `openai/` reach; those adapters stop, seed and batch better.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any, NamedTuple, TypeVar, cast

from spa_bench.errors import InputError, ModelError, SpaBenchError, nearest
from spa_bench.models import plain_layout
from spa_bench.models.hf_files import fingerprint
from spa_bench.models.local_settings import truth
from spa_bench.models.model import (
    Capabilities,
    Message,
    ModelOptions,
    Reply,
    Request,
    Sampling,
    Usage,
)
from spa_bench.paths import expanded
from spa_bench.privacy import names_secret

_NOT_IDENTITY = {"batch_size", "max_batch_size", "device", "num_concurrent", "base_url", "timeout"}
_DEFAULT_CONCURRENCY = 16
_FOLDER = ("/", "./", "../", "~")
_MODELS = {"pretrained", "tokenizer", "peft", "delta"}
"""Settings that name a folder, or else a model on a hub."""


def load(options: ModelOptions) -> LMEvalModel:
    """Finds the class; `start` makes the model.

    Raises:
        InputError: if lm-eval is not installed, has no such class, or options are not for it.
    """
    if len(options.base_urls) > 1:
        raise InputError(f"lm_eval/{options.model} takes one --base-url; openai/ takes several")
    try:
        import_module("lm_eval.models")  # fills the registry
        registry: Any = import_module("lm_eval.api.registry")
    except ImportError as error:
        raise InputError(
            f"lm_eval/{options.model} needs lm-eval: pip install 'spa-bench[lm-eval]' ({error})"
        ) from None
    known: list[str] = [str(name) for name in registry.model_registry]
    if options.model not in known:
        raise InputError(
            f"lm-eval has no model class {options.model!r}{nearest(options.model, known)}"
        )
    return LMEvalModel(options)


_T = TypeVar("_T")


class _Waiting(NamedTuple):
    prompt: Any
    sampling: Sampling
    answered: asyncio.Future[str]


class LMEvalModel:
    """One of lm-eval's models."""

    def __init__(self, options: ModelOptions) -> None:
        self.name = _name(options)
        self.concurrency = options.concurrency or _DEFAULT_CONCURRENCY
        self.capabilities = Capabilities(prefill=truth("prefill", options.args) is not False)
        self._options = options
        self._lm: Any = None
        self._waiting: list[_Waiting] = []
        self._answering: asyncio.Task[None] | None = None

    def identity(self) -> Mapping[str, Any]:
        return {"class": self._options.model} | {
            key: _which(key, value)
            for key, value in self._arguments().items()
            if key not in _NOT_IDENTITY and not names_secret(key)
        }

    def _arguments(self) -> dict[str, Any]:
        own = {k: _plain(v) for k, v in self._options.args.items() if k != "prefill"}
        said = {
            "batch_size": self._options.batch_size,
            "device": self._options.device,
            "dtype": self._options.dtype,
            "peft": self._options.adapter,
            "base_url": next(iter(self._options.base_urls), None),
        }
        return own | {key: value for key, value in said.items() if value is not None}

    async def start(self) -> None:
        self._lm = await _aside(self._make)

    def _make(self) -> Any:
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        path = str(self._options.args.get("pretrained", ""))
        if path.startswith(_FOLDER) and not expanded(path).exists():
            # lm-eval would ask a hub for it, again and again
            raise InputError(f"{self.name}: pretrained={path}: no such folder")
        kind: Any = import_module("lm_eval.api.registry").get_model(self._options.model)
        try:
            return kind.create_from_arg_obj(self._arguments(), {})
        except (
            Exception,
            SystemExit,
        ) as error:  # whatever a class does not like about its arguments
            reason = " ".join(str(error).split())[:300]
            hint = ""
            if "pretrained" in reason and "pretrained" not in self._options.args:
                hint = "; name the model: --model-args pretrained=NAME"
            elif "CUDA" in reason and self._options.device is None:
                hint = "; try --device cpu"
            raise InputError(
                f"{self.name} cannot be made: {type(error).__name__}: {reason}{hint}"
            ) from None

    async def generate(self, request: Request) -> Reply:
        loop = asyncio.get_running_loop()
        prompt, stops = self._prompt(request)
        sampling = replace(request.sampling, stop=(*request.sampling.stop, *stops))
        waiting = _Waiting(prompt, sampling, loop.create_future())
        self._waiting.append(waiting)
        if self._answering is None or self._answering.done():
            self._answering = loop.create_task(self._answer())
        text = await waiting.answered
        return self._reply(text, request, waiting.prompt)

    async def close(self) -> None:
        if self._answering is not None:
            self._answering.cancel()
            self._answering = None
        self._waiting = []
        self._lm = None

    async def _answer(self) -> None:
        """Answers what waits, in lists of equal sampling, until nothing waits."""
        await asyncio.sleep(0.002)  # let those that ask together be answered together
        while self._waiting:
            sampling = self._waiting[0].sampling
            batch = [w for w in self._waiting if w.sampling == sampling]
            self._waiting = [w for w in self._waiting if w.sampling != sampling]
            batch = [w for w in batch if not w.answered.done()]
            prompts = [w.prompt for w in batch]
            try:
                texts = await _aside(self._generate, self._lm, prompts, sampling)
                if len(texts) != len(batch):
                    raise ValueError(f"{len(texts)} replies to {len(batch)} prompts")
            except Exception as error:  # a class of lm-eval may raise anything
                reason = " ".join(str(error).split())[:300]
                for waiting in batch:
                    if not waiting.answered.done():
                        waiting.answered.set_exception(ModelError(f"lm-eval: {reason}"))
            else:
                for waiting, text in zip(batch, texts, strict=True):
                    if not waiting.answered.done():
                        waiting.answered.set_result(text)

    @staticmethod
    def _generate(lm: Any, prompts: list[Any], sampling: Sampling) -> list[str]:
        instance_of: Any = import_module("lm_eval.api.instance").Instance
        settings: dict[str, Any] = {
            "until": list(sampling.stop),
            "max_gen_toks": sampling.new_tokens,
            "temperature": sampling.temperature,
            "do_sample": sampling.temperature > 0,
        }
        if sampling.top_p < 1:
            settings["top_p"] = sampling.top_p
        instances = [
            instance_of("generate_until", {}, (prompt, dict(settings)), index)
            for index, prompt in enumerate(prompts)
        ]
        return [str(text) for text in lm.generate_until(instances, disable_tqdm=True)]

    def _prompt(self, request: Request) -> tuple[Any, tuple[str, ...]]:
        """Returns the prompt, and the strings that end a reply to it."""
        stops = ()
        prompt = self._chat(request.messages) or self._chat(plain_layout.folded(request.messages))
        if prompt is None:
            prompt, stops = plain_layout.render(request.messages), plain_layout.STOPS
        return (prompt + request.prefill if type(prompt) is str else prompt), stops

    def _chat(self, messages: Sequence[Message]) -> Any:
        """Returns the prompt by the class's chat template.

        None where it has none, refuses a system message, or leaves it out without a word.
        """
        told = [{"role": message.role, "content": message.content} for message in messages]
        try:
            prompt = self._lm.apply_chat_template(told)
        except Exception:  # of whatever kind each class raises
            return None
        lost = type(prompt) is str and messages[0].content.strip() not in prompt
        return None if lost else prompt

    def _reply(self, text: str, request: Request, prompt: Any) -> Reply:
        tokenize = getattr(self._lm, "tok_encode", None)
        usage, stopped_by = Usage(), "stop"
        if callable(tokenize) and type(prompt) is str:
            try:
                read, written = len(_ids(tokenize(prompt))), len(_ids(tokenize(text)))
            except Exception:  # an API class without a tokenizer of its own
                read = written = None
            usage = Usage(prompt_tokens=read, completion_tokens=written)
            if written is not None and written >= request.sampling.new_tokens:
                stopped_by = "length"
        prefilled = bool(request.prefill) and type(prompt) is str
        return Reply(text, "length" if stopped_by == "length" else "stop", usage, prefilled)


async def _aside(function: Callable[..., _T], *arguments: Any) -> _T:
    """Returns what a function returns in a thread of its own, for whose end no exit waits.

    Raises:
        SpaBenchError: as the function does.
        RuntimeError: for whatever else it raises, `SystemExit` and `StopIteration` included.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, error: BaseException | None) -> None:
        if ended.done():
            return
        if error is None:
            ended.set_result(cast(_T, result))
        else:
            ended.set_exception(error)

    def work() -> None:
        try:
            told = function(*arguments), None
        except SpaBenchError as error:
            told = None, error
        except BaseException as error:
            told = None, RuntimeError(str(error) or type(error).__name__)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, *told)

    threading.Thread(target=work, name="spa-bench-lm-eval", daemon=True).start()
    return await ended


def _name(options: ModelOptions) -> str:
    """Returns the class, and the model where one is named: a class has many."""
    model = options.args.get("pretrained") or options.args.get("model")
    return f"{options.label}/{_nameless(model)}" if model else options.label


def _which(key: str, value: Any) -> Any:
    """Returns a setting; of files their name, and a hash that tells them from others."""
    place = isinstance(value, str) and (key in _MODELS or value.startswith(_FOLDER))
    if not (place and value and (path := expanded(value)).exists()):
        return _nameless(value)
    # each class reads other files, so all of them count
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    shown = [file for file in files if file.is_file() and not file.name.startswith(".")]
    return {"name": path.resolve().name, "files": fingerprint(shown)}


def _nameless(value: Any) -> Any:
    """Returns a setting; of a folder the name alone: a run says which model, not whose disk."""
    if isinstance(value, str) and value.startswith(_FOLDER):
        return expanded(value).name or value
    return value


def _ids(tokens: Any) -> Any:
    """Returns the ids of one text; some classes return a list of lists."""
    return tokens[0] if len(tokens) == 1 and isinstance(tokens[0], list) else tokens


def _plain(text: str) -> Any:
    """Reads a value of `--model-args` as lm-eval does: numbers, true, false, else text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
