import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from hf_tiny import CHATML, END, forced_logprobs, model, save, tokenizer
from worlds import LINE, drawn

import spa_bench
from spa_bench.errors import ModelError, ModelGoneError
from spa_bench.models import hf
from spa_bench.models.hf import HFModel
from spa_bench.models.model import Message, ModelOptions, Reply, Request, Sampling, Scorer
from spa_bench.runner.episode import play

T = TypeVar("T")
MESSAGES = (Message("system", "An agent."), Message("user", "Turn 1"))


def ask(seed: int = 0, *, new_tokens: int = 20, **changes: Any) -> Request:
    return replace(Request(MESSAGES, "", Sampling(1.0, 1.0, new_tokens), seed), **changes)


def used(one: HFModel, use: Callable[[HFModel], Awaitable[T]]) -> T:
    """Starts a model, uses it and closes it."""

    async def main() -> T:
        await one.start()
        try:
            return await use(one)
        finally:
            await one.close()

    return asyncio.run(asyncio.wait_for(main(), 120))


def replies(one: HFModel, *requests: Request) -> list[Reply]:
    return used(one, lambda it: asyncio.gather(*map(it.generate, requests)))


def live(template: str | None = CHATML, **settings: Any) -> HFModel:
    return hf.of_live("tiny", model(), tokenizer(template), **settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("checkpoints") / "tiny-llama")


def test_a_folder_answers(folder: Path) -> None:
    one = hf.load(ModelOptions(model=str(folder), label="./tiny", device="cpu"))
    (reply,) = replies(one, ask())
    assert one.name == "./tiny"
    assert one.capabilities.append_only
    assert reply.prompt_ids is not None
    assert reply.completion_ids is not None
    assert reply.usage.prompt_tokens == len(reply.prompt_ids)
    assert reply.usage.completion_tokens == len(reply.completion_ids) == 20
    assert reply.stop_reason == "length"
    assert reply.text == tokenizer().decode(reply.completion_ids, skip_special_tokens=True)


def test_a_seed_says_the_reply_whoever_else_asks() -> None:
    requests = [ask(seed) for seed in range(12)]
    together = replies(live(), *requests)
    alone = [replies(live(), request)[0] for request in requests[:4]]
    assert [one.completion_ids for one in together[:4]] == [one.completion_ids for one in alone]
    assert len({one.completion_ids for one in together}) == 12


def test_logprobs_are_of_each_sampled_token() -> None:
    (reply,) = replies(live(), ask(sampling=Sampling(0.7, 0.9, 20)))
    assert reply.prompt_ids is not None
    assert reply.completion_ids is not None
    expected = forced_logprobs(model(), reply.prompt_ids, reply.completion_ids)
    assert reply.logprobs == pytest.approx(expected, abs=1e-4)


def test_a_reply_continues_the_prefill_without_repeating_it() -> None:
    (reply,) = replies(live(), ask(prefill="<think>"))
    assert reply.prefilled
    assert reply.prompt_ids is not None
    assert tokenizer().decode(reply.prompt_ids).endswith("<|im_start|>assistant\n<think>")
    assert not replies(live(), ask())[0].prefilled


def test_a_stop_token_ends_a_reply_and_is_among_its_tokens() -> None:
    (free,) = replies(live(), ask(3))
    assert free.completion_ids is not None
    stop = free.completion_ids[4]
    net = model()
    net.generation_config.eos_token_id = [stop]
    (reply,) = replies(hf.of_live("tiny", net, tokenizer()), ask(3))
    assert reply.completion_ids == free.completion_ids[: free.completion_ids.index(stop) + 1]
    assert reply.stop_reason == "stop"


def test_a_stop_string_ends_a_reply_and_is_not_in_its_text() -> None:
    (free,) = replies(live(), ask(3, new_tokens=60))
    stop = free.text[15:17]
    (reply,) = replies(live(), ask(3, sampling=Sampling(1.0, 1.0, 60, (stop,))))
    assert reply.text == free.text[: free.text.index(stop)]
    assert reply.stop_reason == "stop"
    assert reply.completion_ids is not None
    assert free.completion_ids is not None
    assert len(reply.completion_ids) < len(free.completion_ids)


@pytest.mark.parametrize("template", [CHATML, None])
def test_trained_tokens_are_the_sampled_tokens_over_three_turns(template: str | None) -> None:
    async def turns(one: HFModel) -> list[Reply]:
        messages, prefix, said = MESSAGES, None, list[Reply]()
        for turn in range(3):
            request = ask(turn, messages=messages, prefill="<think>", token_prefix=prefix)
            reply = await one.generate(request)
            said.append(reply)
            assert reply.prompt_ids is not None
            assert reply.completion_ids is not None
            prefix = reply.prompt_ids + reply.completion_ids
            answer = Message("assistant", "<think>" + reply.text)
            messages = (*messages, answer, Message("user", f"Turn {turn + 2}"))
        return said

    said = used(live(template), turns)
    for earlier, later in itertools.pairwise(said):
        assert earlier.prompt_ids is not None
        assert earlier.completion_ids is not None
        assert later.prompt_ids is not None
        sent = earlier.prompt_ids + earlier.completion_ids
        assert later.prompt_ids[: len(sent)] == sent
        added = tokenizer().decode(later.prompt_ids[len(sent) :])
        assert "Turn" in added
        assert added.endswith("<think>")
        assert (END in added) == (template is not None)


def test_the_episode_loop_gets_one_unbroken_row_of_tokens() -> None:
    spec = replace(drawn(LINE, limits={"new_tokens": 8}), log_tokens=True)
    one = hf.of_live("tiny", model(max_position_embeddings=8192), tokenizer())
    episode = used(one, lambda it: play(spec, it))
    tokens = [turn.tokens for turn in episode.turns if turn.tokens is not None]
    assert len(tokens) == len(episode.turns) > 1
    for earlier, later in itertools.pairwise(tokens):
        sent = earlier.prompt_ids + earlier.completion_ids
        assert later.prompt_ids[: len(sent)] == sent


def test_a_stop_string_of_the_layout_ends_a_reply_too(monkeypatch: pytest.MonkeyPatch) -> None:
    (free,) = replies(live(None), ask(5, new_tokens=40))
    stop = free.text[10:12]
    monkeypatch.setattr("spa_bench.models.plain_layout.STOPS", (stop,))
    (reply,) = replies(live(None), ask(5, new_tokens=40))
    assert reply.text == free.text[: free.text.index(stop)]
    assert reply.stop_reason == "stop"


def test_a_reply_stops_at_the_context_window() -> None:
    prompt = replies(live(), ask(new_tokens=1))[0].prompt_ids
    assert prompt is not None
    (reply,) = replies(live(max_length=len(prompt) + 7), ask())
    assert reply.usage.completion_tokens == 7
    assert reply.stop_reason == "length"


def test_a_prompt_as_long_as_the_window_is_the_models_limit_not_a_failure() -> None:
    (reply,) = replies(live(max_length=10), ask())
    assert (reply.text, reply.stop_reason, reply.completion_ids) == ("", "length", ())


def test_scores_do_not_depend_on_what_is_scored_beside_them() -> None:
    rows = [(tuple(range(1, 9 + n)), tuple(range(50, 60 + 2 * n))) for n in range(32)]

    async def both(one: HFModel) -> tuple[Any, Any]:
        alone = [await one.score(*row) for row in rows[:4]]
        return alone, await asyncio.gather(*(one.score(*row) for row in rows))

    alone, together = used(live(), both)
    for row, one, other in zip(rows, alone, together, strict=False):
        assert one == pytest.approx(other, abs=1e-4)
        assert one == pytest.approx(forced_logprobs(model(), *row), abs=1e-4)


def test_what_cannot_be_scored_is_said() -> None:
    async def bad(one: HFModel) -> None:
        assert await one.score((1,), ()) == ()
        with pytest.raises(ModelError, match="prompt"):
            await one.score((), (1,))
        with pytest.raises(ModelError, match="20 tokens"):
            await one.score((1,) * 10, (2,) * 11)

    used(live(max_length=20), bad)


@pytest.mark.parametrize("prefill", ["", "<think>the w"])  # a token of `wall` straddles
def test_a_text_is_scored_as_it_would_be_read(prefill: str) -> None:
    one = live()
    text = "all is on the left</think>"
    assert isinstance(one, Scorer)
    scored = used(one, lambda it: it.score_text(MESSAGES, prefill, text))
    rendered = (
        tokenizer().apply_chat_template(
            [{"role": m.role, "content": m.content} for m in MESSAGES],
            tokenize=False,
            add_generation_prompt=True,
        )
        + prefill
    )
    whole = tokenizer()(rendered + text, add_special_tokens=False).input_ids
    completion = whole[len(whole) - len(scored) :]
    assert tokenizer().decode(completion) == "".join(token.text for token in scored)
    assert "".join(token.text for token in scored).endswith(text)
    assert "".join(token.text for token in scored[1:]) in text
    expected = forced_logprobs(model(), whole[: -len(scored)], completion)
    assert [token.logprob for token in scored] == pytest.approx(expected, abs=1e-4)


def test_an_empty_text_has_no_tokens() -> None:
    assert used(live(), lambda it: it.score_text(MESSAGES, "<think>", "")) == ()


def test_a_model_that_is_not_running_says_so() -> None:
    with pytest.raises(ModelGoneError, match="start"):
        asyncio.run(live().generate(ask()))


def test_closing_twice_is_fine() -> None:
    async def twice(one: HFModel) -> None:
        await one.generate(ask())
        await one.close()

    used(live(), twice)


def test_one_model_is_evaluated_twice_alike(tmp_path: Path) -> None:
    nano = Path(__file__).parents[2] / "checkpoints" / "nano-base-frozenlake"
    one = hf.load(ModelOptions(model=str(nano), label="nano", device="cpu"))
    found = [
        spa_bench.evaluate(one, "frozenlake", limit=1, repeats=1, output=tmp_path / str(i)).tasks[0]
        for i in range(2)
    ]
    assert [(task.episodes, task.infrastructure) for task in found] == [(1, 0), (1, 0)]
    assert found[0].metrics["pass@1"] == found[1].metrics["pass@1"]


def test_a_live_model_answers_with_its_present_weights() -> None:
    net = model()

    async def train(one: HFModel) -> tuple[Reply, Reply]:
        before = await one.generate(ask())
        with torch.no_grad():
            net.lm_head.weight.neg_()
        return before, await one.generate(ask())

    before, after = used(hf.of_live("tiny", net, tokenizer()), train)
    assert before.completion_ids != after.completion_ids


def test_more_requests_than_rows_are_wanted_so_that_none_waits_for_company() -> None:
    assert live(batch_size=32).concurrency > 32


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_an_adapter_of_one_end_leaves_the_other_as_it_was(
    tied: bool, target: str, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    save(tmp_path / "tiny", tie_word_embeddings=tied)
    adapted = peft.get_peft_model(
        model(tie_word_embeddings=tied),
        peft.LoraConfig(r=2, target_modules=[target], init_lora_weights=False),
    )
    adapted.save_pretrained(tmp_path / "lora")
    one = hf.load(
        ModelOptions(
            model=str(tmp_path / "tiny"), label="t", device="cpu", adapter=str(tmp_path / "lora")
        )
    )
    (said,) = replies(one, ask())
    assert said.prompt_ids is not None
    assert said.completion_ids is not None
    expected = forced_logprobs(adapted.eval(), said.prompt_ids, said.completion_ids)
    assert said.logprobs == pytest.approx(expected, abs=1e-4)


def test_a_lora_adapter_changes_the_answers_and_the_identity(folder: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(
        model(), peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    )
    adapted.save_pretrained(tmp_path / "lora")
    made = [
        hf.load(ModelOptions(model=str(folder), label="tiny", device="cpu", adapter=adapter))
        for adapter in (None, str(tmp_path / "lora"))
    ]
    assert made[1].identity()["adapter"]["name"] == "lora"
    (plain,), (tuned,) = (replies(one, ask()) for one in made)
    assert plain.completion_ids != tuned.completion_ids
    assert tuned.prompt_ids is not None
    assert tuned.completion_ids is not None
    expected = forced_logprobs(adapted.eval(), tuned.prompt_ids, tuned.completion_ids)
    assert tuned.logprobs == pytest.approx(expected, abs=1e-4)
