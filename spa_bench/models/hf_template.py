"""From a conversation to token ids and back: the chat template, or a plain layout without one.

A later turn is not rendered anew: its tokens are those that were sent and sampled, then the
template's own suffix (the end of the assistant's turn, the next user message, the beginning of
the next reply). So the tokens a trainer sees are the tokens that were sampled. A template whose
longer renderings do not begin with its shorter ones, such as one that strips earlier reasoning,
is not `append_only`, and every turn is rendered anew.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, Literal

from spa_bench.errors import InputError
from spa_bench.models import plain_layout
from spa_bench.models.model import Message

_REPLY = "spa-bench stands here for a reply"
_PROBE = (
    Message("system", "Be a probe."),
    Message("user", "Where to?"),
    Message("assistant", "<think>a wall</think><answer>Up</answer>"),
    Message("user", "And now?"),
    Message("assistant", "<think>no wall</think><answer>Down</answer>"),
    Message("user", "And then?"),
)
_THINK_TAGS = re.compile("</?think>")
# Some templates print today's date: a prompt must not depend on the day it is sent.
_TODAY = "{% macro strftime_now(format) %}26 Jul 2024{% endmacro %}"


def end_ids(model: Any, template: Template) -> frozenset[int]:
    """Returns the tokens that end a reply: the template's, and the model's own."""
    ends: Any = model.generation_config.eos_token_id  # a number, a list of them, or None
    return template.stop_ids.union([ends] if isinstance(ends, int) else ends or ())


class Template:
    """Renders conversations for one tokenizer.

    Args:
        tokenizer: a transformers tokenizer.
        kind: 'auto' uses the tokenizer's chat template if it has one; 'none' never does.
        add_bos: whether a prompt begins with the beginning-of-sequence token; None leaves it to
            the chat template, or to the tokenizer in the plain layout.

    Attributes:
        append_only: whether a longer conversation extends the tokens of a shorter one.
        stops: strings that end a reply, besides those of a request.
        stop_ids: tokens that end a reply: the tokenizer's and the template's.
        end_id: the one of them that follows a reply in a longer conversation, if there is one.

    Raises:
        InputError: for a chat template that cannot render a plain conversation, or that leaves a
            header of each reply to the model.
    """

    def __init__(
        self, tokenizer: Any, kind: Literal["auto", "none"] = "auto", add_bos: bool | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._chat = _chat_template(tokenizer) if kind == "auto" else None
        self.stops = () if self._chat else plain_layout.STOPS
        self._folds = False
        if self._chat:
            self._folds = not self._takes_system()
            self._check_beginning()
        self._bos = self._beginning(add_bos)
        self.append_only = self._extends()
        self.end_id = self._turn_end()
        ends = {tokenizer.eos_token_id, self.end_id}
        self.stop_ids = frozenset(token for token in ends if token is not None)
        self._pieces: dict[int, str] = {}

    def identity(self) -> dict[str, Any]:
        """Returns what of the template changes the tokens a model is sent."""
        template = plain_layout.NAME
        if self._chat:
            template = f"sha256:{hashlib.sha256(self._chat.encode()).hexdigest()[:16]}"
        found: dict[str, Any] = {"chat_template": template, "add_bos": bool(self._bos)}
        if self._folds:
            found["system"] = "in the first user message"
        return found

    def encode(
        self,
        messages: Sequence[Message],
        prefill: str = "",
        token_prefix: Sequence[int] | None = None,
    ) -> tuple[int, ...]:
        """Returns the prompt.

        Args:
            messages: the conversation; the last message is the user's.
            prefill: text that begins the reply, after the template's own beginning.
            token_prefix: the earlier turns as they were sent and sampled; used if the template
                is append-only.
        """
        if token_prefix and self.append_only and any(m.role == "assistant" for m in messages):
            return self._extend(messages, prefill, token_prefix)
        text = self._render(messages)
        return (*self._bos, *self._ids(text + _unopened(text, prefill)))

    def continuation(
        self, messages: Sequence[Message], prefill: str, text: str
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Returns the prompt, and the tokens of a text that continues it.

        Both are tokenized together: from the first token on that is not the prompt's own, all
        belong to the text.
        """
        prompt = self.encode(messages, prefill)
        whole = self.encode(messages, prefill + text)
        same = takewhile(lambda pair: pair[0] == pair[1], zip(prompt, whole, strict=False))
        shared = sum(1 for _ in same)
        return whole[:shared], whole[shared:]

    def piece(self, token: int) -> str:
        """Returns what one token says by itself."""
        if token not in self._pieces:
            self._pieces[token] = self._decode([token])
        return self._pieces[token]

    def text(self, prompt: Sequence[int], completion: Sequence[int]) -> str:
        """Returns what a completion says, without special tokens.

        Decoded behind the end of its prompt, because some tokenizers drop a leading space.
        """
        before = list(prompt[-8:])
        return self._decode([*before, *completion])[len(self._decode(before)) :]

    def stopper(
        self, prompt: Sequence[int], stops: Sequence[str]
    ) -> Callable[[Sequence[int]], bool] | None:
        """Returns a test of whether the tokens written so far hold a stop string; None for none."""
        stops = [stop for stop in stops if stop]
        if not stops:
            return None
        endings = {stop[-1] for stop in stops}

        def ends(completion: Sequence[int]) -> bool:
            # A stop string is complete only with its last character, so most tokens need no
            # look at the text; a token of half a character or of blank might hide it.
            piece = self.piece(completion[-1])
            if piece.strip() and "\ufffd" not in piece and endings.isdisjoint(piece):
                return False
            said = self.text(prompt, completion)
            return any(stop in said for stop in stops)

        return ends

    def _extend(
        self, messages: Sequence[Message], prefill: str, token_prefix: Sequence[int]
    ) -> tuple[int, ...]:
        last = max(i for i, message in enumerate(messages) if message.role == "assistant")
        shown = [*messages[:last], Message("assistant", _REPLY), *messages[last + 1 :]]
        suffix = self._render(shown).rpartition(_REPLY)[2]
        suffix += _unopened(suffix, prefill)
        if not self._chat:
            # The reply may have ended at a stop string, which is how the suffix begins.
            suffix = _rest(
                self._decode(token_prefix[-16:]), suffix, least=len(plain_layout.STOPS[0])
            )
        ids = self._ids_after(suffix)
        end = token_prefix[-1]
        if end in self.stop_ids and end in ids[:2]:  # sampled already; a blank may stand before it
            ids = ids[ids.index(end) + 1 :]
        return (*token_prefix, *ids)

    def _render(self, messages: Sequence[Message], *, reply: bool = True) -> str:
        """Returns the conversation as text; with `reply`, up to where a reply begins."""
        if self._folds:
            messages = plain_layout.folded(messages)
        if not self._chat:
            return plain_layout.render(messages, reply=reply)
        return self._tokenizer.apply_chat_template(
            [{"role": message.role, "content": message.content} for message in messages],
            tokenize=False,
            add_generation_prompt=reply,
            chat_template=self._chat,
        )

    def _takes_system(self) -> bool:
        """Returns whether the template shows a system message."""
        import jinja2

        try:
            if _PROBE[0].content in self._render(_PROBE[:2]):
                return True
        except jinja2.TemplateError:
            pass  # Some templates raise an error of their own: the message then goes to the user.
        try:
            self._render(_PROBE[1:])
        except jinja2.TemplateError as error:
            raise InputError(
                f"the chat template cannot render a conversation: {error};"
                " --model-args chat_template=none uses a plain layout"
            ) from None
        return False

    def _check_beginning(self) -> None:
        """Refuses a template that leaves a header of each reply to the model, as gpt-oss's does.

        Blanks and thinking tags are no header.
        """
        begun, shown = (
            _THINK_TAGS.sub("", text).rstrip()
            for text in (self._render(_PROBE[:2]), self._shown_reply()[0])
        )
        if shown.startswith(begun) and (header := shown[len(begun) :].strip()):
            raise InputError(
                f"the chat template has {header!r} between its generation prompt and a reply, and a"
                " task's prefill would take its place; serve the model and use openai/NAME"
                " --base-url URL"
            )

    def _shown_reply(self) -> tuple[str, str]:
        """Returns what stands before a reply in a conversation that it ends, and what after."""
        shown = self._render([*_PROBE[:2], Message("assistant", _REPLY)], reply=False)
        before, _, after = shown.rpartition(_REPLY)
        return before, after

    def _beginning(self, add_bos: bool | None) -> tuple[int, ...]:
        bos = self._tokenizer.bos_token_id
        if add_bos is None:
            add_bos = not self._chat and self._tokenizer("a").input_ids[:1] == [bos]
        if not add_bos:
            return ()
        if bos is None:
            raise InputError("add_bos_token=true: the tokenizer has no such token")
        begun = self._chat and self._ids(self._render(_PROBE[:2]))[0] == bos
        return () if begun else (bos,)

    def _extends(self) -> bool:
        """Returns whether three turns extend two, and two extend one, as the model saw them."""
        seen = ""
        for turns in range(2, len(_PROBE) + 1, 2):
            begun = self._render(_PROBE[:turns])
            if not begun.startswith(seen):
                return False
            seen = begun + (_PROBE[turns].content if turns < len(_PROBE) else "")
        shown = [*_PROBE[:2], Message("assistant", _REPLY), _PROBE[3]]
        return self._render(shown).count(_REPLY) == 1

    def _turn_end(self) -> int | None:
        if not self._chat:
            return self._tokenizer.eos_token_id
        # Base models with a chat template often name another token as the end of text.
        ids = self._ids(self._shown_reply()[1])
        special = set(self._tokenizer.all_special_ids) | set(self._tokenizer.added_tokens_decoder)
        return next((token for token in ids if token in special), None)

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False).input_ids

    def _ids_after(self, text: str) -> list[int]:
        """Returns a text's tokens as they are after another: some tokenizers begin with a blank."""
        before = self._ids("x")
        both = self._ids("x" + text)
        return both[len(before) :] if both[: len(before)] == before else self._ids(text)

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )


def _chat_template(tokenizer: Any) -> str | None:
    if not tokenizer.chat_template:
        return None
    text: str = tokenizer.get_chat_template()
    return _TODAY + text if "strftime_now" in text else text


def _unopened(text: str, prefill: str) -> str:
    """Returns the prefill without the tags that the template itself begins a reply with."""
    return _rest(text.rstrip(), prefill, least=prefill.find(">") + 1 or len(prefill))


def _rest(text: str, continuation: str, least: int) -> str:
    """Returns what of `continuation` is missing at the end of `text`.

    Fewer than `least` characters in common are chance.
    """
    for size in range(min(len(text), len(continuation)), least - 1, -1):
        if size and text.endswith(continuation[:size]):
            return continuation[size:]
    return continuation
