"""The leaderboard: what is in it, where its links lead, and what is kept out."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag

import pytest
from pages import REPORTED, Elements

from benchmarks.tampering import Copy
from spa_bench.cli import main
from spa_bench.errors import InputError
from spa_bench.results.results import Results
from spa_bench.site.build import build, opening
from spa_bench.site.entries import (
    Entry,
    measured_tasks,
    read_entries,
    read_reported,
    written_probes,
)
from spa_bench.site.pages import unpacked
from spa_bench.site.rows import Cell, table
from spa_bench.site.submission_page import write_submission


def rows(site: Path) -> list[dict[str, Any]]:
    return json.loads((site / "leaderboard.json").read_text())["rows"]


def row(site: Path, name: str) -> dict[str, Any]:
    return next(row for row in rows(site) if row["name"] == name)


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_every_link_leads_somewhere(site: Path) -> None:
    seen = 0
    for page in pages(site):
        for tag, attrs, _ in Elements(page.read_text()).found:
            target = attrs.get("href") or attrs.get("src")
            if target is None or (tag == "a" and target.startswith("https://")):
                continue
            path, _ = urldefrag(target)
            assert not path or (page.parent / path).is_file(), f"{page}: {target}"
            seen += 1
    assert seen > 100


def test_a_plot_whose_points_are_links_is_read_out_as_a_group(site: Path) -> None:
    roles: dict[str | None, set[str]] = {}
    picture = None
    for tag, attrs, _ in Elements((site / "index.html").read_text()).found:
        if tag == "svg":
            picture = attrs
        elif tag == "a" and picture is not None and picture.get("role"):
            roles.setdefault(picture["role"], set()).add(picture["aria-label"] or "")
        elif tag == "figure":
            picture = None
    assert list(roles) == ["group"]
    assert all(roles["group"])


def test_pages_fetch_nothing_from_elsewhere(site: Path) -> None:
    for page in pages(site):
        found = Elements(page.read_text()).found
        policy = next(a["content"] for _, a, _ in found if "http-equiv" in a)
        assert policy is not None
        assert policy.startswith("default-src 'none'")
        for tag, attrs, _ in found:
            if tag != "a":
                assert "//" not in (attrs.get("src") or "") + (attrs.get("href") or "")


def test_the_table_holds_submissions_reported_figures_and_bounds(site: Path) -> None:
    kinds = [row["kind"] for row in rows(site)]
    assert kinds == ["submission"] * 4 + ["reported"] * 30 + ["bound"] * 2


def test_scores_are_those_of_the_results(site: Path, submissions: Path) -> None:
    results = Results.model_validate_json((submissions / "strong" / "results.json").read_bytes())
    values = row(site, "strong")["values"]
    for task in results.tasks:
        if task.probe is not None:
            assert values[f"{task.task}:pass@1"]["value"] == task.probe.accuracy.value
            continue
        score, cell = task.metrics["pass@1"], values[f"{task.task}:pass@1"]
        assert (cell["value"], cell["low"], cell["high"]) == (score.value, score.low, score.high)
        assert cell["floor"] == pytest.approx(score.floor)
        assert cell["ceiling"] == pytest.approx(score.ceiling)


def test_the_first_task_of_a_submission_without_a_main_one_is_shown() -> None:
    entries = [
        entry
        for entry in read_entries(REPORTED.parent / "submissions").entries
        if entry.slug in ("nano-base-frozenlake", "nano-vanilla-frozenlake")
    ]
    played = sorted(task.task for entry in entries for task in entry.results.tasks)
    columns = table(entries, {}, [], measured_tasks(played, "spa")).columns
    shown = [c.key for c in columns if c.shown and c.group == "Pass@1"]
    main_tasks = ("sokoban", "frozenlake", "frozenlake_slippery", "sudoku")
    assert shown == [f"{task}:pass@1" for task in (*main_tasks, "frozenlake_grid")]
    assert "frozenlake_wm:pass@1" in {c.key for c in columns}  # the base's, who has a main one


def test_overall_is_the_mean_normalised_score_of_the_main_tasks(
    site: Path, submissions: Path
) -> None:
    results = Results.model_validate_json((submissions / "strong" / "results.json").read_bytes())
    main_tasks = ("sokoban", "frozenlake", "frozenlake_slippery", "sudoku")
    own = [t.metrics["pass@1"].normalised or 0 for t in results.tasks if t.task in main_tasks]
    assert row(site, "strong")["values"]["overall"]["value"] == pytest.approx(sum(own) / 4)


def test_what_an_episode_takes_is_the_mean_over_the_main_tasks(submissions: Path) -> None:
    strong = entry_of(submissions, "strong")
    main_tasks = ("sokoban", "frozenlake", "frozenlake_slippery", "sudoku")
    for task in strong.results.tasks:
        task.cost = 0.004 * task.episodes
        if task.task not in main_tasks:
            task.tokens.prompt, task.cost = 0, 9.0 * task.episodes
    told = [
        (task.tokens.prompt + task.tokens.completion) / task.episodes
        for task in strong.results.tasks
        if task.task in main_tasks
    ]
    cells = cells_of(strong)
    assert cells["tokens"].value == pytest.approx(sum(told) / 4)
    assert cells["cost"].value == pytest.approx(4)


def test_who_played_only_some_of_the_main_tasks_shows_no_tokens(submissions: Path) -> None:
    strong = entry_of(submissions, "strong")
    del strong.results.tasks[0]
    assert not {"tokens", "cost"} & cells_of(strong).keys()


def test_the_mean_over_probes_is_that_of_all_of_them(
    submissions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strong = entry_of(submissions, "strong")
    names = written_probes()
    assert "sokoban_transition" in names
    assert not any(name.endswith("_ranking") for name in names)
    assert "probes" not in cells_of(strong)
    (probe,) = (task.probe for task in strong.results.tasks if task.probe is not None)
    monkeypatch.setattr(
        "spa_bench.site.rows.written_probes", lambda: frozenset({"sokoban_transition"})
    )
    right, chance = probe.accuracy.value, probe.chance
    assert right is not None
    assert chance is not None
    assert cells_of(strong)["probes"].value == pytest.approx((right - chance) / (1 - chance))


def entry_of(submissions: Path, name: str) -> Entry:
    return next(entry for entry in read_entries(submissions).entries if entry.slug == name)


def cells_of(entry: Entry) -> Mapping[str, Cell]:
    names = [task.task for task in entry.results.tasks]
    return table([entry], {}, [], measured_tasks(names, "spa")).rows[0].cells


def test_a_submission_that_played_only_probes_shows_the_first(submissions: Path) -> None:
    strong = entry_of(submissions, "strong")
    strong.results.tasks[:] = [task for task in strong.results.tasks if task.probe is not None]
    columns = table([strong], {}, [], measured_tasks(["sokoban_transition"], "spa")).columns
    shown = {column.key: column.shown for column in columns}
    assert shown["sokoban_transition:pass@1"]


def test_ranks_go_by_what_was_replayed(site: Path) -> None:
    assert row(site, "strong")["ranks"]["overall"] == {"best": 1, "worst": 1}
    assert row(site, "random")["ranks"]["overall"] == {"best": 3, "worst": 3}
    assert row(site, "unchecked")["ranks"] == {}
    assert all(row["ranks"] == {} for row in rows(site) if row["kind"] != "submission")


def test_what_nobody_replayed_shows_no_episodes_and_cannot_be_compared(site: Path) -> None:
    page = (site / "submissions" / "unchecked" / "index.html").read_text()
    assert "Nobody has replayed this submission" in page
    assert 'id="viewer"' not in page
    assert "unchecked" not in (site / "compare.html").read_text()


def test_the_compare_page_opens_with_two_that_share_a_task() -> None:
    tasks = {"a": ["sudoku"], "b": ["sokoban"], "c": ["frozenlake"], "d": ["sokoban", "sudoku"]}
    counts: Any = {slug: dict.fromkeys(names) for slug, names in tasks.items()}
    assert opening(list(counts), counts) == ("a", "d")
    assert opening(["b", "c", "d"], counts) == ("b", "d")
    assert opening(["b", "c"], counts) == ("b", "c")
    assert opening(["b"], counts) == ("b",)
    assert opening([], counts) == ()


def test_reported_figures_carry_their_note(site: Path) -> None:
    page = (site / "index.html").read_text()
    assert "On slippery ice the best possible policy gets 46.6% Pass@1" in page
    assert re.search(r"46\.0% where up to five actions.*: 5 of these FrozenLake figures", page)
    spa = next(
        r for r in rows(site) if r["model"] == "Qwen2.5-1.5B-Instruct" and r["method"] == "SPA"
    )
    assert spa["values"]["frozenlake:pass@1"]["value"] == pytest.approx(0.709)
    assert spa["badge"] == "reported"


def test_the_downloads_agree_with_each_other(site: Path) -> None:
    lines = list(csv.DictReader((site / "leaderboard.csv").open()))
    for line, told in zip(lines, rows(site), strict=True):
        assert line["model"] == told["model"]
        value = told["values"].get("sokoban:pass@1")
        for end, key in (("", "value"), (":low", "low"), (":high", "high")):
            said = line[f"sokoban:pass@1{end}"]
            assert (float(said) if said else None) == (value and value.get(key))


def test_the_figures_of_a_submission_are_those_of_its_results(
    site: Path, submissions: Path
) -> None:
    results = Results.model_validate_json((submissions / "strong" / "results.json").read_bytes())
    lines = list(csv.DictReader((site / "submissions" / "strong" / "results.csv").open()))
    found = {(line["task"], line["metric"]): line for line in lines}
    first = results.tasks[0].metrics["pass@1"]
    assert float(found["sokoban", "pass@1"]["high"]) == first.high
    assert float(found["sokoban", "pass@1"]["floor"]) == first.floor
    belief = next(task.belief for task in results.tasks if task.belief is not None)
    assert float(found["frozenlake_wm", "belief.gain"]["value"]) == belief.gain.value
    probe = next(task.probe for task in results.tasks if task.probe is not None)
    blocked = found["sokoban_transition", "probe.strata.blocked.accuracy"]
    assert float(blocked["value"]) == probe.strata["blocked"].accuracy.value


def test_boards_are_the_same_as_csv_and_as_json(site: Path) -> None:
    folder = site / "submissions" / "strong"
    told = json.loads((folder / "boards.json").read_text())
    lines = list(csv.DictReader((folder / "boards.csv").open()))
    assert [[row["task"], row["board"], row["episodes"], row["successes"]] for row in told] == [
        [line["task"], line["board"], int(line["episodes"]), int(line["successes"])]
        for line in lines
    ]


def test_boards_of_a_submission_add_up_to_its_scores(site: Path, submissions: Path) -> None:
    results = Results.model_validate_json((submissions / "middling" / "results.json").read_bytes())
    lines = list(csv.DictReader((site / "submissions" / "middling" / "boards.csv").open()))
    for task in results.tasks:
        own = [line for line in lines if line["task"] == task.task]
        assert sum(int(line["successes"]) for line in own) == task.successes
        assert sum(int(line["episodes"]) for line in own) == task.episodes


def test_episodes_of_a_submission_lie_beside_its_page(site: Path) -> None:
    folder = site / "submissions" / "strong"
    found = Elements((folder / "index.html").read_text()).found
    index = json.loads(next(t for _, a, t in found if a.get("id") == "viewer-index"))
    assert [sum(e[0] == i for e in index["episodes"]) for i in range(5)] == [64] * 5
    chunks: list[Any] = []
    for number in range(index["episodes"][-1][4] + 1):
        text = (folder / "episodes" / f"{number}.js").read_text()
        match = re.fullmatch(r'spa\.chunk\(\d+,"([A-Za-z0-9+/=]*)"\);\n', text)
        assert match is not None
        chunks.append(unpacked(match[1]))
    for _, board, repeat, _, chunk, place in index["episodes"]:
        episode = chunks[chunk][place]
        assert (episode["instance"], episode["repeat"], episode.get("note")) == (
            board,
            repeat,
            None,
        )


def test_a_long_text_is_cut_on_the_page_and_says_so(
    submissions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spa_bench.site.submission_page.LONGEST_TEXT", 40)
    strong = entry_of(submissions, "strong")
    (task,) = (t.task for t in measured_tasks([], "spa") if t.name == "sokoban")
    write_submission(strong, tmp_path, {task.name: task}, 4)
    text = (tmp_path / "episodes" / "0.js").read_text().split('"')[1]
    pieces = [p for e in unpacked(text) for t in e["turns"] for _, p in t["reply"]]
    cut = [piece for piece in pieces if "characters are left out here" in piece]
    assert cut
    assert all(len(piece) <= 40 for piece in pieces if piece not in cut)


def test_a_second_build_makes_the_same_files_and_keeps_unchanged_pages(
    site: Path, submissions: Path
) -> None:
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    kept = site / "submissions" / "strong" / "index.html"
    made = kept.stat().st_mtime_ns
    build([submissions], site, REPORTED, most=64)
    assert {path: path.read_bytes() for path in site.rglob("*") if path.is_file()} == before
    assert kept.stat().st_mtime_ns == made


@pytest.fixture
def copies(submissions: Path, tmp_path: Path) -> Path:
    """Submissions that a test may spoil: two of them."""
    for name in ("strong", "random"):
        shutil.copytree(submissions / name, tmp_path / "submissions" / name)
    return tmp_path / "submissions"


def test_a_broken_submission_keeps_no_other_out(copies: Path, tmp_path: Path) -> None:
    (copies / "strong" / "README.md").write_text("altered")
    built = build([copies], tmp_path / "site", REPORTED, most=8)
    assert built.submissions == 1
    assert "README.md" in built.problems[0]
    assert not (tmp_path / "site" / "submissions" / "strong").exists()


def test_a_submission_that_is_gone_is_gone_from_the_site(copies: Path, tmp_path: Path) -> None:
    build([copies], tmp_path / "site", REPORTED, most=8)
    shutil.rmtree(copies / "strong")
    build([copies], tmp_path / "site", REPORTED, most=8)
    assert [row["name"] for row in rows(tmp_path / "site") if row["kind"] == "submission"] == [
        "random"
    ]
    assert not (tmp_path / "site" / "submissions" / "strong").exists()


def test_a_verification_of_other_files_is_no_badge(copies: Path) -> None:
    path = copies / "strong" / "verification.json"
    stated = json.loads(path.read_text()) | {"submission": "0" * 64}
    path.write_text(json.dumps(stated))
    entries = {entry.slug: entry.badge for entry in read_entries(copies).entries}
    assert entries == {"strong": "reported", "random": "replayed"}


@pytest.mark.parametrize("value", [7.0, -3.0, 1e300])
def test_figures_that_no_run_can_have_are_refused(
    copies: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    path = copies / "strong" / "results.json"
    results = json.loads(path.read_text())
    results["tasks"][0]["metrics"]["pass@1"]["value"] = value
    path.write_text(json.dumps(results))
    monkeypatch.setattr("spa_bench.submission.folder.SubmissionFolder.check", lambda self: None)
    assert "which no share can be" in read_entries(copies).problems[0]


def without_its_tasks(results: dict[str, Any]) -> None:
    results["tasks"] = [results["tasks"][0] | {"task": f"t{i}"} for i in range(150)]


def with_metrics_of_its_own(results: dict[str, Any]) -> None:
    for number, task in enumerate(results["tasks"]):
        score = task["metrics"].popitem()[1]
        task["metrics"] = {f"m{number}.{i}": score for i in range(150)}


def with_many_parts(results: dict[str, Any]) -> None:
    results["tasks"][0]["failures"] = {f"f{i}": 1 for i in range(1000)}


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without_its_tasks, "its tasks are not those of submission.json"),
        (with_metrics_of_its_own, "sokoban: no task has a metric 'm0.0'"),
        (with_many_parts, "holds a list of more than 200 parts"),
    ],
)
def test_results_that_would_fill_pages_are_left_out_and_stop_no_other(
    copies: Path, tmp_path: Path, spoil: Callable[[dict[str, Any]], None], says: str
) -> None:
    copy = Copy(copies / "strong")
    results = copy.json("results.json")
    spoil(results)
    copy.write_json("results.json", results)
    copy.sign()
    built = build([copies], tmp_path / "site", REPORTED, most=8)
    assert built.submissions == 1
    (problem,) = built.problems
    assert f"strong/results.json: {says}" in problem


def test_bounds_of_a_page_are_computed_and_not_those_that_are_stated(
    copies: Path, tmp_path: Path
) -> None:
    true, copy = Copy(copies / "strong").json("results.json"), Copy(copies / "strong")
    stated = copy.json("results.json")
    for task in stated["tasks"]:
        for score in task["metrics"].values():
            score.update(floor=0.001, ceiling=0.999, closed_loop=0.999, normalised=0.5)
        if task["belief"]:
            task["belief"].update(copied=0.4321, ceiling=0.4321)
        if task["probe"]:
            task["probe"].update(chance=0.4321, copied=0.4321, best=0.4321)
            for stratum in task["probe"]["strata"].values():
                stratum.update(chance=0.4321, copied=0.4321)
    copy.write_json("results.json", stated)
    copy.sign()
    build([copies], tmp_path / "site", REPORTED, most=8)
    folder = tmp_path / "site" / "submissions" / "strong"
    assert ">43.2<" not in (folder / "index.html").read_text()
    lines = list(csv.DictReader((folder / "results.csv").open()))
    told = {(line["task"], line["metric"]): line for line in lines}
    for task in true["tasks"]:
        for metric, score in task["metrics"].items():
            for bound in ("floor", "ceiling", "normalised"):
                said = told[task["task"], metric][bound]
                assert (float(said) if said else None) == pytest.approx(score[bound])
        if task["probe"]:
            chance = float(told[task["task"], "probe.chance"]["value"])
            assert chance == pytest.approx(task["probe"]["chance"])


@pytest.mark.parametrize("digits", [5, 400, 5_000])
def test_a_number_of_actions_without_end_stops_no_other(
    copies: Path, tmp_path: Path, digits: int
) -> None:
    copy = Copy(copies / "strong")
    results = copy.json("results.json")
    probe = next(task["probe"] for task in results["tasks"] if task["probe"])
    stratum = next(iter(probe["strata"].values()))
    probe["strata"] = {"1": stratum, "9" * digits: stratum}
    copy.write_json("results.json", results)
    copy.sign()
    built = build([copies], tmp_path / "site", REPORTED, most=8)
    assert (tmp_path / "site" / "submissions" / "random" / "index.html").is_file()
    if digits > 100:
        assert "a name of more than 100 characters" in built.problems[0]
    else:
        page = tmp_path / "site" / "submissions" / "strong" / "index.html"
        assert "after k actions" not in page.read_text()


def test_a_page_that_cannot_be_made_keeps_no_other_out(
    copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(entry: Entry, *arguments: Any) -> Any:
        if entry.slug == "strong":
            raise OverflowError("too\nlarge")
        return write_submission(entry, *arguments)

    monkeypatch.setattr("spa_bench.site.build.write_submission", broken)
    built = build([copies], tmp_path / "site", REPORTED, most=8)
    (problem,) = built.problems
    assert "strong: has no page: OverflowError: too large" in problem
    assert [row["name"] for row in rows(tmp_path / "site") if row["kind"] == "submission"] == [
        "random"
    ]


def test_a_name_that_is_a_formula_is_none_in_the_table_for_spreadsheets(site: Path) -> None:
    from spa_bench.site.downloads import as_lines
    from spa_bench.site.rows import Row, Table

    table = Table([], [Row("submission", "=1+1", "@spa", "reported", None)], {})
    assert list(as_lines(table))[1][2:4] == ["'=1+1", "'@spa"]


def test_a_folder_that_holds_something_else_is_left_alone(copies: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="not a site made here"):
        build([copies], tmp_path / "mine", REPORTED, most=8)


def test_submissions_of_several_folders_stand_together_and_a_name_stands_once(
    copies: Path, tmp_path: Path
) -> None:
    others = tmp_path / "others"
    shutil.copytree(copies / "strong", others / "strong")
    shutil.move(copies / "random", others / "random")
    built = build([copies, others], tmp_path / "site", REPORTED, most=8)
    assert built.submissions == 2
    assert built.problems == [f"{others / 'strong'}: {copies / 'strong'} has the same name"]
    assert (tmp_path / "site" / "submissions" / "random" / "index.html").is_file()


def test_no_folder_of_submissions_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        build([tmp_path / "nowhere"], tmp_path / "site", REPORTED, most=8)


def test_a_site_without_submissions_still_shows_the_bounds(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    build([tmp_path / "none"], tmp_path / "site", tmp_path / "unreported", most=8)
    assert [row["model"] for row in rows(tmp_path / "site")] == [
        "best possible",
        "uniformly random",
    ]


def test_links_to_other_pages_stand_on_the_first(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    arguments = ["--link", "a <b>=runs/index.html", "--link", "c=https://c.example/?d=e"]
    output = ["--output", str(tmp_path / "site"), "--reported", str(tmp_path / "none")]
    with pytest.raises(SystemExit) as exit_:
        main(["leaderboard", "build", str(tmp_path / "none"), *output, *arguments])
    assert exit_.value.code in (None, 0)
    page = (tmp_path / "site" / "index.html").read_text()
    assert (
        'See also: <a href="runs/index.html">a &lt;b&gt;</a>,'
        ' <a href="https://c.example/?d=e">c</a>.</p>'
    ) in page


@pytest.mark.parametrize("link", ["runs/index.html", "=runs/index.html", "runs="])
def test_a_link_without_a_title_or_an_address_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], link: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["leaderboard", "build", str(tmp_path), "--link", link])
    assert exit_.value.code == 2
    assert f"--link: {link!r} is not NAME=ADDRESS" in capsys.readouterr().err


def test_strays_among_the_pages_of_submissions_are_removed_and_what_they_link_to_is_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    build([tmp_path / "none"], tmp_path / "site", tmp_path / "unreported", most=8)
    folder = tmp_path / "site" / "submissions"
    folder.mkdir(exist_ok=True)
    (folder / ".DS_Store").write_bytes(b"\0")
    (folder / "folder").symlink_to(tmp_path / "mine")
    (folder / "file").symlink_to(tmp_path / "mine" / "thesis.txt")
    (folder / "nothing").symlink_to(tmp_path / "nowhere")
    build([tmp_path / "none"], tmp_path / "site", tmp_path / "unreported", most=8)
    assert list(folder.iterdir()) == []
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_file_that_reports_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"schema": "spa-bench/reported/1"}')
    with pytest.raises(InputError, match=r"bad\.json: source"):
        read_reported(tmp_path)


def test_the_command_says_what_was_left_out(
    copies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copies / "random" / "extra.sh").write_text("")
    arguments = [str(copies), "--output", str(tmp_path / "site"), "--reported", str(REPORTED)]
    with pytest.raises(SystemExit) as exit_:
        main(["leaderboard", "build", *arguments])
    assert exit_.value.code == 1
    told = capsys.readouterr()
    assert "left out" in told.err
    assert "extra.sh" in told.err
    assert "(1 submission)" in told.out


def test_pages_of_tasks_that_nobody_played_any_more_are_gone(copies: Path, tmp_path: Path) -> None:
    build([copies], tmp_path / "site", REPORTED, most=8)
    pages = set((tmp_path / "site" / "tasks").iterdir())
    for folder in copies.iterdir():
        shutil.rmtree(folder)
    build([copies], tmp_path / "site", tmp_path / "unreported", most=8)
    left = set((tmp_path / "site" / "tasks").iterdir())
    assert left < pages
    assert tmp_path / "site" / "tasks" / "index.html" in left


def test_no_name_in_a_submissions_tables_is_a_formula(copies: Path, tmp_path: Path) -> None:
    copy = Copy(copies / "random")
    results = copy.json("results.json")
    for task in results["tasks"]:
        task["failures"] = {"=1+1": 1}
    copy.write_json("results.json", results)
    copy.sign()
    assert build([copies], tmp_path / "site", REPORTED, most=8).problems == []
    tables = list((tmp_path / "site" / "submissions").rglob("*.csv"))
    assert tables
    assert not any(cell.startswith("=") for t in tables for cell in t.read_text().split(","))
