"""What a checkpoint says of itself is read as something that anybody may have written."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from spa_bench.checkpoint import BOARDS, CARD, read_boards, read_card
from spa_bench.errors import InputError

PACKED = gzip.compress(b'{"sokoban/6x6": ["0123"]}', mtime=0)

BAD_BOARDS = {
    "no gzip": b"junk",
    "cut off": PACKED[:-6],
    "altered": PACKED[:12] + bytes([PACKED[12] ^ 255]) + PACKED[13:],
    "no JSON": gzip.compress(b"junk"),
    "nested without end": gzip.compress(b"[" * 200_000),
    "half a character": gzip.compress(b'{"a": ["\\ud800"]}'),
    "not a manifest": gzip.compress(b'{"a": {"b": 1}}'),
    "a bomb": gzip.compress(b" " * 201_000_000, 1),
}

BAD_CARDS = {
    "no JSON": b"junk",
    "nested without end": b"[" * 200_000,
    "no text": b"\xff\xfe",
    "another schema": b'{"schema": "mine/1"}',
    "too large": b" " * 10_000_001,
}


def test_a_manifest_is_read(tmp_path: Path) -> None:
    (tmp_path / BOARDS).write_bytes(PACKED)
    assert read_boards(tmp_path) == {"sokoban/6x6": frozenset({"0123"})}


@pytest.mark.parametrize("kind", BAD_BOARDS)
def test_a_bad_manifest_is_one_line_that_names_it(tmp_path: Path, kind: str) -> None:
    (tmp_path / BOARDS).write_bytes(BAD_BOARDS[kind])
    with pytest.raises(InputError, match=BOARDS) as caught:
        read_boards(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kind", BAD_CARDS)
def test_a_bad_card_is_one_line_that_names_it(tmp_path: Path, kind: str) -> None:
    (tmp_path / CARD).write_bytes(BAD_CARDS[kind])
    with pytest.raises(InputError, match=CARD) as caught:
        read_card(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_in_their_place_is_one_line(tmp_path: Path) -> None:
    for name in (BOARDS, CARD):
        os.mkdir(tmp_path / name)
    for read in (read_boards, read_card):
        with pytest.raises(InputError):
            read(tmp_path)


def test_a_checkpoint_may_say_nothing(tmp_path: Path) -> None:
    assert read_boards(tmp_path) == {}
    assert read_card(tmp_path) is None
