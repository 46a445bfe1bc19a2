"""Escaping: whatever is text stays text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import pytest
from believer import MARKUP
from hypothesis import given
from hypothesis import strategies as st

from spa_bench.site.pages import alone, joined, json_block, number, percent, render, static

_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=10,
)


@given(_JSON)
def test_data_comes_back_and_holds_no_markup(value: Any) -> None:
    block = json_block(value)
    assert json.loads(block) == value
    assert not set(block) & set("<>&\u2028\u2029")


def test_data_with_markup_in_it_holds_none() -> None:
    assert json.loads(json_block({MARKUP: MARKUP})) == {MARKUP: MARKUP}
    assert "<" not in json_block(MARKUP)


def test_what_is_no_number_is_null() -> None:
    assert json_block({"a": [float("nan"), float("inf"), 1.5]}) == '{"a":[null,null,1.5]}'


@pytest.mark.parametrize("name", ["board.js", "viewer.js", "style.css"])
def test_files_put_inside_a_page_cannot_end_their_element(name: str) -> None:
    assert not re.search(r"</(script|style)|<!--", static(name), re.IGNORECASE)


def test_the_policy_names_exactly_the_script_and_style() -> None:
    script, style = joined("board.js", "viewer.js"), static("style.css")
    for text in (script, style):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in alone(script, style)
    assert "unsafe" not in alone(script, style)


def test_a_template_without_a_value_fails() -> None:
    with pytest.raises(Exception, match="undefined"):
        render("view.html")


def test_numbers_that_are_not_there_are_dashes() -> None:
    assert (percent(None), percent(float("nan")), percent(0.375)) == ("–", "–", "37.5")
    assert (number(None), number(1234.5, 1)) == ("–", "1,234.5")
