"""Ways to tamper with a submission, and what the verifier says to each.

`python -m benchmarks.tampering --write docs/tampering.md` tries all of them on a packed submission
and writes the table. Whoever tampers here knows the format: checksums are made right again after
every edit, except where the edit is one of the checksums.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from spa_bench.canonical import sha256_hex
from spa_bench.errors import InputError
from spa_bench.registry import Registry
from spa_bench.submission.folder import (
    CHECKSUMS,
    EPISODES,
    LONGEST_LINE,
    TRAINING_BOARDS,
    TRAINING_LOG,
    SubmissionFolder,
)
from spa_bench.submission.verify import verify

Line = dict[str, Any]
Json = dict[str, Any]

EXAMPLE = Path("leaderboard/submissions/random-baseline")


class Copy:
    """A submission of one's own to tamper with."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[Line]:
        text = gzip.decompress((self.path / EPISODES).read_bytes()).decode()
        return [json.loads(line) for line in text.splitlines()]

    def write_lines(self, lines: list[Line]) -> None:
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        self.write_log(text.encode())

    def write_log(self, content: bytes) -> None:
        (self.path / EPISODES).write_bytes(gzip.compress(content, 1))

    def json(self, name: str) -> Json:
        return json.loads((self.path / name).read_text())

    def write_json(self, name: str, content: object) -> None:
        (self.path / name).write_text(json.dumps(content))

    def sign(self) -> None:
        """Makes the checksums right again, as somebody does who knows how."""
        sums = [
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
            for path in sorted(self.path.iterdir())
            if path.name not in (CHECKSUMS, "verification.json")
        ]
        (self.path / CHECKSUMS).write_text("".join(sums))


@dataclass(frozen=True)
class Tampering:
    """One kind of edit.

    Attributes:
        what: is done, in words.
        edit: does it, and signs what it wants signed.
        says: a part of what the verifier must say.
    """

    what: str
    edit: Callable[[Copy], None]
    says: str


def said(folder: Path, registry: Registry) -> str:
    """Returns the first thing that the verifier says against a submission; '' if nothing."""
    try:
        report = verify(SubmissionFolder(folder), registry)
    except InputError as error:
        return f"refused: {str(error).replace(str(folder), folder.name)}"
    return report.differences[0] if report.differences else ""


# -- edits of one episode, one turn, the figures, the statements -----------------------------------


def _line(choose: Callable[[Line], bool], change: Callable[[Line], object]) -> Callable[..., None]:
    """Returns an edit of the first episode that fits."""

    def edit(copy: Copy) -> None:
        lines = copy.lines()
        change(next(line for line in lines if choose(line)))
        copy.write_lines(lines)
        copy.sign()

    return edit


def _log(change: Callable[[list[Line]], object]) -> Callable[[Copy], None]:
    """Returns an edit of the list of episodes."""

    def edit(copy: Copy) -> None:
        lines = copy.lines()
        change(lines)
        copy.write_lines(lines)
        copy.sign()

    return edit


def _json(name: str, change: Callable[[Json], object]) -> Callable[[Copy], None]:
    """Returns an edit of a JSON file."""

    def edit(copy: Copy) -> None:
        content = copy.json(name)
        change(content)
        copy.write_json(name, content)
        copy.sign()

    return edit


def _lost(line: Line) -> bool:
    return line["status"] == "complete" and not line["success"] and len(line["turns"]) > 1


def _moved(line: Line) -> bool:
    return _lost(line) and line["turns"][0]["executed"] > 1


def _slipped(line: Line) -> bool:
    return any(outcome for turn in line["turns"] for outcome in turn["outcomes"])


def _first_turn(**values: Any) -> Callable[[Line], object]:
    return lambda line: line["turns"][0].update(values)


def _outcome(line: Line) -> None:
    turn = next(turn for turn in line["turns"] if any(turn["outcomes"]))
    turn["outcomes"] = [0 for _ in turn["outcomes"]]


def _win(line: Line) -> None:
    line.update(success=True)
    line.pop("failure")
    line["turns"][-1]["reward"] = 10.9


def _another_move(line: Line) -> None:
    turn = line["turns"][0]
    name = turn["actions"][0]
    other = next(move for move in ("Up", "Down", "Left", "Right") if move != name)
    turn["reply"] = turn["reply"].replace(name, other, 1)


def _another_word(line: Line) -> None:
    line["turns"][0]["reply"] = line["turns"][0]["reply"].replace("<think>", "<think>I see. ", 1)


def _swap_board(lines: list[Line]) -> None:
    won = next(line for line in lines if line["success"])
    lost = next(
        line
        for line in lines
        if _lost(line) and line["task"] == won["task"] and line["instance"] != won["instance"]
    )
    lost.update(turns=won["turns"], success=True)
    lost.pop("failure")


def _best_twice(lines: list[Line]) -> None:
    place = next(i for i, line in enumerate(lines) if line["success"])
    lines.insert(place, lines[place])


def _hide_a_loss(lines: list[Line]) -> None:
    lost = next(line for line in lines if _lost(line))
    lost.update(status="infrastructure", error="connection reset")
    lost.pop("failure")


def _task(change: Callable[[Json], object]) -> Callable[[Json], object]:
    return lambda submission: change(submission["run"]["tasks"][0])


def _result(change: Callable[[Json], object]) -> Callable[[Json], object]:
    return lambda results: change(results["tasks"][0])


def _score(**values: float) -> Callable[[Json], object]:
    return _result(lambda task: next(iter(task["metrics"].values())).update(values))


def _better_twice(results: Json) -> None:
    better = deepcopy(results["tasks"][0])
    next(iter(better["metrics"].values())).update(value=0.93, low=0.9, high=0.95)
    results["tasks"] = [better, *results["tasks"][:-1]]


# -- edits of the folder ---------------------------------------------------------------------------


def _raw_log(content: Callable[[], bytes]) -> Callable[[Copy], None]:
    def edit(copy: Copy) -> None:
        copy.write_log(content())
        copy.sign()

    return edit


def _files(change: Callable[[Path], object], sign: bool = True) -> Callable[[Copy], None]:
    def edit(copy: Copy) -> None:
        change(copy.path)
        if sign:
            copy.sign()

    return edit


def _append(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda path: (path / name).write_bytes((path / name).read_bytes() + content)


def _bomb(path: Path) -> None:
    with gzip.open(path / EPISODES, "wb", 1) as log:
        for _ in range(300):
            log.write(bytes(1_000_000))


def _bomb_of_boards(path: Path) -> None:
    with gzip.open(path / TRAINING_BOARDS, "wb", 1) as boards:
        boards.write(b'{"sokoban/6x6-1/ragen": [')
        for _ in range(100):
            boards.write(b'"0123456789abcdef",' * 50_000)
        boards.write(b'"0123456789abcdef"]}')


def _link(path: Path) -> None:
    (path / "README.md").unlink()
    (path / "README.md").symlink_to("/etc/hostname")


def _pipe(path: Path) -> None:
    (path / "README.md").unlink()
    os.mkfifo(path / "README.md")


def _forge(copy: Copy) -> None:
    lines = copy.lines()
    _win(next(line for line in lines if _lost(line)))
    copy.write_lines(lines)
    copy.sign()
    digest = hashlib.sha256((copy.path / CHECKSUMS).read_bytes()).hexdigest()
    forged = {
        "schema": "spa-bench/verification/1",
        "submission": digest,
        "badge": "authored",
        "verified": "today",
        "spa_bench": "0",
        "episodes": 1,
        "turns": 1,
        "overlap": {},
        "flags": [],
        "transcripts": [],
    }
    copy.write_json("verification.json", forged)


TAMPERINGS = (
    Tampering("a turn's reward is raised", _line(_lost, _first_turn(reward=10.9)), "reward is"),
    Tampering("a lost episode is called a success", _line(_lost, _win), "reward is"),
    Tampering(
        "a success without any change of its turns",
        _line(_lost, lambda line: (line.update(success=True), line.pop("failure"))),
        "success is False, not True",
    ),
    Tampering(
        "another class of failure",
        _line(_lost, lambda line: line.update(failure="truncated")),
        "failure is",
    ),
    Tampering("another move in a reply", _line(_moved, _another_move), "actions is"),
    Tampering(
        "another word in a reply, which later prompts hold",
        _line(lambda line: _lost(line) and "<think>" in line["turns"][0]["reply"], _another_word),
        "turn 2: prompt_sha256",
    ),
    Tampering(
        "fewer actions executed",
        _line(
            _moved,
            lambda line: line["turns"][0].update(
                executed=1, outcomes=line["turns"][0]["outcomes"][:1]
            ),
        ),
        "executed is",
    ),
    Tampering("luckier ice", _line(_slipped, _outcome), "outcomes is"),
    Tampering(
        "another board shown",
        _line(_lost, lambda line: line["turns"][0].update(state=line["turns"][1]["state"] + " ")),
        "state is",
    ),
    Tampering(
        "another prompt claimed",
        _line(_lost, _first_turn(prompt_sha256=sha256_hex("a hint"))),
        "prompt_sha256 is",
    ),
    Tampering(
        "a reading of a reply that it does not bear",
        _line(_lost, _first_turn(parse="format", actions=[])),
        "parse is",
    ),
    Tampering(
        "a belief that the reply does not state",
        _line(_lost, _first_turn(facts_observed={"player": [[1, 1]]})),
        "facts_observed is",
    ),
    Tampering(
        "a stop reason that there is not",
        _line(_lost, _first_turn(stop_reason="mercy")),
        "stop_reason is",
    ),
    Tampering(
        "another board's key",
        _line(_lost, lambda line: line.update(board_key="d4:0")),
        "board_key is",
    ),
    Tampering(
        "the last turn of a lost episode left out",
        _line(_lost, lambda line: line["turns"].pop()),
        "ends after turn",
    ),
    Tampering(
        "a turn after the end",
        _line(lambda line: line["success"], lambda line: line["turns"].append(line["turns"][-1])),
        "comes after the end",
    ),
    Tampering("a won board's turns under a lost one's name", _log(_swap_board), "state is"),
    Tampering("a lost episode hidden as a broken one", _log(_hide_a_loss), "had come to its end"),
    Tampering(
        "a lost episode left out",
        _log(lambda lines: lines.remove(next(line for line in lines if _lost(line)))),
        "1 episode(s) missing",
    ),
    Tampering("the last episode left out", _log(lambda lines: lines.pop()), "missing at the end"),
    Tampering("a won episode twice", _log(_best_twice), "is there twice"),
    Tampering("episodes in another order", _log(lambda lines: lines.reverse()), "missing before"),
    Tampering(
        "an episode of another task",
        _log(lambda lines: lines.append({**lines[-1], "task_hash": "0" * 64})),
        "no episode of this run's tasks",
    ),
    Tampering(
        "one more repeat, a won one",
        _log(lambda lines: lines.append({**lines[-1], "repeat": 99})),
        "no episode of this run's tasks",
    ),
    Tampering(
        "another salt, after the fact",
        _json("submission.json", lambda submission: submission["run"].update(salt="7")),
        f"{EPISODES}:",
    ),
    Tampering(
        "a backend that could not begin messages, after the fact",
        _json(
            "submission.json",
            lambda s: s["run"]["capabilities"].update(
                prefill=not s["run"]["capabilities"].get("prefill", False)
            ),
        ),
        "prompt_sha256 is",
    ),
    Tampering(
        "an altered task under a built-in one's name",
        _json("submission.json", _task(lambda task: task.update(hash=sha256_hex("easier")))),
        "the task was altered",
    ),
    Tampering(
        "a task that there is not",
        _json("submission.json", _task(lambda task: task.update(task="sokoban_easy"))),
        "there is no such task",
    ),
    Tampering(
        "fewer boards",
        _json("submission.json", _task(lambda task: task.update(boards=1))),
        "boards",
    ),
    Tampering(
        "fewer repeats",
        _json("submission.json", _task(lambda task: task.update(repeats=1))),
        "no episode of this run's tasks",
    ),
    Tampering(
        "another submission's name",
        _json("submission.json", lambda submission: submission.update(name="better")),
        "name is 'better'",
    ),
    Tampering("a better score", _json("results.json", _score(value=0.99)), "results.json:"),
    Tampering("a narrower interval", _json("results.json", _score(low=0.2, high=0.2)), ".low: is"),
    Tampering("a lower ceiling", _json("results.json", _score(ceiling=0.5)), ".ceiling: is"),
    Tampering(
        "fewer tokens than the log counts",
        _json("results.json", _result(lambda task: task["tokens"].update(completion=1))),
        "tokens.completion: is",
    ),
    Tampering(
        "a figure that nothing yields",
        _json("results.json", _result(lambda task: task["failures"].update(bad_luck=1))),
        "follows from nothing",
    ),
    Tampering(
        "a task's figures twice, better ones first",
        _json("results.json", _better_twice),
        "results.json: tasks: are",
    ),
    Tampering(
        "a task's figures left out",
        _json("results.json", lambda results: results["tasks"].pop()),
        "results.json: tasks: are",
    ),
    Tampering(
        "a score left out",
        _json("results.json", _result(lambda task: task["metrics"].popitem())),
        "was left out",
    ),
    Tampering("a forged verification beside doctored episodes", _forge, "reward is"),
    Tampering(
        "an altered file, checksums as they were",
        _files(_append("README.md", b"!"), sign=False),
        "the file was altered",
    ),
    Tampering(
        "a file that does not belong",
        _files(lambda path: (path / "run.sh").write_text("true"), sign=False),
        "does not belong",
    ),
    Tampering(
        "a checksum of a path that climbs out",
        _files(_append(CHECKSUMS, b"0" * 64 + b"  ../../etc/passwd\n"), sign=False),
        "is no file of a submission",
    ),
    Tampering("a link in place of a file", _files(_link, sign=False), "a link"),
    Tampering("a pipe in place of a file", _files(_pipe, sign=False), "not a plain file"),
    Tampering("a missing file", _files(lambda p: (p / "README.md").unlink()), "is missing"),
    Tampering("a gzip bomb", _files(_bomb), "a line of more than"),
    Tampering(
        "a list of training boards that unpacks to 95 MB",
        _files(_bomb_of_boards),
        "more than 40 MB uncompressed",
    ),
    Tampering(
        "a training log with a share above 1",
        _files(lambda p: (p / TRAINING_LOG).write_text('{"step": 0, "sokoban/pass@1": 2}\n')),
        "which no share can be",
    ),
    Tampering(
        "a log cut off in the middle",
        _files(lambda p: (p / EPISODES).write_bytes((p / EPISODES).read_bytes()[:-99])),
        "not gzip",
    ),
    Tampering(
        "a line longer than an episode can be",
        _raw_log(lambda: b'"' + b"a" * (LONGEST_LINE + 1) + b'"\n'),
        "a line of more than",
    ),
    Tampering("invalid UTF-8", _raw_log(lambda: b'{"schema": "\xff\xfe"}\n'), EPISODES + ":1"),
    Tampering("JSON nested without end", _raw_log(lambda: b"[" * 100_000 + b"\n"), EPISODES + ":1"),
    Tampering(
        "a number that is none",
        _line(_lost, _first_turn(reward=float("nan"))),
        "turns.0.reward",
    ),
    Tampering(
        "negative tokens", _line(_lost, _first_turn(usage={"prompt_tokens": -1})), "prompt_tokens"
    ),
    Tampering(
        "HTML in the name of a file",
        _files(lambda p: (p / "<img src=x onerror=alert(1)>").write_text(""), sign=False),
        "does not belong",
    ),
    Tampering(
        "control characters in a name",
        _json("submission.json", lambda submission: submission.update(model="a\x1b[2Jb")),
        "printable",
    ),
    Tampering(
        "a link that runs script",
        _json("submission.json", lambda s: s.update(links={"paper": "javascript:alert(1)"})),
        "links.paper",
    ),
)


def tried(submission: Path, registry: Registry) -> Iterator[tuple[Tampering, str]]:
    """Yields each way of tampering with what the verifier says to it."""
    for tampering in TAMPERINGS:
        with tempfile.TemporaryDirectory() as name:
            copy = Copy(Path(shutil.copytree(submission, Path(name) / submission.name)))
            tampering.edit(copy)
            yield tampering, said(copy.path, registry)


def table(submission: Path) -> str:
    """Returns the table of all ways of tampering with a submission."""
    found = list(tried(submission, Registry()))
    rows = [(n, t.what, f"`{says.replace('`', ' ')}`") for n, (t, says) in enumerate(found, 1)]
    detected = sum(t.says in says for t, says in found)
    head = (
        f"# Tampering\n\nWays to doctor a submission, tried on `{submission}`, and the first\n"
        "thing that `spa-bench leaderboard verify` reports for each. Checksums were corrected after"
        " each edit, except\nwhere they are what is edited. This page is written by"
        " `python -m benchmarks.tampering --write docs/tampering.md`;\ndo not edit it by hand."
        f"\n\n{detected} of {len(found)} are detected. Markup in a name or a reply is not"
        " tampering: pages show it as text,\nas tested in a real Chromium"
        " ([viewing.md](viewing.md#nothing-on-a-page-runs-but-its-own-script)).\n\n"
    )
    return head + tabulate(rows, ["", "what was done", "what the verifier said"], "github") + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="the file of the table")
    parser.add_argument("--submission", type=Path, default=EXAMPLE)
    options = parser.parse_args()
    text = table(options.submission)
    if options.write:
        options.write.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
