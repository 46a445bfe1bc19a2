"""Warnings: each collapse is seen when it happens, said once, and a healthy run is left alone."""

import pytest

from spa_trainers.watch import SIGNS, warnings


def _healthy(step):
    return {
        "step": step,
        "reward": 1 + step / 100,
        "kept": 0.5,
        "format": min(1, 0.8 + step / 100),
        "cut_off": 0.01,
        "reply_tokens": 10 + step,  # longer, and better for it
        "success": 0.2 + step / 200,
        "entropy": 0.5 - step / 200,
        "explained_variance": -0.1 if step < 10 else 0.4,
        "logprob_gap": 1e-5,
        **({"world/pass@1": 0.3 + step / 200, "world/pass@8": 0.7} if step % 10 == 0 else {}),
    }


def _run(steps, **changes):
    """A healthy run, but for what `changes` say of a step: key -> function of the step."""
    return [{**_healthy(s), **{k: f(s) for k, f in changes.items()}} for s in range(1, steps + 1)]


def _said(lines):
    """All warnings of a run in which what is said is kept in the log, as a trainer does."""
    found = {}
    for i, line in enumerate(lines):
        new = warnings(lines[: i + 1])
        assert not set(new) & set(found)
        if new:
            line["warnings"] = list(new)
        found |= {name: (line["step"], text) for name, text in new.items()}
    return found


def test_a_healthy_run_is_left_alone():
    assert _said(_run(60)) == {}


COLLAPSES = {
    "entropy": {"entropy": lambda s: 0.5 * 0.9**s},
    "equal_rewards": {"kept": lambda s: 0.0 if s > 7 else 0.5},
    "format": {"format": lambda s: 0.9 if s < 20 else 0.5},
    "cut_off": {"cut_off": lambda s: min(1, s / 50)},
    "rambling": {"reply_tokens": lambda s: 10 + s, "success": lambda s: 0.2},
    "critic": {"explained_variance": lambda s: -0.2},
    "logprob_gap": {"logprob_gap": lambda s: 0.11 if s == 9 else 0.01},
}


@pytest.mark.parametrize("name", COLLAPSES)
def test_a_collapse_is_seen_said_once_and_comes_with_advice(name):
    said = _said(_run(60, **COLLAPSES[name]))
    assert list(said) == [name]
    assert "; " in said[name][1]
    assert "`" in said[name][1]


def test_equal_rewards_are_said_after_three_steps():
    step, text = _said(_run(20, **COLLAPSES["equal_rewards"]))["equal_rewards"]
    assert step == 10
    assert "nothing was learnt" in text
    assert "sft" in text


def _evaluated(pairs):
    lines = _run(10 * len(pairs))
    for (one, many), line in zip(pairs, lines[9::10], strict=True):
        line |= {"world/pass@1": one, "world/pass@8": many}
    return lines


def test_many_tries_that_solve_less_while_one_solves_more():
    said = _said(_evaluated([(0.2, 0.6), (0.3, 0.8), (0.4, 0.75), (0.5, 0.6)]))
    assert list(said) == ["diversity"]
    assert (
        "Pass@8 fell from 80.0% to 67.5% while Pass@1 rose from 30.0% to 45.0%"
        in (said["diversity"][1])
    )


@pytest.mark.parametrize(
    "pairs",
    [
        [(0.2, 0.6), (0.3, 0.8), (0.2, 0.6), (0.1, 0.5)],  # both fall: another illness
        [(0.2, 0.6), (0.3, 0.8), (0.4, 0.8), (0.5, 0.74)],  # one evaluation says little
    ],
)
def test_what_is_not_a_loss_of_diversity(pairs):
    assert "diversity" not in _said(_evaluated(pairs))


def test_lines_that_say_nothing_are_no_sign():
    assert warnings([{"step": 0}]) == {}
    assert all(sign.look([{"step": 0}]) is None for sign in SIGNS)
