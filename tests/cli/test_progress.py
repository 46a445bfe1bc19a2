"""Progress: a bar on a terminal, lines elsewhere, all of it on stderr."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace

import pytest

from spa_bench.cli import progress
from spa_bench.runner.record import EPISODE_SCHEMA, Episode
from spa_bench.terminal import Plain

WON = Episode(
    schema=EPISODE_SCHEMA,
    task="t",
    task_hash="",
    instance="",
    board_key="",
    repeat=0,
    status="complete",
    success=True,
    turns=(),
)
LOST = replace(WON, success=False, failure="budget")
BROKEN = replace(WON, success=False, status="infrastructure", error="503")


class Terminal(io.StringIO):
    """Something that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What a run of 6 episodes, 1 of them in the log before, says where there is no terminal."""
    watching = progress.watch()
    watching.start(6, 1)
    for episode in (WON, LOST, LOST, LOST, BROKEN):
        watching.update(episode)
    watching.stop()
    watching.note("one more thing")
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_the_first_line_says_what_is_to_be_done(lines: list[str]) -> None:
    assert lines[0] == "6 episodes, 1 already in the log"


def test_the_last_line_says_what_came_of_it(lines: list[str]) -> None:
    said = re.sub(r"[\d.,]+ episodes/s.*", "R episodes/s", lines[-2])
    assert said == "4/5 episodes, 1 solved, 1 broken, R episodes/s"


def test_one_episode_is_no_plural(capsys: pytest.CaptureFixture[str]) -> None:
    watching = progress.watch()
    watching.start(1, 0)
    watching.update(WON)
    watching.stop()
    first, last = capsys.readouterr().err.splitlines()
    assert first == "1 episode"
    assert last.startswith("1/1 episode, 1 solved, ")


def test_a_note_is_a_line(lines: list[str]) -> None:
    assert lines[-1] == "one more thing"


def test_a_quick_run_says_two_lines_and_no_more(lines: list[str]) -> None:
    assert len(lines) == 3


def test_a_run_that_owes_nothing_says_no_rate(capsys: pytest.CaptureFixture[str]) -> None:
    watching = progress.watch()
    watching.start(6, 6)
    watching.stop()
    assert capsys.readouterr().err == "6 episodes, 6 already in the log\n"


def test_time_is_left_only_where_there_is_a_rate_and_more_to_come(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0)
    watching = progress.watch()
    watching.start(6, 0)
    watching.update(BROKEN)
    watching.update(WON)
    watching.stop()
    broken, won, last = capsys.readouterr().err.splitlines()[1:]
    assert "left" not in broken
    assert won.endswith(" left")
    assert "left" not in last


def test_a_terminal_gets_a_bar_and_keeps_the_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    watching = progress.watch()
    watching.start(2, 0)
    watching.update(WON)
    watching.update(BROKEN)
    watching.stop()
    watching.note("[red]done[/red] 100%")
    assert terminal.getvalue().splitlines()[-1].endswith("[red]done[/red] 100%")
    assert "solved" in terminal.getvalue()


def test_a_bar_counts_what_is_played_since_this_start(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    watching = progress.watch()
    watching.start(6, 4)
    watching.update(WON)
    watching.update(LOST)
    watching.stop()
    assert "2/2 1 solved" in re.sub(r"\x1b\[[\d;?]*\w", "", terminal.getvalue())


def test_a_bar_has_colours_where_all_others_are_kept_from_giving_orders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Plain(terminal))
    watching = progress.watch()
    watching.start(2, 0)
    print("\x1b[2J", file=sys.stderr)  # a library, meanwhile
    watching.update(WON)
    watching.stop()
    assert "\x1b[" in terminal.getvalue()
    assert "\x1b[2J" not in terminal.getvalue()
    assert r"\u001b[2J" in terminal.getvalue()


def test_a_terminal_that_cannot_draw_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stderr", terminal)
    watching = progress.watch()
    watching.start(2, 0)
    watching.stop()
    assert terminal.getvalue() == "2 episodes\n"


def test_a_bar_may_be_stopped_before_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    progress.watch().stop()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.2, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (5399, "90 min"),
        (5400, "1.5 h"),
        (86400, "24.0 h"),
    ],
)
def test_a_duration_has_the_unit_people_use(seconds: float, shown: str) -> None:
    assert progress._duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "said"), [(1, "4,000"), (16, "250"), (320, "12.5"), (100_000, "0.04")]
)
def test_a_rate_is_written_as_people_write_numbers(
    monkeypatch: pytest.MonkeyPatch, seconds: float, said: str
) -> None:
    counts = progress._Counts()
    counts.played = 4000
    monkeypatch.setattr(progress.time, "monotonic", lambda: counts.started + seconds)
    assert str(counts).endswith(f", {said} episodes/s")
