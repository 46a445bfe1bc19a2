import re
from typing import Any

import pytest
from hf_tiny import CHATML, END, tokenizer
from tokenizers import normalizers

from spa_bench.errors import InputError
from spa_bench.models.hf_template import Template
from spa_bench.models.model import Message
from spa_bench.models.stop_strings import cut

STRIPS_REASONING = CHATML.replace(
    "message['content']", "message['content'].split('</think>')[-1]"
).replace("{{ '<|im_start|>assistant\n' }}", "{{ '<|im_start|>assistant\n<think>\n' }}")
REFUSES_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML
)
IGNORES_SYSTEM = CHATML.replace(
    "{% for message in messages %}",
    "{% for message in messages if message['role'] != 'system' %}",
)
OPENS_THINK = CHATML.replace("assistant\n' }}", "assistant\n<think>' }}")
DATED = "{{ strftime_now('%d %b %Y') }}" + CHATML
BLANK_BEFORE_END = CHATML.replace("'<|im_end|>\n'", "' <|im_end|>\n'")
# A thinking block before the last reply as Qwen3 has it; one that the generation prompt opens.
EMPTY_THINK = CHATML.replace(
    "+ message['content']",
    "+ ('<think>\n\n</think>\n\n' if loop.last and message['role'] == 'assistant' else '')"
    " + message['content']",
)
OPENS_EMPTY_THINK = EMPTY_THINK.replace(
    "{{ '<|im_start|>assistant\n' }}", "{{ '<|im_start|>assistant\n<think>\n' }}"
)
NO_THINK = CHATML.replace("assistant\n' }}", "assistant\n<think>\n\n</think>\n\n' }}")
BLANK_BEFORE_REPLY = CHATML.replace("{{ '<|im_start|>assistant\n' }}", "<|im_start|>assistant")
# As gpt-oss has it: the model writes which channel it speaks on.
HARMONY = (
    "{% for message in messages %}{{ '<|start|>' + message['role'] }}"
    "{% if message['role'] == 'assistant' %}<|channel|>final{% endif %}"
    "{{ '<|message|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)

FIRST = (Message("system", "An agent."), Message("user", "Turn 1"))
SECOND = (*FIRST, Message("assistant", "<think>a"), Message("user", "Turn 2"))


def tokens(text: str) -> tuple[int, ...]:
    return tuple(tokenizer(None)(text, add_special_tokens=False).input_ids)


def shown(template: Template, *arguments: Any) -> str:
    return tokenizer(None).decode(template.encode(*arguments))


def test_a_prompt_is_the_chat_template_and_then_the_prefill() -> None:
    assert shown(Template(tokenizer()), FIRST, "<think>") == (
        "<|im_start|>system\nAn agent.<|im_end|>\n<|im_start|>user\nTurn 1<|im_end|>\n"
        "<|im_start|>assistant\n<think>"
    )


@pytest.mark.parametrize(("tokenizers_own", "kind"), [(None, "auto"), (CHATML, "none")])
def test_without_a_chat_template_roles_stand_on_lines_of_their_own(
    tokenizers_own: str | None, kind: Any
) -> None:
    template = Template(tokenizer(tokenizers_own), kind)
    assert shown(template, SECOND, "<think>") == (
        "### System:\nAn agent.\n### User:\nTurn 1\n### Assistant:\n<think>a\n"
        "### User:\nTurn 2\n### Assistant:\n<think>"
    )
    assert template.stops


@pytest.mark.parametrize("ending", ["", END])
@pytest.mark.parametrize("kind", ["auto", "none"])
def test_a_later_turn_extends_what_was_sent_and_sampled(kind: Any, ending: str) -> None:
    template = Template(tokenizer(), kind)
    sampled = (*template.encode(FIRST, "<think>"), *tokens("a"), *tokens(ending))
    prompt = template.encode(SECOND, "<think>", sampled)
    assert template.append_only
    assert prompt[: len(sampled)] == sampled
    if kind == "auto":
        assert prompt == template.encode(SECOND, "<think>")


def test_sampled_tokens_stay_where_the_tokenizer_would_have_chosen_others() -> None:
    template = Template(tokenizer())
    odd = tokens("<thi") + tokens("nk>a")
    assert odd != tokens("<think>a")
    sampled = (*template.encode(FIRST), *odd)
    assert template.encode(SECOND, "", sampled)[: len(sampled)] == sampled


def test_a_sampled_end_of_turn_is_not_repeated_after_a_blank() -> None:
    template = Template(tokenizer(BLANK_BEFORE_END))
    sampled = (*template.encode(FIRST), *tokens("<think>a" + END))
    text = tokenizer(None).decode(template.encode(SECOND, "", sampled))
    assert "<think>a<|im_end|>\n<|im_start|>user" in text


def test_a_stop_string_that_was_sampled_is_not_repeated() -> None:
    template = Template(tokenizer(None))
    sampled = (*template.encode(FIRST), *tokens("<think>a\n### User:"))
    assert tokenizer(None).decode(template.encode(SECOND, "", sampled)) == shown(template, SECOND)


def test_a_tokenizer_that_begins_with_a_blank_puts_none_between_two_turns() -> None:
    made: Any = tokenizer(None)
    made.backend_tokenizer.normalizer = normalizers.Prepend(" ")
    template = Template(made)
    sampled = (*template.encode(FIRST, "<think>"), *tokens("a\n### User:"))
    said = template.encode(SECOND, "<think>", sampled)[len(sampled) :]
    assert tokenizer(None).decode(said).startswith("\nTurn 2")


def test_a_template_that_strips_earlier_reasoning_is_rendered_anew() -> None:
    template = Template(tokenizer(STRIPS_REASONING))
    assert not template.append_only
    assert template.encode(SECOND, "", (1, 2, 3)) == template.encode(SECOND, "")


@pytest.mark.parametrize("chat", [REFUSES_SYSTEM, IGNORES_SYSTEM])
def test_a_template_without_a_system_role_gets_it_in_the_first_user_message(chat: str) -> None:
    template = Template(tokenizer(chat))
    assert "user\nAn agent.\n\nTurn 1<|im_end|>" in shown(template, FIRST)
    assert template.append_only
    assert template.identity()["system"] == "in the first user message"


def test_a_template_that_renders_nothing_is_refused_with_a_way_out() -> None:
    with pytest.raises(InputError, match="chat_template=none"):
        Template(tokenizer("{{ raise_exception('only tools') }}"))


def test_a_template_that_leaves_a_header_of_each_reply_to_the_model_is_refused() -> None:
    with pytest.raises(InputError) as refused:
        Template(tokenizer(HARMONY))
    assert str(refused.value) == (
        "the chat template has '<|channel|>final<|message|>' between its generation prompt and a"
        " reply, and a task's prefill would take its place; serve the model and use openai/NAME"
        " --base-url URL"
    )


@pytest.mark.parametrize(
    "chat", [EMPTY_THINK, OPENS_EMPTY_THINK, OPENS_THINK, NO_THINK, BLANK_BEFORE_REPLY]
)
def test_blanks_and_thinking_tags_before_a_reply_are_no_header(chat: str) -> None:
    begun = shown(Template(tokenizer(chat)), FIRST, "<think>")
    assert re.search(r"<\|im_start\|>assistant\s*(<think>\s*</think>\s*)?<think>$", begun)


def test_a_tag_that_the_template_opens_itself_is_not_opened_twice() -> None:
    template = Template(tokenizer(OPENS_THINK))
    assert shown(template, FIRST, "<think>").endswith("assistant\n<think>")
    assert shown(template, FIRST, "<think><observation>").endswith("\n<think><observation>")


def test_letters_in_common_are_no_tag() -> None:
    assert shown(Template(tokenizer()), FIRST, "t>").endswith("assistant\nt>")
    assert shown(Template(tokenizer()), FIRST, "turn").endswith("assistant\nturn")


def test_a_prompt_does_not_depend_on_the_day() -> None:
    assert shown(Template(tokenizer(DATED)), FIRST).startswith("26 Jul 2024<|im_start|>")


def test_the_end_of_a_turn_ends_a_reply_also_where_the_tokenizer_names_another_token() -> None:
    made = tokenizer()
    made.eos_token = "<|endoftext|>"
    end = made.convert_tokens_to_ids(END)
    assert Template(made).stop_ids == {made.eos_token_id, end}
    assert Template(made, "none").stop_ids == {made.eos_token_id}


@pytest.mark.parametrize("kind", ["auto", "none"])
def test_the_first_token_is_as_asked(kind: Any) -> None:
    made = tokenizer("{{ messages[0]['content'] }}{{ messages[-1]['content'] }}")
    bos = made.bos_token_id
    assert Template(made, kind, add_bos=True).encode(FIRST)[0] == bos
    assert Template(made, kind, add_bos=False).encode(FIRST)[0] != bos


def test_a_first_token_that_the_template_writes_is_not_doubled() -> None:
    first, second = Template(tokenizer(), add_bos=True).encode(FIRST)[:2]
    assert first == tokenizer().bos_token_id != second


def test_text_has_no_special_tokens_and_keeps_its_leading_space() -> None:
    template = Template(tokenizer())
    assert template.text(tokens("the wall"), tokens(" is" + END)) == " is"


@pytest.mark.parametrize("stop", ["</answer>", "\n", "ö", " end", "swer>"])
def test_a_stop_string_is_seen_when_its_last_character_is_written(stop: str) -> None:
    template = Template(tokenizer())
    reply = f"<answer>Uö p</answer>\n or{stop} and so on"
    written = tokens(reply)
    ends = template.stopper((5, 6, 7), ("never", stop))
    assert ends is not None
    first = next(i for i in range(1, len(written) + 1) if ends(written[:i]))
    before, upto = (template.text((5,), written[:i]) for i in (first - 1, first))
    assert stop not in before
    assert cut(upto, ("never", stop)) == reply[: reply.index(stop)]


def test_without_stop_strings_nothing_is_looked_for() -> None:
    assert Template(tokenizer()).stopper((1,), ("",)) is None
    assert cut("as it is", ()) == "as it is"


def test_identity_tells_templates_apart() -> None:
    names = [
        Template(made, kind).identity()["chat_template"]
        for made, kind in [(tokenizer(), "auto"), (tokenizer(DATED), "auto"), (tokenizer(), "none")]
    ]
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"sha256:[0-9a-f]{16}|plain/1", name) for name in names)
