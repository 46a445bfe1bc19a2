"""What a submission is called where nobody says."""

from __future__ import annotations

import pytest

from spa_bench.submission.about import name_of, slug


@pytest.mark.parametrize(
    ("model", "method", "name"),
    [
        ("SmolLM2-135M", "prompting", "smollm2-135m-prompting"),
        ("nano-spa", "spa", "nano-spa"),
        (
            "nano-state-estimation-frozenlake",
            "state_estimation",
            "nano-state-estimation-frozenlake",
        ),
        ("nano", "state_estimation", "nano-state-estimation"),
        ("random", "baseline", "random-baseline"),
        ("spa", "spa", "spa"),
        ("Grandspa", "spa", "grandspa-spa"),
    ],
)
def test_a_name_says_model_and_method_once(model: str, method: str, name: str) -> None:
    assert name_of(model, method) == name


def test_a_name_is_safe_in_a_path() -> None:
    assert slug("../../Etc/ passwd ") == "etc-passwd"
