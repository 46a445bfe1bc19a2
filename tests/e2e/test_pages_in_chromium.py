"""The pages in a real browser, opened from the disk: keys, sorting, filters, comparing."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from believer import MARKUP
from pages import REPORTED, play_run, submissions_once

from spa_bench.registry import Registry
from spa_bench.results.compare import LoggedRun, compare
from spa_bench.runner.log import RunFolder
from spa_bench.site.build import build
from spa_bench.site.view import run_page
from spa_bench.submission.about import check
from spa_bench.submission.pack import pack
from spa_bench.submission.schema import Flag
from spa_bench.submission.verify import verify, write_verification

api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page, and fails the test for anything its console complains of or it fetches."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def open_(path: Path, anchor: str = "", **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on(
            "request",
            lambda asked: (
                None
                if asked.url.startswith(("file:", "data:"))
                else complaints.append(f"fetched {asked.url}")
            ),
        )
        page.goto(path.as_uri() + anchor)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


# -- one run ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = play_run(tmp_path_factory.mktemp("run"))
    (folder / "view.html").write_text(run_page(folder), encoding="utf-8")
    return folder


@pytest.fixture
def viewer(run: Path, opened: Callable[..., Any]) -> Any:
    page = opened(run / "view.html")
    page.wait_for_selector(".stop[aria-current]")
    return page


def part(page: Any, name: str) -> Any:
    return page.locator(f'[data-part="{name}"]')


def test_arrows_step_through_an_episode_and_stop_at_its_ends(viewer: Any) -> None:
    position = part(viewer, "position")
    total = int(position.inner_text().split()[-1])
    assert position.inner_text() == f"step 1 of {total}"
    for step in range(2, total + 1):
        viewer.keyboard.press("ArrowRight")
        assert position.inner_text() == f"step {step} of {total}"
    viewer.keyboard.press("ArrowRight")
    assert position.inner_text() == f"step {total} of {total}"
    viewer.keyboard.press("ArrowLeft")
    assert position.inner_text() == f"step {total - 1} of {total}"
    viewer.keyboard.press("Home")
    assert position.inner_text() == f"step 1 of {total}"


def test_keys_go_to_the_next_episode_and_back(viewer: Any) -> None:
    title = part(viewer, "title")
    assert "board 123 · repeat 0" in title.inner_text()
    viewer.keyboard.press("n")
    api.expect(title).to_contain_text("board 123 · repeat 1")
    viewer.keyboard.press("p")
    api.expect(title).to_contain_text("board 123 · repeat 0")


def test_a_step_moves_the_player_on_the_board(viewer: Any) -> None:
    board = part(viewer, "board").locator("svg.board")
    seen = {board.get_attribute("aria-label")}
    for _ in range(4):
        viewer.keyboard.press("ArrowRight")
        seen.add(board.get_attribute("aria-label"))
    assert len({label.split(": ", 1)[1] for label in seen}) > 1


def test_a_wrong_belief_is_marked_on_the_board_and_in_words(viewer: Any) -> None:
    observed = part(viewer, "observed")
    for _ in range(60):
        if observed.locator(".mark.wrong").count():
            break
        viewer.keyboard.press("]")
        if part(viewer, "forward").is_disabled():
            viewer.keyboard.press("n")
            viewer.wait_for_timeout(20)
    marked = observed.locator(".mark.wrong").count()
    assert marked
    assert f"{marked} cell" in observed.locator(".caption").inner_text()
    assert "differs from the truth" in observed.locator("svg").get_attribute("aria-label")


def test_a_reply_is_shown_as_it_was_written(viewer: Any) -> None:
    assert MARKUP in part(viewer, "reply").text_content()
    assert part(viewer, "reply").locator("img").count() == 0
    assert part(viewer, "reply").locator("mark.observation").count() == 1


def test_every_world_is_drawn(viewer: Any) -> None:
    for number, piece in enumerate((".box", ".hole", ".digit.given")):
        viewer.locator(".tab").nth(number).click()
        api.expect(part(viewer, "board").locator(piece).first).to_be_visible()


def test_a_filter_leaves_only_its_outcome_to_step_through(viewer: Any) -> None:
    viewer.locator(".tab").nth(1).click()
    chip = viewer.locator(".chip", has_text="hole")
    wanted = int(chip.locator(".count").inner_text())
    chip.click()
    titles = set()
    for _ in range(wanted):
        viewer.keyboard.press("n")
        viewer.wait_for_timeout(30)
        api.expect(part(viewer, "outcome")).to_have_text("failed: hole")
        titles.add(part(viewer, "title").inner_text())
    assert len(titles) == wanted


def test_an_address_leads_back_to_its_step(viewer: Any, run: Path, opened: Any) -> None:
    viewer.keyboard.press("n")
    viewer.keyboard.press("ArrowRight")
    viewer.wait_for_timeout(50)
    anchor = viewer.evaluate("location.hash")
    again = opened(run / "view.html", anchor)
    again.wait_for_selector(".stop[aria-current]")
    for name in ("title", "position"):
        assert part(again, name).inner_text() == part(viewer, name).inner_text()


def test_keys_are_left_to_what_scrolls_and_to_the_rest_of_the_page(run: Path, opened: Any) -> None:
    page = opened(run / "view.html", viewport={"width": 360, "height": 800})
    page.wait_for_selector(".stop[aria-current]")
    position, title = part(page, "position").inner_text(), part(page, "title").inner_text()
    table = page.locator("div.scroll").first
    table.focus()
    page.keyboard.press("ArrowRight")
    # asked from here: what waits inside the page evaluates strings, which its policy forbids
    deadline = time.monotonic() + 20
    while not table.evaluate("table => table.scrollLeft") and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    assert table.evaluate("table => table.scrollLeft") > 0
    part(page, "reply").focus()
    for key in ("ArrowRight", "End", "]", "n"):
        page.keyboard.press(key)
    page.evaluate("document.querySelector('h1').tabIndex = -1")
    page.locator("h1").focus()
    for key in ("ArrowRight", "End", "]", "n"):
        page.keyboard.press(key)
    assert part(page, "position").inner_text() == position
    assert part(page, "title").inner_text() == title
    part(page, "forward").focus()
    page.keyboard.press("ArrowRight")
    assert part(page, "position").inner_text() != position


@pytest.mark.parametrize("anchor", ["#%", "#%E0%A4%A:0:0:0.0"])
def test_a_malformed_address_opens_the_first_episode(run: Path, opened: Any, anchor: str) -> None:
    page = opened(run / "view.html", anchor)
    page.wait_for_selector(".stop[aria-current]")
    assert "board 123 · repeat 0" in part(page, "title").inner_text()


@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out(run: Path, opened: Any, width: int, scheme: str) -> None:
    page = opened(run / "view.html", viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.wait_for_selector(".stop[aria-current]")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


# -- the leaderboard -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return submissions_once(tmp_path_factory).parent


@pytest.fixture(scope="module")
def site(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build([made / "submissions"], folder, REPORTED, most=32)
    return folder


def column(page: Any, key: str) -> list[str]:
    return page.evaluate(
        """key => {
          const at = [...document.querySelectorAll('#leaderboard thead th')]
            .findIndex(head => head.dataset.key === key);
          return [...document.querySelectorAll('#leaderboard tbody tr')]
            .filter(row => !row.hidden).map(row => row.cells[at].dataset.v ?? null);
        }""",
        key,
    )


def test_columns_sort_both_ways_with_what_is_missing_last(site: Path, opened: Any) -> None:
    page = opened(site / "index.html")
    for key in ("sokoban:pass@1", "frozenlake_slippery:pass@1", "parameters"):
        head = page.locator(f'th[data-key="{key}"]')
        for order, sign in (("descending", -1), ("ascending", 1)):
            head.locator("button").click()
            assert head.get_attribute("aria-sort") == order
            values = [None if v is None else sign * float(v) for v in column(page, key)]
            known = [v for v in values if v is not None]
            assert known == sorted(known)
            assert values[: len(known)] == known
    assert page.locator("[aria-sort]").count() == 1


def test_sorting_by_a_task_shows_the_ranks_on_it(site: Path, opened: Any) -> None:
    page = opened(site / "index.html")
    page.locator('th[data-key="sudoku:pass@1"] button').click()
    told = json.loads((site / "leaderboard.json").read_text())["rows"]
    expected = {r["name"]: r["ranks"]["sudoku"]["best"] for r in told if "sudoku" in r["ranks"]}
    for slug, rank in expected.items():
        cell = page.locator(f'tr[data-slug="{slug}"] td.rank')
        assert cell.get_attribute("data-v") == str(rank)


def test_filters_by_words_badge_and_method(site: Path, opened: Any) -> None:
    page = opened(site / "index.html")
    page.fill("#find", "qwen spa")
    assert set(column(page, "method")) == {"SPA", "SPA's fine-tuning alone"}
    assert page.inner_text("#count") == "6 of 36 rows"
    page.fill("#find", "")
    page.select_option("#badge", "replayed")
    assert sorted(column(page, "model")) == ["Middling-1B", "Random-1B", "Strong-1B"]
    page.select_option("#method", "baseline")
    assert column(page, "model") == ["Random-1B"]


def test_columns_can_be_chosen(site: Path, opened: Any) -> None:
    page = opened(site / "index.html")
    head = page.locator('th[data-key="sokoban:pass@8"], th[data-key="sokoban:normalised"]').first
    key = head.get_attribute("data-key")
    assert head.is_hidden()
    page.click(".choose summary")
    page.check(f'[data-column="{key}"]')
    assert head.is_visible()
    page.uncheck(f'[data-column="{key}"]')
    assert head.is_hidden()


def test_the_table_is_used_by_keyboard_alone(site: Path, opened: Any) -> None:
    page = opened(site / "index.html")
    page.focus('th[data-key="model"] button')
    page.keyboard.press("Enter")
    models = column(page, "model")
    assert models == sorted(models, key=str.lower)


def test_two_are_compared_as_the_command_compares_them(site: Path, made: Path, opened: Any) -> None:
    page = opened(site / "compare.html")
    page.select_option("#first", "strong")
    page.select_option("#second", "random")
    runs = [LoggedRun.read(made / "runs" / name) for name in ("strong", "random")]
    for expected in compare(*runs):
        if expected.metric not in ("pass@1", "accuracy"):
            continue
        line = page.locator(f'tr[data-task="{expected.task}"]')
        numbers = [text.replace("−", "-") for text in line.locator("td").all_inner_texts()]
        difference = expected.result.difference
        assert numbers[0] == str(expected.result.boards)
        assert float(numbers[1]) == pytest.approx(100 * expected.first_score.value, abs=0.051)
        assert float(numbers[2]) == pytest.approx(100 * expected.second_score.value, abs=0.051)
        value, interval, *_ = numbers[3].split("\n")
        assert float(value) == pytest.approx(100 * difference.value, abs=0.051)
        low, high = map(float, interval.split(" to "))
        assert low == pytest.approx(100 * difference.low, abs=0.051)
        assert high == pytest.approx(100 * difference.high, abs=0.051)


def test_a_malformed_address_compares_the_first_two(site: Path, opened: Any) -> None:
    page = opened(site / "compare.html", "#%")
    page.wait_for_selector("#comparison tr[data-task]")


def test_points_that_are_links_are_read_out(site: Path, opened: Any) -> None:
    page = opened(site / "index.html")
    group = page.get_by_role("group", name="Success against tokens")
    assert group.get_by_role("link", name="Strong-1B").count() == 1


def test_episodes_of_a_submission_are_fetched_when_they_are_wanted(site: Path, opened: Any) -> None:
    page = opened(site / "submissions" / "strong" / "index.html")
    page.wait_for_selector(".stop[aria-current]")
    assert page.locator("head script").count() == 1
    page.locator(".tab").last.click()
    api.expect(part(page, "title")).to_contain_text("sokoban_transition")
    assert page.locator("head script").count() == 2


def test_a_task_is_stepped_through_on_its_page(site: Path, opened: Any) -> None:
    page = opened(site / "tasks" / "sokoban.html")
    page.wait_for_selector(".stop[aria-current]")
    page.keyboard.press("End")
    assert part(page, "outcome").inner_text() == "solved"
    assert page.locator(".box-on").count() == 1


@pytest.fixture(scope="module")
def hostile(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A leaderboard of one submission whose every text is markup, or as long as can be."""
    folder = tmp_path_factory.mktemp("hostile")
    about = {
        "name": "evil",
        "model": (MARKUP.replace("\u2028", "") + "x" * 120)[:120],
        "method": "=cmd()|'<svg onload=alert(1)>'" + "W" * 80,
        "provider": "<b>",
        "submitted_by": "<script>alert(1)</script>",
        "notes": "</dl>{{ 7 * 7 }}" + "n" * 900,
        "training": "none",
        "date": "2026-01-01",
    }
    run = RunFolder(made / "runs" / "strong")
    submission = pack(run, check(about), folder / "submissions" / "evil", Registry())
    found = verify(submission, Registry()).verification
    assert found is not None
    flag = Flag(kind="salt", says=f"{MARKUP}{'w' * 400}")
    write_verification(submission, found.model_copy(update={"flags": [flag]}))
    assert build([submission.path.parent], folder / "site", REPORTED, most=4).problems == []
    return folder / "site"


@pytest.mark.parametrize("width", [360, 1400])
def test_texts_of_a_hostile_submission_are_shown_as_text(
    hostile: Path, opened: Any, width: int
) -> None:
    for path in ("index.html", "submissions/evil/index.html", "tasks/sokoban.html"):
        page = opened(hostile / path, viewport={"width": width, "height": 800})
        assert "<img src=x onerror=alert(1)>" in page.inner_text("main")
        assert page.locator("main img, main b, main script[src]").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_pages_that_are_only_looked_at_have_nothing_to_complain_of(site: Path, opened: Any) -> None:
    for path in ("submissions/unchecked/index.html", "tasks/index.html", "tasks/sudoku.html"):
        page = opened(site / path, viewport={"width": 360, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
