"""Claims: what they measure, and that each row says when and on what code it did."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.claims import report, row, servers, trainer
from benchmarks.claims.claim import Claim, Measured
from benchmarks.claims.process import Timed
from benchmarks.claims.row import Row

ROW = Row("speed", "core", "it is fast", "1 s", "met", "0.5 s", machine="2 cores")


def _git(folder: Path, *arguments: str) -> str:
    known = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *known, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    _git(tmp_path, "init", "-q")
    (tmp_path / "docs").mkdir()
    for name in ("code.py", "docs/claims.md", "docs/claims.json"):
        (tmp_path / name).write_text("1", encoding="utf-8")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-q", "-m", "one")
    row.commit.cache_clear()
    return tmp_path


def test_a_commit_is_its_short_hash(repository: Path) -> None:
    assert row.commit(repository) == _git(repository, "rev-parse", "--short", "HEAD")


def test_files_that_differ_from_the_commit_are_told(repository: Path) -> None:
    (repository / "code.py").write_text("2", encoding="utf-8")
    assert row.commit(repository) == _git(repository, "rev-parse", "--short", "HEAD") + "+"


def test_the_page_itself_is_no_difference(repository: Path) -> None:
    for name in ("docs/claims.md", "docs/claims.json"):
        (repository / name).write_text("2", encoding="utf-8")
    assert row.commit(repository) == _git(repository, "rev-parse", "--short", "HEAD")


def test_where_there_is_no_commit_none_is_told(tmp_path: Path) -> None:
    assert row.commit(tmp_path) == ""


def test_a_measurement_notes_its_date_and_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured_apart(claim: Claim) -> Row:
        return ROW

    monkeypatch.setattr(row, "_measure_apart", measured_apart)
    monkeypatch.setattr(row, "machine", lambda: "2 cores")
    monkeypatch.setattr(row, "commit", lambda: "abc1234+")
    measured = row.measure(Claim("speed", "core", "it is fast", "1 s", lambda: Measured("", True)))
    assert measured.commit == "abc1234+"
    assert len(measured.date) == len("2026-11-29")


def test_the_page_shows_date_and_commit_and_a_dash_where_nobody_noted_them(tmp_path: Path) -> None:
    page = tmp_path / "claims.md"
    noted = replace(ROW, name="noted", date="2026-11-29", commit="abc1234")
    report.write(page, [ROW, noted])
    assert report.read(page) == [ROW, noted]
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("| core")
    ]
    assert [found[-3:-1] for found in cells] == [["-", "-"], ["2026-11-29", "abc1234"]]


def test_rows_from_before_there_were_dates_are_read(tmp_path: Path) -> None:
    kept = {k: v for k, v in vars(ROW).items() if k not in ("date", "commit")}
    (tmp_path / "claims.json").write_text(json.dumps([kept]), encoding="utf-8")
    assert report.read(tmp_path / "claims.md") == [ROW]


@pytest.mark.parametrize(
    ("result", "met"), [((True, "2 passed"), True), ((False, "1 failed"), False)]
)
def test_what_tests_hold_is_met_if_they_pass(
    monkeypatch: pytest.MonkeyPatch, result: tuple[bool, str], met: bool
) -> None:
    ran: list[str] = []

    def passed(*tests: str) -> tuple[bool, str]:
        ran.extend(tests)
        return result

    monkeypatch.setattr(trainer, "passed", passed)
    for claim in trainer.CLAIMS:
        found = claim.measure()
        assert (found.met, found.value == claim.aim) == (met, met)
    root = Path(__file__).parent
    for test in ran:
        file, _, name = test.partition("::")
        assert f"def {name}(" in (root / file).read_text(encoding="utf-8")


COSTS = """\
| | CPU ms a call | wall ms a call |
|---|---|---|
| aiohttp alone | 0.10 | 0.20 |
| spa-bench openai/ | {ours} | 0.90 |
"""

WAITS = """\
| in flight | | seconds | of the bound |
|---|---|---|---|
| 64 | bound | 10.0 | 1.00 |
| 64 | in order | 11.0 | 1.10 |
| 64 | spa-bench | 11.0 | {ours} |
| 64 | lock-step | 20.0 | 2.00 |
"""


@pytest.mark.parametrize(
    ("measure", "table", "good", "bad"),
    [(servers.client_cost, COSTS, 0.46, 0.61), (servers.stragglers, WAITS, 1.05, 1.39)],
)
def test_the_table_of_a_benchmark_is_compared_with_the_aim(
    monkeypatch: pytest.MonkeyPatch,
    measure: Callable[[], Measured],
    table: str,
    good: float,
    bad: float,
) -> None:
    for ours, met in ((good, True), (bad, False)):

        def printed(command: Sequence[str], ours: float = ours) -> Timed:
            return Timed(1.0, 1.0, table.format(ours=ours))

        monkeypatch.setattr(servers, "timed", printed)
        found = measure()
        assert found.met is met
        assert found.value.startswith(f"{ours:.2f}")
