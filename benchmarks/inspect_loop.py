"""What inspect_ai adds to one model call: a multi-turn loop against a model without latency.

Runs under the Python of `benchmarks.peers inspect`, so it imports inspect_ai and not spa-bench:

    PYTHON benchmarks/inspect_loop.py CONVERSATION SAMPLES REPETITIONS CONCURRENCY

CONVERSATION is a JSON file: `prompts`, the user messages of one episode, and `reply`, what the
model answers to each. Prints one JSON object with the seconds of whole `eval`s: `logged`;
`unlogged`, with no samples in the log; `fixed`, of a single sample, which is the cost of an `eval`
rather than of a call; and `calls`, as the model counted them in one `eval`. Settings are the
fastest that keep a log: no display, scores, real-time log, raw requests or control server.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import (
    ChatMessageUser,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    get_model,
    modelapi,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver


class Constant(ModelAPI):
    """Answers at once, always the same; counts its calls."""

    calls = 0

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 - the signature inspect asks for
        reply: str = "",
        connections: int = 1,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config)
        self.reply, self.connections = reply, connections

    def max_connections(self) -> int:
        return self.connections

    async def generate(self, input: Any, tools: Any, tool_choice: Any, config: Any) -> ModelOutput:
        Constant.calls += 1
        output = ModelOutput.from_content("constant", self.reply)
        output.usage = ModelUsage(input_tokens=900, output_tokens=30, total_tokens=930)
        return output


@modelapi(name="constant")
def constant() -> type[ModelAPI]:
    return Constant


@solver
def conversation(prompts: list[str]) -> Solver:
    """Asks once for each prompt, each time with the whole conversation so far."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        model = get_model()
        for turn, prompt in enumerate(prompts):
            if turn:  # the first stands in the sample
                state.messages.append(ChatMessageUser(content=prompt))
            output = await model.generate(state.messages)
            state.messages.append(output.message)
            state.output = output
        return state

    return solve


def measure(
    prompts: list[str], reply: str, samples: int, concurrency: int, log_samples: bool
) -> float:
    """Returns the wall time in seconds of one `eval`."""
    task = Task(
        dataset=MemoryDataset([Sample(input=prompts[0], id=i) for i in range(samples)]),
        solver=conversation(prompts),
    )
    model = get_model("constant/it", reply=reply, connections=concurrency)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        (done,) = eval(
            task,
            model=model,
            display="none",
            log_level="error",
            log_level_transcript="error",
            log_dir=folder,
            log_samples=log_samples,
            log_realtime=False,
            log_images=False,
            log_model_api=False,
            log_header_only=True,
            log_buffer=1000,
            ctl_server=False,
            score=False,
            max_samples=concurrency,
            max_connections=concurrency,
        )
        spent = time.perf_counter() - started
    if done.status != "success":
        raise SystemExit(f"inspect_ai's eval ended with status {done.status}")
    return spent


def main() -> None:
    """Measures and prints."""
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    samples, repetitions, concurrency = map(int, sys.argv[2:])
    said = (told["prompts"], told["reply"])
    measure(*said, 8, concurrency, True)  # what only the first eval of a process pays
    found: dict[str, list[float]] = {"logged": [], "unlogged": [], "fixed": []}
    Constant.calls = 0
    for _ in range(repetitions):
        found["logged"].append(measure(*said, samples, concurrency, True))
    calls = Constant.calls // repetitions
    for _ in range(repetitions):
        found["fixed"].append(measure(*said, 1, concurrency, True))
    for _ in range(min(2, repetitions)):
        found["unlogged"].append(measure(*said, samples, concurrency, False))
    print(json.dumps({"calls": calls, **found}))


if __name__ == "__main__":
    main()
