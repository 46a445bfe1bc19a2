"""Whether a model does what it says it will: answers beside the plans stated before them.

    python -m benchmarks.study_plans

prints the table of docs/study.md, from the logs of submissions. A turn counts as done as planned if
its answer names the plan's actions, all and in order: `<think>1. Up 2. Left</think><answer>Up ||
Left</answer>`. A reply without an answer counts as one that does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from benchmarks import study
from benchmarks.tables import markdown
from spa_bench.results.shown import percent
from spa_bench.site.entries import Entry, read_entries

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


def share(entry: Entry, task: str) -> float:
    """Returns the share of a submission's turns of a task that do as planned."""
    turns = [t for episode in entry.episodes() if episode.task == task for t in episode.turns]
    return sum(as_planned(turn.reply) for turn in turns) / len(turns)


def plans(entries: Sequence[Entry]) -> str:
    """Returns a table: worlds, and what is done as planned before and after reinforcement."""
    named: Mapping[str, Entry] = {entry.submission.name: entry for entry in entries}
    runs = study.by_the_recipes(entries)
    lines = list[list[str]]()
    for world in WORLDS:
        line = [world]
        for method in BEFORE:
            entry = named[f"nano-{method.replace('_', '-')}-{world}"]
            line.append(percent(share(entry, world)))
        for method in AFTER:
            found = sorted(
                (run for run in runs if (run.world, run.method) == (world, method)),
                key=lambda run: run.seed,
            )
            line.append(", ".join(percent(share(run.entry, run.task)) for run in found))
        lines.append(line)
    return markdown(["% of turns done as planned", *BEFORE, *AFTER], lines)


if __name__ == "__main__":
    print(plans(read_entries(*study.SUBMISSIONS).entries))
