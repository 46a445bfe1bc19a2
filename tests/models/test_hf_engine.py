from collections import deque
from typing import Any
from unittest import mock

import pytest
import torch
import transformers
from hf_jobs import (
    assert_as_one_plain_call,
    assert_same,
    engine,
    finish,
    jobs,
    net,
    prompt,
    written_alone,
)
from hf_tiny import VOCABULARY, forced_logprobs, model, room_for

from spa_bench.errors import ModelError
from spa_bench.models.hf_batcher import Job
from spa_bench.models.hf_engine import HFEngine

KINDS = ["llama", "qwen2", "sliding", "eager"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_row_says_does_not_depend_on_its_batch(kind: str) -> None:
    todo = jobs(20)
    finish(engine(kind), todo)
    assert_same(todo, written_alone(kind, 20, 24))


@pytest.mark.parametrize("kind", KINDS)
def test_nor_on_when_it_joins_and_who_leaves(kind: str) -> None:
    todo = jobs(20)
    finish(engine(kind, batch_size=6, prefill=64), todo)
    assert_same(todo, written_alone(kind, 20, 24))


@pytest.mark.parametrize("kind", KINDS)
def test_logprobs_are_those_of_one_plain_call(kind: str) -> None:
    todo = jobs(6)
    finish(engine(kind), todo)
    assert_as_one_plain_call(net(kind), todo)


def test_a_reply_longer_than_the_caches_room_is_whole() -> None:
    (job,) = finish(engine(), [Job(prompt=prompt(1), new_tokens=150, seed=3)])
    assert len(job.completion) == 150
    expected = forced_logprobs(net("llama"), job.prompt, job.completion)
    assert job.logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_is_what_transformers_generates(kind: str) -> None:
    todo = jobs(5, temperature=0.0)
    finish(engine(kind), todo)
    for job in todo:
        ids = torch.tensor([job.prompt])
        greedy = net(kind).generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=job.new_tokens,
            pad_token_id=0,
        )
        assert job.completion == greedy[0, len(job.prompt) :].tolist()


def test_a_seed_says_what_is_drawn() -> None:
    first, again, other = (Job(prompt=prompt(4), new_tokens=30, seed=s) for s in (5, 5, 6))
    finish(engine(), [first, again, other])
    assert first.completion == again.completion != other.completion


def test_each_row_has_its_own_temperature_and_top_p() -> None:
    settings = [(0.0, 1.0), (1.0, 1.0), (1.0, 0.5), (0.3, 1.0)]
    made = [
        [
            Job(prompt=prompt(n), new_tokens=15, seed=n, temperature=temperature, top_p=top_p)
            for n, (temperature, top_p) in enumerate(settings * 2)
        ]
        for _ in range(2)
    ]
    finish(engine(), made[0])
    for job in made[1]:
        finish(engine(), [job])
    assert_same(made[0], made[1])


def test_a_row_ends_with_its_stop_token_and_the_others_go_on() -> None:
    free = written_alone("llama", 20, 24)
    stop = free[3].completion[5]
    todo = jobs(20)
    finish(engine(stop_ids=[stop]), todo)
    for job, unstopped in zip(todo, free, strict=True):
        whole = unstopped.completion
        stops = stop in whole
        assert job.completion == (whole[: whole.index(stop) + 1] if stops else whole)
        assert job.stop_reason == ("stop" if stops else "length")


def test_short_replies_are_handed_out_before_long_ones_of_the_same_batch() -> None:
    todo = [Job(prompt=prompt(n), new_tokens=count) for n, count in enumerate((9, 2, 5))]
    ended = finish(engine(), todo)
    assert [job.new_tokens for job in ended] == [2, 5, 9]


def test_an_abandoned_row_stops_costing_and_an_abandoned_request_never_starts() -> None:
    running, waiting = jobs(2, 500)
    kept = Job(prompt=prompt(2), new_tokens=3)
    one = engine(batch_size=2)
    assert not one.advance(deque([running, kept]))
    running.abandoned = waiting.abandoned = True
    assert one.advance(deque([waiting])) == [kept]
    assert not one.active
    assert len(running.completion) <= 2
    assert not waiting.completion


def test_a_row_that_is_abandoned_while_it_is_read_stops_nobody() -> None:
    one, todo = engine(), jobs(16)
    read = one._forward

    def forward(ids: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        todo[3].abandoned |= ids.shape[1] > 1
        return read(ids, *args, **kwargs)

    one._forward = mock.Mock(wraps=read, side_effect=forward, vocabulary=read.vocabulary)
    finish(one, todo)
    others = [job for job in todo if job is not todo[3]]
    expected = [job for job in written_alone("llama", 16, 24) if job.seed != 3]
    assert_same(others, expected)


def gpt2(window: int) -> Any:
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=window,
        bos_token_id=None,
        eos_token_id=None,
    )
    return transformers.AutoModelForCausalLM.from_config(config).eval()


def test_padding_stands_at_no_position_that_a_model_has_not() -> None:
    learned = gpt2(128)
    full = Job(prompt=tuple(range(1, 121)), given=tuple(range(8)))
    other = Job(prompt=tuple(range(2, 102)), given=tuple(range(20)))
    finish(HFEngine(learned, (), 8, 4096), [full, other])
    assert_as_one_plain_call(learned, (full, other))


def test_a_bias_that_is_made_of_the_mask_is_that_of_the_row() -> None:
    config = transformers.FalconConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        alibi=True,
        bos_token_id=None,
        eos_token_id=None,
    )
    falcon = transformers.AutoModelForCausalLM.from_config(config).eval()
    todo = jobs(8)
    finish(HFEngine(falcon, (), 8, 4096), todo)
    assert_as_one_plain_call(falcon, todo)


def test_without_memory_for_the_batch_it_is_halved_and_nobody_notices() -> None:
    todo, one = jobs(20), engine(batch_size=16)
    with room_for(net("llama"), rows=5) as seen:
        finish(one, todo)
    assert one.batch_size == 4
    assert max(seen) <= 5
    assert_same(todo, written_alone("llama", 20, 24))


def test_memory_that_runs_out_on_the_way_costs_no_token() -> None:
    todo, one = jobs(8), engine(batch_size=8)
    waiting = deque(todo)
    for _ in range(5):
        one.advance(waiting)
    with room_for(net("llama"), rows=4):
        while waiting or one.active:
            one.advance(waiting)
    assert one.batch_size == 4
    assert_same(todo, written_alone("llama", 20, 24)[:8])


@pytest.mark.parametrize("given", [None, (1, 2, 3)])
def test_a_request_that_does_not_fit_alone_fails(given: tuple[int, ...] | None) -> None:
    todo = [Job(prompt=prompt(n), given=given, new_tokens=5) for n in range(3)]
    with room_for(net("llama"), rows=0):
        finish(engine(), todo)
    for job in todo:
        assert isinstance(job.error, ModelError)
        assert "out of memory with a single request" in str(job.error)


@pytest.mark.parametrize(
    "said",
    [
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate ..",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_a_plain_error_may_say_that_memory_ran_out(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: Any) -> None:
        raise RuntimeError(said)

    one = engine()
    monkeypatch.setattr(one, "_model", full)
    (job,) = finish(one, jobs(1))
    assert isinstance(job.error, ModelError)


def test_other_errors_of_the_device_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(**_: Any) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    one = engine()
    monkeypatch.setattr(one, "_model", lost)
    with pytest.raises(RuntimeError, match="launch failure"):
        finish(one, jobs(1))


def test_logits_that_are_no_numbers_are_the_machines_failure_not_a_reply() -> None:
    broken = model()
    with torch.no_grad():
        broken.lm_head.weight[7] = torch.nan
    (job,) = finish(HFEngine(broken, [], 4, 4096), jobs(1))
    assert isinstance(job.error, ModelError)
    assert "float32" in str(job.error)


@pytest.mark.parametrize("kind", KINDS)
def test_given_tokens_score_the_same_alone_and_among_32(kind: str) -> None:
    given = [tuple(job.completion) for job in written_alone(kind, 20, 24)]
    together = [Job(prompt=prompt(n), given=given[n % 20][: 1 + n % 17]) for n in range(32)]
    finish(engine(kind), together)
    for job in together:
        assert job.given is not None
        alone = Job(prompt=job.prompt, given=job.given)
        finish(engine(kind), [alone])
        assert job.logprobs == pytest.approx(alone.logprobs, abs=1e-4)
        expected = forced_logprobs(net(kind), job.prompt, job.given)
        assert job.logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_that_several_texts_continue_is_read_once(kind: str) -> None:
    together = [
        Job(
            prompt=prompt(n),
            given=tuple((7 * n + 3 * k + i * i) % VOCABULARY for i in range(1 + k)),
        )
        for n in range(4)
        for k in range(8)
    ]
    read = 0

    def count(_: Any, __: Any, inputs: dict[str, Any]) -> None:
        nonlocal read
        read += inputs["input_ids"].numel()

    hook = net(kind).register_forward_pre_hook(count, with_kwargs=True)
    finish(engine(kind, batch_size=28), together)  # three and a half prompts' texts
    hook.remove()
    prompts = [len(prompt(n)) for n in range(4)]
    assert read == 3 * max(prompts[:3]) + prompts[3] + len(together) * (8 - 1)
    assert_as_one_plain_call(net(kind), together)


def test_scoring_in_small_batches_gives_the_same() -> None:
    together = [Job(prompt=prompt(n // 3), given=prompt(n)) for n in range(24)]
    finish(engine(prefill=64), together)
    assert_as_one_plain_call(net("llama"), together)


def test_scoring_and_writing_go_on_side_by_side() -> None:
    expected = written_alone("llama", 20, 24)
    writing = jobs(20)
    scoring = [Job(prompt=job.prompt, given=tuple(job.completion)) for job in expected]
    one, waiting = engine(), deque([*writing[:10], *scoring, *writing[10:]])
    while waiting or one.active:
        one.advance(waiting)
    assert_same(writing, expected)
    for score, job in zip(scoring, expected, strict=True):
        assert score.logprobs == pytest.approx(job.logprobs, abs=1e-4)
