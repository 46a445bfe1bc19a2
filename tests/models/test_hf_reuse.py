"""What is kept of earlier turns changes how much is read, and nothing else."""

import asyncio
import itertools
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from hf_jobs import assert_as_one_plain_call, assert_same, finish, net, prompt
from hf_tiny import CHATML, VOCABULARY, forced_logprobs, model, room_for, tokenizer

from spa_bench.models import hf
from spa_bench.models.hf_batcher import Job
from spa_bench.models.hf_engine import HFEngine
from spa_bench.models.hf_parked import Weights
from spa_bench.models.model import Message, Reply, Request, Sampling

KINDS = ["llama", "qwen2", "sliding"]
PLENTY = 2**30
A_TOKEN = 2 * 2 * 2 * 8 * 4
"""Bytes of two layers' keys and values, two heads of eight float32 numbers."""


def engine(kind: str = "llama", *, batch_size: int = 64, parked: int = PLENTY) -> HFEngine:
    return HFEngine(net(kind), (), batch_size, prefill_tokens=512, parked_bytes=parked)


def first_turn(number: int, **settings: Any) -> Job:
    return Job(prompt=prompt(number), new_tokens=12 + number % 7, seed=number, **settings)


def next_turn(job: Job) -> Job:
    said = (*job.prompt, *job.completion)
    asked = tuple((len(said) * 5 + i * 3) % VOCABULARY for i in range(2 + len(said) % 9))
    again = Job(prompt=said + asked, earlier=len(said), new_tokens=job.new_tokens, seed=job.seed)
    return replace(again, temperature=job.temperature)


def conversations(one: HFEngine, jobs: Sequence[Job], turns: int) -> list[list[Job]]:
    """Plays turn after turn, each conversation as soon as its last turn is over."""
    played = [[job] for job in jobs]
    waiting = deque(jobs)
    while waiting or one.active:
        for job in one.advance(waiting):
            (row,) = (row for row in played if row[-1] is job)
            if len(row) < turns:
                row.append(next_turn(job))
                waiting.append(row[-1])
    return played


def twelve(one: HFEngine, temperature: float) -> list[list[Job]]:
    jobs = [first_turn(number, temperature=temperature) for number in range(12)]
    return conversations(one, jobs, 4)


@cache
def without_reuse(kind: str, temperature: float) -> list[list[Job]]:
    return twelve(engine(kind, batch_size=5, parked=0), temperature)


@contextmanager
def tokens_read() -> Generator[list[int]]:
    """Yields how many tokens, padding included, each forward pass took."""
    seen = list[int]()

    def watch(module: Any, arguments: Any, named: Any) -> None:
        seen.append(named["input_ids"].numel())

    hook = net("llama").register_forward_pre_hook(watch, with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("batch_size", "temperature", "kind"),
    [(1, 1.0, "llama"), (1, 0.0, "sliding"), *itertools.product((6, 64), (0.0, 1.0), KINDS)],
)
def test_replies_are_those_without_reuse(batch_size: int, temperature: float, kind: str) -> None:
    with_reuse = twelve(engine(kind, batch_size=batch_size), temperature)
    for found, expected in zip(with_reuse, without_reuse(kind, temperature), strict=True):
        assert_same(found, expected)
        assert all(job.reused for job in found[1:])
        assert not any(job.reused for job in expected)


@pytest.mark.parametrize("kind", KINDS)
def test_logprobs_of_a_later_turn_are_those_of_one_plain_call(kind: str) -> None:
    (turns,) = conversations(engine(kind), [first_turn(9)], 4)
    assert_as_one_plain_call(net(kind), turns)


def test_only_what_is_new_is_read() -> None:
    one, first = engine(), first_turn(9)
    finish(one, [first])
    later = next_turn(first)
    later.new_tokens = 1
    with tokens_read() as read:
        finish(one, [later])
    # The last token of a reply was written and never read.
    assert read == [len(later.prompt) - later.earlier + 1]
    assert later.reused == later.earlier - 1


def test_a_prompt_that_is_all_new_does_not_make_the_others_read_theirs_again() -> None:
    one, firsts = engine(), [first_turn(number) for number in range(16)]
    finish(one, firsts)
    later = [next_turn(job) for job in firsts]
    new = Job(prompt=tuple(range(200)))
    finish(one, [*later, new])
    assert new.reused == 0
    for job in later:
        assert job.reused > len(prompt(0))


def test_a_conversation_that_was_changed_is_read_from_the_start() -> None:
    one, first = engine(), first_turn(9)
    finish(one, [first])
    later = next_turn(first)
    later.prompt = ((later.prompt[0] + 1) % VOCABULARY, *later.prompt[1:])
    alone = replace(later, completion=[], logprobs=[])
    finish(one, [later])
    finish(engine(parked=0), [alone])
    assert later.reused == 0
    assert_same([later], [alone])


def test_what_came_first_goes_first_when_there_is_no_room() -> None:
    firsts = [first_turn(number) for number in (1, 2, 3)]
    room = sum(len(job.prompt) + job.new_tokens - 1 for job in firsts[1:]) * A_TOKEN
    one = engine(parked=room)
    for job in firsts:
        finish(one, [job])
    later = [next_turn(job) for job in firsts]
    alone = [next_turn(job) for job in firsts]
    finish(one, later)
    finish(engine(parked=0), alone)
    assert [job.reused > 0 for job in later] == [False, True, True]
    assert_same(later, alone)


def test_what_is_kept_stays_below_the_limit() -> None:
    limit = 100 * A_TOKEN
    one = engine(parked=limit, batch_size=4)
    sizes = list[int]()
    waiting = deque(first_turn(number) for number in range(20))
    while waiting or one.active:
        one.advance(waiting)
        sizes.append(one.parked_bytes)
    assert 0 < max(sizes) <= limit


def test_an_abandoned_reply_is_not_kept() -> None:
    one, gone = engine(), first_turn(9)
    waiting = deque([gone])
    one.advance(waiting)
    gone.abandoned = True
    finish(one, [])
    one.advance(waiting)
    assert one.parked_bytes == 0


def test_an_abandoned_later_turn_leaves_the_others_alone() -> None:
    one, firsts = engine(), [first_turn(number) for number in range(4)]
    finish(one, firsts)
    later, alone = ([next_turn(job) for job in firsts] for _ in range(2))
    waiting = deque(later)
    one.advance(waiting)
    later[1].abandoned = True
    while one.active:
        one.advance(waiting)
    finish(engine(parked=0), alone)
    assert_same([later[0], *later[2:]], [alone[0], *alone[2:]])


def test_without_memory_what_is_kept_goes_before_the_batch_is_halved() -> None:
    one, firsts = engine(), [first_turn(number) for number in range(7)]
    finish(one, firsts)
    later, alone = ([next_turn(job) for job in firsts[1:]] for _ in range(2))
    waiting = deque(later)
    with room_for(net("llama"), rows=5):
        one.advance(waiting)
    assert one.parked_bytes == 0
    assert list(waiting) == later
    assert one.batch_size == 64
    finish(one, waiting)
    finish(engine(parked=0), alone)
    assert_same(later, alone)


def test_a_row_of_numbers_that_are_none_spoils_nobody_who_takes_its_place() -> None:
    broken = model()
    with torch.no_grad():
        broken.model.embed_tokens.weight[7] = torch.nan
    one = HFEngine(broken, (), 8, 512, PLENTY)
    bad = [Job(prompt=(7,) * 40, new_tokens=5) for _ in range(4)]
    finish(one, bad)
    assert all(job.error is not None for job in bad)
    good, alone = (
        [Job(prompt=(3,) * length, new_tokens=20, seed=length) for length in (2, 3, 5, 60)]
        for _ in range(2)
    )
    finish(one, good)
    finish(engine("llama", parked=0), alone)
    assert_same(good, alone)


@pytest.mark.parametrize("fused", [False, True])
def test_a_model_that_was_trained_between_two_turns_reads_everything_again(fused: bool) -> None:
    trained = model()
    one = HFEngine(trained, (), 8, 512, PLENTY)
    first = first_turn(9)
    finish(one, [first])
    later = next_turn(first)
    optimizer: Any = torch.optim.AdamW(trained.parameters(), lr=0.1, fused=fused)
    trained(input_ids=torch.tensor([first.prompt])).logits.logsumexp(-1).mean().backward()
    optimizer.step()
    finish(one, [later])
    assert later.reused == 0
    expected = forced_logprobs(trained, later.prompt, later.completion)
    assert later.logprobs == pytest.approx(expected, abs=1e-4)


def test_weights_that_are_replaced_are_noticed() -> None:
    weights = Weights(net := model())
    before = weights.state()
    assert weights.state() == before
    net.load_state_dict({n: w + 1 for n, w in net.state_dict().items()}, assign=True)
    assert weights.state() != before


def replies(net: Any, template: str | None, turns: int) -> list[Reply]:
    async def main() -> list[Reply]:
        one = hf.of_live("tiny", net, tokenizer(template))
        messages: tuple[Message, ...] = (Message("system", "An agent."), Message("user", "Turn 1"))
        said, prefix = list[Reply](), None
        await one.start()
        for turn in range(turns):
            request = Request(messages, "<think>", Sampling(1.0, 1.0, 9), turn, token_prefix=prefix)
            said.append(reply := await one.generate(request))
            prefix = (reply.prompt_ids or ()) + (reply.completion_ids or ())
            answer = Message("assistant", "<think>" + reply.text)
            messages = (*messages, answer, Message("user", f"Turn {turn + 2}"))
        await one.close()
        return said

    return asyncio.run(asyncio.wait_for(main(), 120))


@pytest.mark.parametrize("template", [CHATML, None])
def test_a_reply_says_how_much_of_its_prompt_was_not_read_again(template: str | None) -> None:
    first, *later = replies(model(), template, 3)
    assert first.usage.cached_tokens == 0
    earlier = first
    for reply in later:
        assert reply.usage.cached_tokens is not None
        before = len(earlier.prompt_ids or ()) + len(earlier.completion_ids or ())
        assert reply.usage.cached_tokens == before - 1
        earlier = reply


def test_a_lora_adapter_is_in_what_is_kept() -> None:
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(
        model(), peft.LoraConfig(r=2, target_modules=["k_proj", "v_proj"], init_lora_weights=False)
    ).eval()
    for reply in replies(adapted, CHATML, 3):
        assert reply.prompt_ids is not None
        assert reply.completion_ids is not None
        expected = forced_logprobs(adapted, reply.prompt_ids, reply.completion_ids)
        assert reply.logprobs == pytest.approx(expected, abs=1e-4)


def test_where_not_all_can_be_kept_some_are_read_once_and_not_all_again_and_again() -> None:
    room = 4 * 120 * A_TOKEN
    played = conversations(
        engine("llama", batch_size=2, parked=room), [first_turn(n) for n in range(8)], 5
    )
    without = conversations(engine("llama", parked=0), [first_turn(n) for n in range(8)], 5)
    for found, expected in zip(played, without, strict=True):
        assert_same(found, expected)
    later = [job for turns in played for job in turns[1:]]
    assert sum(job.reused > 0 for job in later) > len(later) // 2
