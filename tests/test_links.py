"""Every link between the repository's own pages leads somewhere, to the heading that it names."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page for folder in (".", "docs", "leaderboard") for page in ROOT.glob(f"{folder}/*.md")
)


def _prose(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def _anchors(page: Path) -> set[str]:
    """Returns the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", _prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _leads_nowhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    to = page.parent / path if path else page
    return not to.exists() or (to.suffix == ".md" and bool(anchor) and anchor not in _anchors(to))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)\s]+)\)", _prose(page))
    ours = [target for target in targets if not re.match(r"\w+:", target)]
    assert [target for target in ours if _leads_nowhere(page, target)] == []


def test_a_link_to_no_file_or_no_heading_is_found(tmp_path):
    (tmp_path / "a.md").write_text("# One, two's\n\n```\n# no heading\n```\n")
    page = tmp_path / "a.md"
    assert not any(
        _leads_nowhere(page, target) for target in ("#one-twos", "a.md#one-twos", "a.md")
    )
    assert all(_leads_nowhere(page, target) for target in ("#no-heading", "b.md", "a.md#two"))
