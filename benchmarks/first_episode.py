"""How long until something has been played: one episode, one sample, one item, with nothing to ask.

    python -m benchmarks.first_episode [--rounds 5]

Whole commands from start to end, one after the other in every round, after one that does not count
(it compiles bytecode): `spa-bench evaluate` of one episode by a baseline; `inspect eval` of one
sample by its mock model, no display; `lm-eval run` of one item of a local file by its dummy model,
offline. Figures are medians; CPU time is that of the command and all that it waited for.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks import peers
from benchmarks.claims.process import spa_bench, timed

_INSPECT = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes


@task
def one():
    return Task(dataset=[Sample(input="Say hello.", target="hello")], scorer=includes())
"""
_LM_EVAL = """
task: one
dataset_path: json
dataset_kwargs: {data_files: {test: one.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n"]}
metric_list: [{metric: exact_match}]
"""


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        commands = _commands(Path(folder))
        offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": f"{folder}/cache"}
        for number in range(chosen.rounds + 1):
            for name, command in commands.items():
                took = timed([word.format(round=number) for word in command], **offline)
                print(f"{command[0]}: {took.seconds:.2f} s", file=sys.stderr)
                if number:
                    found.setdefault(name, []).append((took.seconds, took.processor))
    print("| | seconds | CPU seconds |\n|---|---|---|")
    for name, rounds in found.items():
        wall, processor = map(statistics.median, zip(*rounds, strict=True))
        print(f"| {name} | {wall:.2f} | {processor:.2f} |")


def _commands(folder: Path) -> dict[str, list[str]]:
    (folder / "one.py").write_text(_INSPECT, encoding="utf-8")
    (folder / "one.yaml").write_text(_LM_EVAL, encoding="utf-8")
    item = {"question": "Say hello.", "answer": "hello"}
    (folder / "one.jsonl").write_text(json.dumps(item) + "\n", encoding="utf-8")
    inspect, lm_eval = (
        str(peers.python(peer).with_name(name))
        for peer, name in (("inspect", "inspect"), ("lm-eval", "lm-eval"))
    )
    ours = "evaluate --model baseline/random --tasks sokoban --limit 1 --repeats 1"
    theirs = "eval one.py --model mockllm/model --display none --no-log-realtime"
    others = "run --model dummy --tasks one --include_path . --limit 1"
    return {
        "spa-bench, `baseline/random`": [spa_bench(), *ours.split(), "--output", "run-{round}"],
        "inspect_ai, `mockllm/model`": [inspect, *theirs.split()],
        "lm-eval, `dummy`": [lm_eval, *others.split()],
    }


if __name__ == "__main__":
    main()
