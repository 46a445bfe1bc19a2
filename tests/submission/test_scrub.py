"""Keys, local paths and names of machines are taken out; all else stays."""

from __future__ import annotations

import pytest

from spa_bench.submission.scrub import Scrubber

SCRUBBER = Scrubber(
    {"OPENAI_API_KEY": "correct horse battery", "PATH": "/usr/bin", "MY_TOKEN": "short"},
    ("node-042", "ab"),
    "/home/ada lovelace",
)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("key sk-proj-abc_DEF-12345678 rejected", "key [key] rejected"),
        ("hf_abcdefghijklmnop", "[key]"),
        ("ghp_0123456789abcdef", "[key]"),
        ("AKIAIOSFODNN7EXAMPLE", "[key]"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [key]"),
        ("?api_key=abc&x=1", "?api_key=[key]&x=1"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "[key]"),
        ("said correct horse battery to it", "said [key] to it"),
        ("POST https://user:pass@host.example:8443/v1/chat timed out", "POST [server] timed out"),
        ("10.1.2.3:8000 refused", "[server] refused"),
        ("[fe80:0:0:1::5]:80 refused", "[server] refused"),
        ("connect localhost:8000", "connect [server]"),
        ("gpu7.cluster.internal is down", "[server] is down"),
        ("node-042 is down", "[server] is down"),
        ("no file /mnt/models/x-1/config.json here", "no file [path] here"),
        ("~/models/x", "[path]"),
        ("/home/ada lovelace/x", "[path]"),
        (r"C:\Users\ada\x.bin missing", "[path] missing"),
        (r"\\share\models\x missing", "[path] missing"),
        ("lovelace", "lovelace"),
    ],
)
def test_what_is_private_is_replaced(text: str, clean: str) -> None:
    assert SCRUBBER.text(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "hf/Qwen/Qwen2.5-1.5B-Instruct",
        "openai/gpt-5",
        "503 Service Unavailable",
        "1/2 of all turns, and/or more",
        "transformers 5.23.0, python 3.11.7",
        "</think><answer>Up</answer>",
        "short",
        "2026-11-23T10:20:30Z",
        "sk-1",
        "the key is lost",
    ],
)
def test_what_is_not_private_stays(text: str) -> None:
    assert SCRUBBER.text(text) == text


def test_settings_that_hold_keys_are_left_out_and_others_scrubbed() -> None:
    secret = {"api_key": "x", "HF_TOKEN": "y", "token": "z"}
    settings = {**secret, "max_tokens": 5, "deep": [{"at": "10.0.0.1"}, 1.5]}
    assert SCRUBBER.value(settings) == {"max_tokens": 5, "deep": [{"at": "[server]"}, 1.5]}


def test_this_machine_is_known() -> None:
    assert Scrubber.of_this_machine().hosts
