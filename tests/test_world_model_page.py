"""The page of what models know of the worlds."""

from pathlib import Path

import pytest

from benchmarks.world_model_page import write_page
from spa_bench.errors import InputError

PAGE = Path(__file__).parents[1] / "docs" / "world-model.md"


def test_a_page_does_not_lose_models_that_are_not_measured_here(tmp_path):
    page, runs = tmp_path / "page.md", tmp_path / "runs"
    (runs / "nano-base-sokoban").mkdir(parents=True)  # begun, and nothing measured
    text = PAGE.read_text(encoding="utf-8")
    page.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"page\.md shows SmolLM2.*, baseline/oracle.*nano-base,"):
        write_page(runs, page)
    assert page.read_text(encoding="utf-8") == text


def test_the_introduction_of_the_page_is_the_generators(tmp_path):
    write_page(tmp_path / "runs", tmp_path / "page.md")
    made, shipped = (
        path.read_text(encoding="utf-8").partition("\n## ")[0].rstrip()
        for path in (tmp_path / "page.md", PAGE)
    )
    assert made == shipped
    assert "`-` under a model means that it was not asked that probe" in made
