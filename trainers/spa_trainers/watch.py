"""Signs that a reinforcement learning is going wrong, read off its log, and what to try then.

Pure functions over the lines of `log.jsonl`. A sign is one that a person would see in the curves
when looking at the right moment; nothing here stops a training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Line: TypeAlias = dict[str, Any]
"""A line of the log: a step. Keys that a step has nothing to say of are not there."""

_AVERAGED = 5
"""Steps that are averaged before they are compared: one step says little."""


@dataclass(frozen=True)
class Sign:
    """One way of going wrong.

    Attributes:
        name: as the log keeps it.
        look: returns what is seen at the last of the lines, None if all is well.
        advice: what to try.
    """

    name: str
    look: Callable[[Sequence[Line]], str | None]
    advice: str


def warnings(lines: Sequence[Line]) -> dict[str, str]:
    """Returns the signs that the last line shows for the first time: name -> what and what to try.

    A sign is new if no earlier line keeps its name under `warnings`; so each is said once, also
    when a training was interrupted in between.
    """
    said = {name for line in lines for name in line.get("warnings", ())}
    found = {sign.name: (sign.look(lines), sign.advice) for sign in SIGNS if sign.name not in said}
    return {name: f"{seen}; {advice}" for name, (seen, advice) in found.items() if seen}


def values(lines: Sequence[Line], key: str) -> list[float]:
    """Returns what the lines that have a key say of it, in order."""
    return [line[key] for line in lines if key in line]


def _entropy(lines: Sequence[Line]) -> str | None:
    found = values(lines, "entropy")
    if len(found) < 2 * _AVERAGED:
        return None
    first, last = _ends(found)
    if last >= 0.1 * first:
        return None
    return f"entropy fell from {first:.3f} to {last:.3f} nats per token: little exploration is left"


def _equal_rewards(lines: Sequence[Line]) -> str | None:
    kept = values(lines, "kept")[-3:]
    if len(kept) < 3 or any(kept):
        return None
    return (
        "for 3 steps, all episodes of each board got the same reward, so no group was kept and"
        f" nothing was learnt (mean reward {values(lines, 'reward')[-1]:.3g})"
    )


def _format(lines: Sequence[Line]) -> str | None:
    found = values(lines, "format")
    means = [_mean(found[i : i + _AVERAGED]) for i in range(len(found) - _AVERAGED + 1)]
    if not means or means[-1] > max(means) - 0.2:
        return None
    return f"the share of replies in the format fell from {max(means):.0%} to {means[-1]:.0%}"


def _cut_off(lines: Sequence[Line]) -> str | None:
    found = values(lines, "cut_off")
    if len(found) < _AVERAGED or (share := _mean(found[-_AVERAGED:])) <= 0.2:
        return None
    return f"{share:.0%} of replies hit the token limit before they are complete"


def _rambling(lines: Sequence[Line]) -> str | None:
    found, solved = values(lines, "reply_tokens"), values(lines, "success")
    if len(found) < 4 * _AVERAGED or len(solved) < len(found):
        return None
    (first, last), (before, now) = _ends(found), _ends(solved)
    if last < 2 * first or now > before + 0.05:
        return None
    return (
        f"replies grew from {first:.0f} to {last:.0f} tokens, but success hardly rose"
        f" ({before:.0%} to {now:.0%})"
    )


def _diversity(lines: Sequence[Line]) -> str | None:
    """What the paper saw in RL without a world model: k tries come to solve less than they did."""
    evaluations = [line for line in lines if any("/pass@" in key for key in line)]
    if len(evaluations) < 3 or evaluations[-1] is not lines[-1]:
        return None
    for key in evaluations[-1]:
        task, _, k = key.partition("/pass@")
        if not k or k == "1":
            continue
        both = [(line[f"{task}/pass@1"], line[key]) for line in evaluations if key in line]
        peak = max(range(len(both)), key=lambda i: both[i][1])
        one, many = (_mean([pair[n] for pair in both[-2:]]) for n in (0, 1))
        if peak < len(both) - 2 and many < both[peak][1] - 0.05 and one > both[peak][0]:
            return (
                f"{task}: Pass@{k} fell from {both[peak][1]:.1%} to {many:.1%} while Pass@1 rose"
                f" from {both[peak][0]:.1%} to {one:.1%}"
            )
    return None


def _critic(lines: Sequence[Line]) -> str | None:
    found = values(lines, "explained_variance")[-20:]
    if len(found) < 20 or max(found) >= 0:
        return None
    return (
        "for 20 steps, the critic predicted returns worse than their mean would"
        f" (explained variance {_mean(found):.2f})"
    )


def _gap(lines: Sequence[Line]) -> str | None:
    gap = lines[-1].get("logprob_gap", 0.0)
    if gap <= 0.1:
        return None
    return f"recomputed log-probabilities of sampled tokens differ by up to {gap:.2f}"


def _ends(found: Sequence[float]) -> tuple[float, float]:
    """Returns the means of the first and of the last steps."""
    return _mean(found[:_AVERAGED]), _mean(found[-_AVERAGED:])


def _mean(some: Sequence[float]) -> float:
    return sum(some) / len(some)


SIGNS = (
    Sign(
        "entropy",
        _entropy,
        "try a larger `entropy`, a smaller learning rate, fewer `epochs`, or `kl` above 0",
    ),
    Sign(
        "equal_rewards",
        _equal_rewards,
        "try easier or harder boards, more `repeats`, or a model that sometimes succeeds to start"
        " from (an `sft` stage); if no reply follows the format, that is what is missing",
    ),
    Sign(
        "format",
        _format,
        "try a larger `reward.format_penalty` (more negative), a smaller learning rate, or `kl`"
        " above 0",
    ),
    Sign(
        "cut_off",
        _cut_off,
        "raise the task's `limits.new_tokens`, or start from a model that ends its replies (an"
        " `sft` stage)",
    ),
    Sign(
        "rambling",
        _rambling,
        "try `kl` above 0, a smaller learning rate, or a larger `reward.format_penalty` (more"
        " negative); with `critic: shared`, a smaller `value_weight`",
    ),
    Sign(
        "diversity",
        _diversity,
        "the policy is narrowing: try a larger `entropy`, fewer steps, or `kl` above 0; the paper"
        " proposes world-model fine-tuning first",
    ),
    Sign(
        "critic",
        _critic,
        "try `critic_warmup`, another `critic_lr`, a larger `value_clip` or more episodes per step",
    ),
    Sign(
        "logprob_gap",
        _gap,
        "the policy being trained is not quite the one that played: train in `dtype: float32`",
    ),
)
