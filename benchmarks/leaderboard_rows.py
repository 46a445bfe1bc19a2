"""Plays, packs and verifies the leaderboard's own rows.

    python -m benchmarks.leaderboard_rows [ROW ..] [--tasks spa] [--repeats N] [--suffix TEXT]
                                         [--output leaderboard/submissions]

Rows: `random` and `oracle`, the default, take seconds; `smollm2-hf`, `smollm2-transformers-serve`
and `smollm2-llama-cpp`, SmolLM2-135M-Instruct in this process and behind two servers, take hours on
two cores; any other row is the path of a checkpoint with a card, such as
checkpoints/nano-base-sokoban. A row is all boards of its tasks, by default the tasks' own repeats.
With a suffix a second row of one model stands beside the first. The rows of docs/study.md that do
not ship go into leaderboard/study. Interrupt it at will: started again
it goes on, from runs/rows/.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import transformers_server
from benchmarks.llama_server import serving
from benchmarks.smollm2 import fetch
from spa_bench.checkpoint import read_boards, read_card
from spa_bench.evaluation import evaluate
from spa_bench.registry import Registry
from spa_bench.runner.log import RunFolder
from spa_bench.submission.about import check, known
from spa_bench.submission.folder import TRAINING_LOG, SubmissionFolder
from spa_bench.submission.pack import pack
from spa_bench.submission.training import Step, from_log
from spa_bench.submission.verify import samples_beside, verify, write_verification

RUNS = Path("runs/rows")

SMOLLM2: Mapping[str, Any] = {
    "model": "SmolLM2-135M-Instruct",
    "notes": "quantised weights, Q4_1; dequantised from it but for llama.cpp",
    "method": "prompting",
    "parameters": 134_515_008,
    "training": "none",
    "links": {"weights": "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct"},
}


@dataclass(frozen=True)
class Player:
    """A model to evaluate, and what to say about it."""

    model: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    about: Mapping[str, Any] = field(default_factory=dict[str, Any])
    checkpoint: Path | None = None


@contextmanager
def player(row: str) -> Iterator[Player]:
    """Makes a row's model ready, and its server if it needs one."""
    if row in ("random", "oracle"):
        yield Player(f"baseline/{row}")
    elif row == "smollm2-hf":
        _, folder = fetch()
        yield Player(str(folder), about={**SMOLLM2, "name": row})
    elif row == "smollm2-transformers-serve":
        _, folder = fetch()
        with transformers_server.serving(folder) as base_url:
            options = {
                "base_urls": (base_url,),
                "args": {"extra_body": transformers_server.sampling(folder)},
                "concurrency": 256,
            }
            about = {**SMOLLM2, "name": row, "provider": "transformers serve"}
            yield Player(f"openai/{folder.name}", options, about)
    elif row == "smollm2-llama-cpp":
        weights, _ = fetch()
        with serving(weights, parallel=16, context=8192) as server:
            options = {
                "base_urls": (server.base_url,),
                "args": {"prefill": "true"},
                "concurrency": 16,
            }
            about = {**SMOLLM2, "name": row, "provider": "llama.cpp"}
            yield Player(f"openai/{server.model}", options, about)
    else:
        folder = Path(row)
        if not folder.is_dir():
            sys.exit(f"{row!r} is no row and no folder of a checkpoint")
        yield Player(str(folder.absolute()), checkpoint=folder)


def make(row: str, tasks: str, rows: Path, repeats: int | None = None, suffix: str = "") -> Path:
    """Plays what a row owes of its tasks, and returns its verified submission, made in `rows`."""
    rows.mkdir(parents=True, exist_ok=True)
    run = RUNS / f"{Path(row).name}{suffix}"
    with player(row) as chosen:
        options = {**chosen.options, "repeats": repeats}
        evaluate(chosen.model, tasks, output=run, resume=run.exists(), **options)
        card = boards = None
        steps: list[Step] = []
        if chosen.checkpoint:
            card, boards = read_card(chosen.checkpoint), read_boards(chosen.checkpoint)
            if (chosen.checkpoint / TRAINING_LOG).exists():
                steps = from_log(chosen.checkpoint / TRAINING_LOG)
    info = RunFolder(run).read_info()
    said = {
        **known(info, card, chosen.checkpoint),
        "submitted_by": "the maintainers of spa-bench",
        **({"training": "listed"} if boards else {}),
        **chosen.about,
    }
    if suffix:
        notes = [f"{said['model']}, on other tasks than its row", said.get("notes")]
        said |= {key: f"{said[key]}{suffix}" for key in ("model", "name") if key in said}
        said["notes"] = "; ".join(filter(None, notes))
    about = check(said)
    output, new = rows / about.name, RUNS / "packed" / about.name
    shutil.rmtree(new, ignore_errors=True)  # of one that did not verify
    folder = pack(RunFolder(run), about, new, Registry(), boards, training_log=steps)
    report = verify(folder, Registry(), samples_beside(SubmissionFolder(output)))
    write_verification(folder, report.verification)
    if report.verification is None:
        sys.exit(f"{new} does not verify: {report.differences[0]}")
    shutil.rmtree(output, ignore_errors=True)
    shutil.move(new, output)
    return output


def main() -> None:
    """Makes rows, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*", default=["random", "oracle"])
    parser.add_argument("--tasks", default="spa", help="names or groups, with commas between")
    parser.add_argument("--repeats", type=int, help="episodes a board; default: the task's own")
    parser.add_argument("--suffix", default="", help="what the name of a row ends in")
    parser.add_argument("--output", type=Path, default=Path("leaderboard/submissions"))
    chosen = parser.parse_args()
    for row in chosen.rows:
        print(make(row, chosen.tasks, chosen.output, chosen.repeats, chosen.suffix))


if __name__ == "__main__":
    main()
