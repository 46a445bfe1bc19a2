"""`/chat/completions`: the conversation goes out as messages, a message comes back."""

from __future__ import annotations

from functools import partial

from spa_bench.models.model import Reply, Request
from spa_bench.models.openai_settings import Settings
from spa_bench.models.openai_wire import (
    Call,
    MalformedAnswerError,
    as_mapping,
    as_sequence,
    as_text,
    first_choice,
    read_usage,
    sampling_fields,
    stop_reason,
)


def call(settings: Settings, request: Request) -> Call[Reply]:
    """Returns what to ask for a request."""
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    body = {**sampling_fields(settings, request.sampling, request.seed), "messages": messages}
    if continues(settings, request):
        messages.append({"role": "assistant", "content": request.prefill})
        if settings.prefill == "vllm":
            body |= {"continue_final_message": True, "add_generation_prompt": False}
    return Call(
        "/chat/completions",
        {**body, **settings.extra_body},
        partial(_read, settings=settings, request=request),
    )


def continues(settings: Settings, request: Request) -> bool:
    """Returns whether the server is asked to continue the request's prefill."""
    return settings.prefill != "false" and bool(request.prefill)


def _read(answer: object, settings: Settings, request: Request) -> Reply:
    choice = first_choice(answer)
    message = as_mapping(choice.get("message"))
    if not message:
        raise MalformedAnswerError("the answer has no message")
    content = message.get("content")
    text = as_text(content) or as_text(message.get("refusal"))
    prefilled = continues(settings, request)
    if prefilled and settings.prefill == "true":
        # llama.cpp repeats the prefill in its reply, others do not.
        text = text.removeprefix(request.prefill)
    thoughts = (as_mapping(part).get("thinking") for part in as_sequence(content))
    reasoning = (
        as_text(message.get("reasoning_content"))  # DeepSeek, llama.cpp, SGLang
        or as_text(message.get("reasoning"))  # vLLM, OpenRouter, Groq
        or "".join(map(as_text, thoughts))  # Mistral
    )
    return Reply(
        text=text,
        stop_reason=stop_reason(choice),
        usage=read_usage(as_mapping(answer).get("usage")),
        prefilled=prefilled,
        reasoning=reasoning or None,
    )
