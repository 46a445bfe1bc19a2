"""Whether a model does what it says it will: answers beside the plans stated before them.

    python -m benchmarks.study_plans [RUN ..]

prints the table of docs/study.md, from the logs of submissions; or, of the run folders and
submissions named, each task's share. A turn counts as done as planned if its answer names the
plan's actions, all and in order: `<think>1. Up 2. Left</think><answer>Up || Left</answer>`. A reply
without an answer counts as one that does not.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import study
from benchmarks.tables import markdown
from spa_bench.errors import InputError
from spa_bench.results.shown import percent
from spa_bench.runner.log import RunFolder
from spa_bench.runner.record import Episode
from spa_bench.runner.run_log import RunLog
from spa_bench.site.entries import Entry, read_entries
from spa_bench.submission.folder import SubmissionFolder

WORLDS = ("frozenlake", "sokoban")
BEFORE = ("base", "world_model")
AFTER = ("vanilla", "state_estimation", "spa")

_STEP = re.compile(r"\d+\. ([^\s<]+)")


def as_planned(reply: str) -> bool:
    """Returns whether a reply's answer is what its plan says."""
    thought, _, rest = reply.partition("</think>")
    answer = re.search(r"<answer>(.*?)</answer>", rest, re.DOTALL)
    if answer is None:
        return False
    return [action.strip() for action in answer[1].split("||")] == _STEP.findall(thought)


def shares(episodes: Iterable[Episode]) -> Mapping[str, float]:
    """Returns, by task, the share of turns that do as planned."""
    turns, done = Counter[str](), Counter[str]()
    for episode in episodes:
        turns[episode.task] += len(episode.turns)
        done[episode.task] += sum(as_planned(turn.reply) for turn in episode.turns)
    return {task: done[task] / count for task, count in turns.items() if count}


def plans(entries: Sequence[Entry]) -> str:
    """Returns a table: worlds, and what is done as planned before and after reinforcement."""
    named: Mapping[str, Entry] = {entry.submission.name: entry for entry in entries}
    runs = study.by_the_recipes(entries)
    lines = list[list[str]]()
    for world in WORLDS:
        line = [world]
        for method in BEFORE:
            entry = named[study.row_name(method, world)]
            line.append(percent(shares(entry.episodes())[world]))
        for method in AFTER:
            found = sorted(
                (run for run in runs if (run.world, run.method) == (world, method)),
                key=lambda run: run.seed,
            )
            line.append(", ".join(percent(shares(run.entry.episodes())[run.task]) for run in found))
        lines.append(line)
    return markdown(["% of turns done as planned", *BEFORE, *AFTER], lines)


def of_runs(paths: Sequence[Path]) -> str:
    """Returns a table: run folders or submissions, and what of each task is done as planned.

    Raises:
        InputError: for a folder that is neither.
    """
    lines = [
        [str(path), task, percent(found)]
        for path in paths
        for task, found in shares(_episodes(path)).items()
    ]
    return markdown(["run", "task", "% of turns done as planned"], lines)


def _episodes(path: Path) -> Iterator[Episode]:
    """Yields the episodes of a run that are scored, or those of a submission."""
    if (folder := RunFolder(path)).exists():
        yield from (episode for episode, scored in RunLog(folder).episodes() if scored)
    else:
        yield from (episode for _, episode in SubmissionFolder(path).episodes())


def main() -> None:
    """Prints a table: of the runs named, or that of the study."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="or a submission")
    runs = parser.parse_args().runs
    try:
        print(of_runs(runs) if runs else plans(read_entries(*study.SUBMISSIONS).entries))
    except InputError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
