"""Nothing that somebody else wrote gives orders to a terminal."""

from __future__ import annotations

import io
import json
import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

from spa_bench.terminal import Plain, printable, redrawing, unfiltered

ORDERS = "\x1b[2J\x1b]0;title\x07\x9b31m\r\b\x00\x7f\u202e\u2066\u200b\u2028\ud800"


def gives_orders(text: str) -> bool:
    """Whether a terminal would obey any of it: control characters, turned order, no text at all."""
    return any(
        unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs")
        or unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF")
        or unicodedata.bidirectional(c) in ("LRI", "RLI", "FSI", "PDI")
        for c in text.replace("\n", "").replace("\t", "")
    )


def test_orders_are_written_out() -> None:
    assert printable("a\x1b[31mb\u202ec\rd") == r"a\u001b[31mb\u202ec\rd"


def test_text_in_any_script_is_left_as_it_is() -> None:
    text = "Zug nach Köln\n\t上 || 下 🏔️ שלום ✔ √ Ünïcödé"
    assert printable(text) == text


@given(st.text(st.characters(codec=None)))
def test_no_text_gives_orders_once_it_is_printable(text: str) -> None:
    assert not gives_orders(printable(text))


@given(st.text(st.characters(codec=None)))
def test_json_stays_the_same_json(text: str) -> None:
    for ascii_only in (True, False):
        written = json.dumps({text: [text]}, ensure_ascii=ascii_only)
        assert json.loads(printable(written)) == {text: [text]}


@given(st.text())
def test_what_is_printable_stays_as_it_is(text: str) -> None:
    assert printable(printable(text)) == printable(text)


def test_a_plain_stream_filters_whatever_is_written() -> None:
    behind = io.StringIO()
    plain = Plain(behind)
    print(ORDERS, "a", file=plain)  # type: ignore[arg-type]
    plain.writelines([ORDERS])
    assert behind.getvalue().startswith(r"\u001b[2J")
    assert not gives_orders(behind.getvalue())


def test_a_library_may_draw_its_progress_anew_and_give_no_other_order(monkeypatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", Plain(terminal))
    with redrawing():
        for _ in tqdm(range(2), desc=f"model\x1b[2J{ORDERS[-2]}", mininterval=0):
            pass
    drawn = terminal.getvalue()
    assert drawn.count("\r") > 2
    assert "100%" in drawn
    assert not gives_orders(drawn.replace("\r", "").replace("\x1b[A", ""))
    print("\r", file=sys.stderr)
    assert terminal.getvalue() == drawn + "\\r\n"


def test_colours_of_ones_own_go_to_the_stream_behind() -> None:
    behind = io.StringIO()
    assert unfiltered(Plain(behind)) is behind  # type: ignore[arg-type]
    assert unfiltered(behind) is behind
