"""A real small model through two backends: SmolLM2-135M-Instruct by `hf/` and by llama.cpp.

    python -m benchmarks.first_results [--tasks sokoban] [--boards 32] [--repeats 4] [--threads 2]
                                       [--backend hf|server]

Fetches the weights, plays the same boards through both, prints both tables and what the replies
were like. Interrupt it at will: started again it goes on. Leave it a quiet machine: on two cores it
takes tens of minutes, and many times as long beside anything else that computes. On such a machine
one process a backend with `--threads 1` each wastes least.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks.llama_server import serving
from benchmarks.smollm2 import GGUF, cache_folder
from spa_bench.evaluation import evaluate
from spa_bench.results.results import Results
from spa_bench.results.table import format_results
from spa_bench.runner.log import RunFolder


def main() -> None:
    """Plays through both backends, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", default="sokoban")
    parser.add_argument("--boards", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--backend", choices=("hf", "server", "both"), default="both")
    parser.add_argument("--output", type=Path, default=Path("runs/first-results"))
    arguments = parser.parse_args()

    fetched = subprocess.run(
        [sys.executable, "-m", "benchmarks.smollm2"], check=True, capture_output=True, text=True
    )
    folder = next(line for line in fetched.stdout.split() if Path(line).is_dir())
    play = {"limit": arguments.boards, "repeats": arguments.repeats, "resume": True}
    os.environ.setdefault("OMP_NUM_THREADS", str(arguments.threads))
    results = list[Results]()
    if arguments.backend != "server":
        output = arguments.output / "hf"
        results.append(evaluate(folder, arguments.tasks, output=output, **play))
    if arguments.backend != "hf":
        with serving(
            cache_folder() / GGUF, parallel=16, context=8192, threads=arguments.threads
        ) as server:
            results.append(
                evaluate(
                    f"openai/{server.model}",
                    arguments.tasks,
                    output=arguments.output / "server",
                    base_urls=(server.base_url,),
                    args={"prefill": "true"},
                    concurrency=16,
                    **play,
                )
            )
    print(format_results(results, "markdown"))
    for name in ("hf", "server"):
        if arguments.backend in (name, "both"):
            print(f"\n{name}: {_replies(arguments.output / name)}")


def _replies(folder: Path) -> str:
    """Says how the replies of a run could be read, and the commonest beginnings of them."""
    parses, stops, beginnings = Counter[str](), Counter[str](), Counter[str]()
    for episode in RunFolder(folder).episodes():
        for turn in episode.turns:
            parses[turn.parse] += 1
            stops[turn.stop_reason] += 1
            beginnings[" ".join(turn.reply[:80].split())] += 1
    common = "\n".join(f"  {n:5} {text!r}" for text, n in beginnings.most_common(8))
    return (
        f"replies read as {dict(parses)}, ended by {dict(stops)}; commonest beginnings:\n{common}"
    )


if __name__ == "__main__":
    main()
