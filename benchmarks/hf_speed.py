"""How fast `hf/` writes, beside transformers' own `generate` and its continuous batching.

    python -m benchmarks.hf_speed [--models nano,smollm2] [--turns 1,4] [--repeats 3]
        [--batch N] [--tokens N] [--dtype float32] [--device cpu] [--cuda-graphs]
        [--without continuous,peers]

Conversations of Sokoban, twice as many as a batch has rows: `hf/` writes them with all that it does
in a run but the environment. The others then get the very same prompts, token for token, turn by
turn, sorted by length, in batches of the same size, and write as many new tokens: the tokens that
end a reply are forbidden to all, so no row of a batch waits for a longer one, and `generate` is at
its best. Every figure is the median of `--repeats`, taken in turns in one process of one thread.

inspect_ai's provider for transformers and, where there is one turn, lm-eval's `hf` have the same
conversations, in processes and environments of their own (`benchmarks.peers`), and say what they
took once they had loaded the model and written two replies. Their replies do not begin with
`<think>`, for want of a prefill, and their later turns follow replies of their own.

Tokens are those written. On a CPU they are also counted by the second of processor time, which
says more where the machine is shared. Idle is the share of the time in which no forward pass runs;
passes are counted, and what one takes in the mean, prompts and single tokens together.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import peers, smollm2
from benchmarks.generate import generate
from benchmarks.watch import Pass, Watch, forbid

Ids = tuple[int, ...]

_PEERS = (
    ("inspect_ai, hf", "inspect-models", "inspect_hf.py"),
    ("lm-eval, hf", "lm-eval", "lm_eval_hf.py"),
)


@dataclass(frozen=True)
class _Setting:
    """What is measured.

    Attributes:
        rows: of a batch.
        turns: of a conversation.
        tokens: of a reply.
        repeats: of which the median is taken.
        cuda_graphs: as `hf/` takes it.
    """

    folder: Path
    device: str
    dtype: Any
    rows: int
    turns: int
    tokens: int
    repeats: int
    cuda_graphs: bool


def main() -> None:
    """Measures and prints a table."""
    import torch

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", default="nano,smollm2", help="these, or folders")
    parser.add_argument("--turns", default="1,4")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, help="rows; 8 for smollm2, else 64 by default")
    parser.add_argument("--tokens", type=int, default=32, help="of a reply")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--cuda-graphs", action="store_true", help="for hf/")
    parser.add_argument("--without", default="", help="continuous, peers: leaves those out")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| model | turns | | tokens/s | per CPU second | of generate | idle | passes | ms a pass |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in chosen.models.split(","):
        folder, rows, dtype = _model(name, chosen.device, chosen.dtype)
        for turns in map(int, chosen.turns.split(",")):
            setting = _Setting(
                folder,
                chosen.device,
                dtype,
                chosen.batch or rows,
                turns,
                chosen.tokens,
                chosen.repeats,
                chosen.cuda_graphs,
            )
            described = (
                f"{Path(name).name}, {str(dtype).removeprefix('torch.')}, {setting.rows} rows"
            )
            _print(described, setting, _measured(setting, chosen.without.split(",")))


def _model(name: str, device: str, dtype: str) -> tuple[Path, int, Any]:
    from spa_bench.models.hf_files import find
    from spa_bench.models.hf_load import load_config, resolve_dtype

    if name == "smollm2":
        folder = smollm2.fetch()[1]
    else:
        folder = Path("checkpoints/nano-base-sokoban" if name == "nano" else name)
    rows = 8 if name == "smollm2" else 64
    return folder, rows, resolve_dtype(dtype, device, load_config(find(str(folder))))


def _measured(setting: _Setting, without: Sequence[str]) -> dict[str, list[Pass]]:
    """Returns what each took, in turns so that a busy minute of the machine is everybody's."""
    from spa_bench.models import hf_load
    from spa_bench.models.hf_files import find
    from spa_bench.models.hf_template import Template, end_ids

    source = find(str(setting.folder))
    tokenizer = hf_load.load_tokenizer(source)
    ours = hf_load.load_model(source, None, setting.device, setting.dtype, None)
    # As a user of transformers would load it.
    theirs, paged = (
        hf_load.load_model(source, None, setting.device, setting.dtype, "sdpa") for _ in range(2)
    )
    ends = sorted(end_ids(ours, Template(tokenizer)))
    for model in (ours, theirs, paged):
        forbid(model, ends)
    found: dict[str, list[Pass]] = {}
    _ours(ours, tokenizer, setting)  # warm-up: memory, lazy imports
    for _ in range(setting.repeats):
        took, prompts = _ours(ours, tokenizer, setting)
        found.setdefault("hf/", []).append(took)
        found.setdefault("generate", []).append(_generate(theirs, prompts, setting))
        if "continuous" not in without:
            found.setdefault("continuous batching", []).append(_continuous(paged, prompts, setting))
        if "peers" not in without:
            for name, took in _peers(setting, ends):
                found.setdefault(name, []).append(took)
    return found


def _print(described: str, setting: _Setting, found: dict[str, list[Pass]]) -> None:
    written = 2 * setting.rows * setting.turns * setting.tokens
    rates = {
        name: statistics.median(written / one.seconds for one in passes)
        for name, passes in found.items()
    }
    for name, passes in found.items():
        processor = statistics.median(written / one.processor for one in passes)
        idle = statistics.median(1 - one.forward / one.seconds for one in passes)
        count = statistics.median(one.passes for one in passes)
        each = statistics.median(1000 * one.forward / one.passes for one in passes)
        print(
            f"| {described} | {setting.turns} | {name} | {rates[name]:.0f} |"
            f" {f'{processor:.0f}' if setting.device == 'cpu' else '–'} |"
            f" {rates[name] / rates['generate']:.2f} | {idle:.1%} | {count:.0f} | {each:.1f} |",
            flush=True,
        )


def _ours(model: Any, tokenizer: Any, setting: _Setting) -> tuple[Pass, list[list[Ids]]]:
    """Plays all conversations; returns the prompts of each turn too."""
    from spa_bench.models.hf import of_live
    from spa_bench.models.model import Message, Request, Sampling

    prompts: list[list[Ids]] = [[] for _ in range(setting.turns)]
    sampling = Sampling(1.0, 1.0, setting.tokens)

    async def converse(served: Any, number: int, begun: tuple[Message, ...]) -> None:
        messages, prefix = begun, None
        for turn in range(setting.turns):
            seed = number * setting.turns + turn
            reply = await served.generate(
                Request(messages, "<think>", sampling, seed, token_prefix=prefix)
            )
            if len(reply.completion_ids) != setting.tokens:
                raise RuntimeError(f"a reply of {len(reply.completion_ids)} tokens")
            prompts[turn].append(reply.prompt_ids)
            prefix = reply.prompt_ids + reply.completion_ids
            said = Message("assistant", "<think>" + reply.text)
            messages = (*messages, said, Message("user", _state(begun)))

    async def play() -> None:
        served = of_live(
            "speed",
            model,
            tokenizer,
            batch_size=setting.rows,
            cuda_graphs=setting.cuda_graphs,
        )
        await served.start()
        try:
            with watched:
                begun = enumerate(_conversations(2 * setting.rows))
                await asyncio.gather(*(converse(served, *one) for one in begun))
        finally:
            await served.close()

    watched = Watch(model)
    asyncio.run(play())
    return watched.result(), prompts


def _generate(model: Any, prompts: Sequence[Sequence[Ids]], setting: _Setting) -> Pass:
    with Watch(model) as watched:
        for turn in prompts:
            ordered = sorted(turn, key=len)
            for start in range(0, len(ordered), setting.rows):
                batch = ordered[start : start + setting.rows]
                written = generate(model, batch, _sampling(setting)).shape[1]
                if written != setting.tokens:
                    raise RuntimeError(f"{written} tokens were generated")
    return watched.result()


def _continuous(model: Any, prompts: Sequence[Sequence[Ids]], setting: _Setting) -> Pass:
    """One manager for all turns, with pages small enough that it can share what they begin with."""
    from transformers import ContinuousBatchingConfig

    page = 32
    longest = max(len(ids) for turn in prompts for ids in turn) + setting.tokens
    # transformers 5.17.0 has the one name, 5.23 the other.
    named = "page_size" if hasattr(ContinuousBatchingConfig, "page_size") else "block_size"
    config = ContinuousBatchingConfig(
        **{named: page},
        num_blocks=2 * setting.rows * (longest // page + 2),
        max_batch_tokens=max(2048, longest),
        max_requests_per_batch=setting.rows,
    )
    with Watch(model) as watched, _manager(model, config, setting) as manager:
        for turn in prompts:
            manager.add_requests([list(ids) for ids in turn], max_new_tokens=setting.tokens)
            for _ in turn:
                done = manager.get_result(timeout=600)
                if done is None or len(done.generated_tokens) != setting.tokens:
                    raise RuntimeError(f"continuous batching: {getattr(done, 'error', 'no reply')}")
    return watched.result()


@contextlib.contextmanager
def _manager(model: Any, config: Any, setting: _Setting) -> Generator[Any]:
    with model.continuous_batching_context_manager(
        generation_config=_sampling(setting), continuous_batching_config=config, warmup=False
    ) as manager:
        yield manager


def _peers(setting: _Setting, ends: list[int]) -> Generator[tuple[str, Pass]]:
    begun = _conversations(2 * setting.rows)
    told = {
        "folder": str(setting.folder.resolve()),
        "dtype": str(setting.dtype).removeprefix("torch."),
        "device": setting.device,
        "rows": setting.rows,
        "turns": setting.turns,
        "tokens": setting.tokens,
        "ends": ends,
        "conversations": [
            [{"role": said.role, "content": said.content} for said in messages]
            for messages in begun
        ],
        "states": [_state(messages) for messages in begun],
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "conversations.json"
        file.write_text(json.dumps(told), encoding="utf-8")
        for name, peer, script in _PEERS:
            if setting.turns == 1 or script == "inspect_hf.py":
                said = peers.run(peer, script, file, folder=Path(folder))
                yield name, Pass(**json.loads(said))


def _state(messages: Sequence[Any]) -> str:
    """Returns what the user says of a state, as the first message has it under its rules."""
    return messages[-1].content.partition("\n\n")[2]


def _sampling(setting: _Setting) -> Any:
    from transformers import GenerationConfig

    return GenerationConfig(do_sample=True, top_k=0, max_new_tokens=setting.tokens, pad_token_id=0)


def _conversations(count: int) -> list[tuple[Any, ...]]:
    """Returns the messages of first turns."""
    from spa_bench.registry import Registry
    from spa_bench.runner.rollout import EpisodeSpec, Rollout

    (task,) = Registry().resolve(["sokoban_wm"])
    boards = list(islice(task.boards[0], count))
    specs = [
        EpisodeSpec(task, boards[number % len(boards)], number // len(boards), "speed")
        for number in range(count)
    ]
    return [Rollout(spec, "<think>").ask() for spec in specs]


if __name__ == "__main__":
    main()
