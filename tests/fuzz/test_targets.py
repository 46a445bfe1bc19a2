"""The fuzzers' targets, on their committed corpus and on whatever hypothesis thinks of.

`make fuzz` runs them for long, guided by coverage.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.__main__ import TARGETS, corpus, target
from fuzz.edits import Bytes, edited

CORPUS = [(name, path) for name in TARGETS for path in corpus(name)]


@pytest.mark.parametrize(("name", "path"), CORPUS, ids=lambda part: getattr(part, "name", part))
def test_what_was_found_once_is_no_fault_any_more(name: str, path: Path) -> None:
    target(name)(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=300))
@settings(max_examples=60)
def test_any_bytes_are_no_fault(name: str, data: bytes) -> None:
    target(name)(data)


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_is_explained_and_has_a_corpus(name: str) -> None:
    assert importlib.import_module(f"fuzz.{name}").__doc__
    assert corpus(name)


@given(st.binary(max_size=64))
def test_edits_leave_the_record_itself_alone(data: bytes) -> None:
    record = {"a": [1, {"b": "c"}], "d": {"e": [None]}}
    edited(record, Bytes(data))
    assert record == {"a": [1, {"b": "c"}], "d": {"e": [None]}}


def test_edits_reach_into_a_record() -> None:
    record = {"a": [1, {"b": "c"}], "d": {"e": [None]}}
    changed = [edited(record, Bytes(bytes([i, j, k, 3, 2, 1]))) for i, j, k in SOME]
    assert any(value != record and isinstance(value, dict) for value in changed)


SOME = [(i, j, k) for i in range(1, 5) for j in range(4) for k in range(1, 5)]
